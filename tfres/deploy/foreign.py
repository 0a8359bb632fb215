"""Networks as graphs that the converters of other runtimes take, and low-bit ones as OpenVINO's integers.

The converters are no dependencies; docs/other_runtimes.md has a recipe for each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from quant import At, FixedLevels
from tfres.deploy.signatures import KERNEL_SECOND, PICTURES
from tfres.deploy.snap import snap
from tfres.errors import ExportError
from tfres.layers.serving import served_form
from tfres.models.frozen_exits import of_constants

if TYPE_CHECKING:
    from collections.abc import Sequence

    import openvino

    from tfres.models.network import Network
    from tfres.models.served import ServedNetwork
    from tfres.settings import Setting
    from tfres.tasks import Task

IMAGES = tf.TensorSpec([None, None, None, 3], tf.float32, "images")
NUMBER = tf.TensorSpec([], tf.int32, "setting")
_STEPS = 127  # of int8 kernels
_NEAR = 1e-3  # of a step, what float32 rounds


def portable(network: Network, setting: Any = None, task: Task | None = None) -> Any:
    """A `tf.function` with an input signature, for a converter.

    Args:
        network: built.
        setting: the one it runs at; None makes it an input of the graph, where all settings have the same kernels.
        task: resizes and normalises pictures and makes the answer, for a given setting; None for neither.

    Returns:
        without a task: `images` float32 `(batch, height, width, 3)`, normalised, of the setting's size, and without `setting`
        also `setting`, int32 `()`, its place in `network.settings`, to `logits`. With one: `images` uint8 RGB
        `(batch, height, width, 3)` of any size to the task's answer.

    Raises:
        ExportError: a setting is needed: settings differ in width or exit, or there is a task. ValueError: an unknown setting.
    """
    return _traced((network if setting is None else network.materialize(setting)).served(), setting is None, task)


def openvino_int8(network: Network, setting: Any = None, task: Task | None = None) -> openvino.Model:
    """A low-bit network as an OpenVINO model that computes in integers where kernels and activations have few bits.

    The network is snapped (see `tfres.deploy.snap`), so that integers are exact; compile the model with
    `{"INFERENCE_PRECISION_HINT": "f32"}`, or CPUs with bfloat16 round everything else to that.

    Args:
        network: built, with weights and activations of 1 to 8 bits.
        setting, task: see `portable`; inputs and outputs are as there.

    Raises:
        ExportError: a float network, or a setting is needed: see `portable`, or settings have levels of their own.
        ModuleNotFoundError: openvino is not installed.
    """
    import openvino

    served = snap(network if setting is None else network.materialize(setting), _marked)
    model = openvino.convert_model(_traced(served, setting is None, task).get_concrete_function())
    _to_int8(model)
    return model


def _traced(served: ServedNetwork, any_setting: bool, task: Task | None) -> Any:
    """The function of `portable`; it holds constants alone, so that nothing else must be kept."""
    at, size = served.at(served.settings[0]), served.input_size(served.settings[0])
    if any_setting and len(served.settings) > 1 and (task is not None or at.index is None):
        raise _needed(served.settings, "resizing depends on it" if at.index is not None else "exits are other layers")
    any_setting = any_setting and task is None and at.index is not None

    def run(images: tf.Tensor, setting: tf.Tensor | None = None) -> Any:
        images = tf.cast(images, tf.float32)
        images = images if task is None else tf.ensure_shape(task.resized(images, size), [None, *size, 3])
        outputs = served.run(tf.cast(images, served.compute_dtype), at if setting is None else _at(served, setting))
        outputs = tf.nest.map_structure(lambda output: tf.cast(output, tf.float32), outputs)
        return {"logits": outputs} if task is None else task.answer(outputs)

    pictures = PICTURES if task is not None else IMAGES if any_setting else tf.TensorSpec([None, *size, 3], name="images")
    specs = [pictures, NUMBER] if any_setting else [pictures]
    traced = tf.function(run, input_signature=specs, autograph=False).get_concrete_function()
    for operation in traced.graph.get_operations():
        if operation.type in KERNEL_SECOND and not operation.inputs[1].shape.is_fully_defined():
            raise _needed(served.settings, "no other runtime takes the width of kernels as an input")
    return tf.function(of_constants(traced, len(specs)), input_signature=specs, autograph=False)


def _at(served: ServedNetwork, setting: tf.Tensor) -> At:
    """Where a number leads, the nearest where there are fewer settings; by sums, which every runtime has."""
    number = tf.clip_by_value(setting, 0, len(served.settings) - 1)
    return At(index=number, shares=tf.one_hot(number, len(served.settings)))


def _needed(settings: Sequence[Setting], why: str) -> ExportError:
    return ExportError(f"`setting` must be one of {', '.join(map(str, settings))}: {why}. Received: setting=None.")


class _MarkedLevels(FixedLevels):
    """Levels that OpenVINO knows to lie on the uint8 grid from 0 to the top."""

    def _placed(self, values: tf.Tensor, thresholds: tf.Tensor, levels: tf.Tensor) -> tf.Tensor:
        placed = super()._placed(values, thresholds, levels)
        with tf.init_scope():
            below = (self.levels.numpy() < 0).any()  # of a negative entry of the basis: no code of uint8
        return placed if below else tf.quantization.fake_quant_with_min_max_vars(placed, levels[0], levels[-1])


def _marked(layer: tf.keras.layers.Layer, settings: Sequence[Setting]) -> tf.keras.layers.Layer:
    served = served_form(layer, settings)
    if not isinstance(served, FixedLevels):
        return served
    if len(served.settings) > 1:
        raise _needed(settings, "settings have levels of their own")
    return _MarkedLevels.from_config(served.get_config())


def _to_int8(model: openvino.Model) -> None:
    """Replace kernels of convolutions that lie on the int8 grid by codes and a scale per output channel."""
    from openvino import opset13 as ops

    for node in model.get_ordered_ops():
        if node.get_type_name() not in ("Convolution", "GroupConvolution"):
            continue
        source, turns = node.input_value(1).get_node(), []
        while source.get_type_name() == "Transpose":
            turns.append(source.input_value(1).get_node().data)
            source = source.input_value(0).get_node()
        if source.get_type_name() != "Constant":
            continue
        kernel = source.data
        for turn in reversed(turns):
            kernel = kernel.transpose(turn)
        top = np.abs(kernel).max(tuple(range(1, kernel.ndim)), keepdims=True)
        scale = np.where(top > 0, top, 1) / _STEPS
        codes = np.round(kernel / scale)
        if np.abs(kernel / scale - codes).max() < _NEAR:
            integers = ops.convert(ops.constant(codes.astype(np.int8)), "f32")
            node.input(1).replace_source_output(ops.multiply(integers, ops.constant(scale)).output(0))
