"""Signatures of a network whose settings differ in the pictures or in the layers: each runs the whole network."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, NamedTuple

import tensorflow as tf

from tfres.data.decoding import shape_of, starts
from tfres.deploy.packed import pack
from tfres.errors import ExportError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from quant.at import At
    from tfres.models.network import Network, ServedNetwork
    from tfres.settings import Setting
    from tfres.tasks import Task

Signatures = dict[str, "Callable[..., dict]"]
PICTURES = tf.TensorSpec([None, None, None, 3], tf.uint8, "images")
KERNEL_SECOND = ("Conv2D", "DepthwiseConv2dNative", "MatMul")  # operations whose second input is a kernel


def signatures(
    network: Network, task: Task, chosen: Sequence[Setting], shared: bool, whole: bool, packed: bool
) -> tuple[Signatures, list[list[Any]]]:
    """Name -> traced function, and the variables and packed kernels that they need.

    Args:
        network, task: see `export_savedmodel`.
        chosen: the settings, the largest first.
        shared: one network serves all, otherwise a plain one each.
        whole: all settings are chosen, so that there may be `serve_any`.
        packed: low-bit kernels are stored at their bits.
    """
    if shared:
        served = _Served(network.served(), task, packed)
        points = {setting: _Point(served, setting) for setting in chosen}
    else:
        plain = {setting: _Served(network.materialize(setting).served(), task, packed) for setting in chosen}
        points = {setting: _Point(served, served.network.settings[0]) for setting, served in plain.items()}
    any_side = shared and whole and len(chosen) > 1 and only_resolutions(chosen)
    made = _of_points(points, task, any_side and points[chosen[0]].served.network.continuous)
    return made, [served.values for served in dict.fromkeys(point.served for point in points.values())]


def interface(traced: Any) -> tuple[dict[str, tf.TensorSpec], dict[str, Any]]:
    """Inputs and outputs of a signature by name."""
    if not isinstance(traced, tf.types.experimental.ConcreteFunction):
        traced = traced.get_concrete_function()
    positional, named = traced.structured_input_signature
    return {spec.name: spec for spec in positional} | named, traced.structured_outputs


def chosen_settings(network: Network, settings: Sequence[Setting | str | int] | None) -> list[Setting]:
    """The settings to export, the largest first; all for None.

    Raises:
        ExportError: none. ValueError: unknown setting.
    """
    if settings is not None and not [*settings]:
        raise ExportError(f"`settings` must name a setting, or be None for all. Received: settings={settings!r}.")
    return network.largest_first({network.resolve(setting) for setting in settings or network.settings})


def only_resolutions(settings: Sequence[Setting]) -> bool:
    """Whether settings differ in nothing but the resolution, of one side."""
    return all(str(setting) == f"r{setting.resolution}" for setting in settings)


class _Served:
    """A served network whose body is traced once for all signatures that call it in the same way.

    Args:
        network: served form.
        task: makes the answer.
        packed: low-bit kernels are stored at their bits.

    `values` are what it reads.
    """

    def __init__(self, network: ServedNetwork, task: Task, packed: bool) -> None:
        self.network = network
        self.values = pack(network) if packed else list(network.weights)
        self._task = task
        self._bodies = {}

    def answer(self, images: tf.Tensor, at: At, count: tf.Tensor, sides: tf.Tensor) -> dict[str, tf.Tensor]:
        """What the task answers for the first `count` of normalised images at `at`.

        Args:
            images: normalised.
            at: its given fields, but the setting, are tensors.
            count: how many pictures there are.
            sides: height and width of the pictures as they came.
        """
        given = {field.name: getattr(at, field.name) for field in dataclasses.fields(at) if field.name != "setting"}
        given = {name: tf.convert_to_tensor(value) for name, value in given.items() if value is not None}
        kind = (at.setting, *((name, value.dtype, *value.shape) for name, value in given.items()))
        if kind not in self._bodies:
            pictures = tf.TensorSpec([None, None, None, 3], self.network.compute_dtype)
            specs = {name: tf.TensorSpec.from_tensor(value, name) for name, value in given.items()}

            numbers = [tf.TensorSpec([], tf.int32), tf.TensorSpec([2], tf.int32)]

            @tf.function(input_signature=[pictures, specs, *numbers], autograph=False)
            def body(
                images: tf.Tensor, given: dict[str, tf.Tensor], count: tf.Tensor, sides: tf.Tensor
            ) -> dict[str, tf.Tensor]:
                outputs = self.network.run(images, dataclasses.replace(at, **given))
                outputs = tf.nest.map_structure(lambda output: tf.cast(output, tf.float32), outputs)
                return {name: output[:count] for name, output in self._task.answer(outputs, sides).items()}

            self._bodies[kind] = body
        return self._bodies[kind](tf.cast(images, self.network.compute_dtype), given, count, sides)


class _Point(NamedTuple):
    """A setting of a served network."""

    served: _Served
    setting: Setting

    @property
    def size(self) -> tuple[int, int]:
        return self.served.network.input_size(self.setting)


def _of_points(points: dict[Setting, _Point], task: Task, any_side: bool) -> Signatures:
    """Name -> traced function.

    Args:
        points: of the exported settings, the largest first.
        task: see `export_savedmodel`.
        any_side: with `serve_any`.
    """
    largest, smallest = next(iter(points.values())), [*points.values()][-1]
    some = tf.function(some_pictures, input_signature=[PICTURES], autograph=False)  # traced once for all

    def at_setting(point: _Point, images: tf.Tensor) -> dict[str, tf.Tensor]:
        images, count = some(images)
        resized = task.resized(images, point.size)
        network = point.served.network
        # A setting's own side has its shares alone: so that one body serves `serve_any` and the others.
        at = network.shares(tf.constant(point.setting.resolution)) if any_side else network.at(point.setting)
        return point.served.answer(resized, at, count, tf.shape(images)[1:3])

    def of_setting(point: _Point) -> Callable[..., dict]:
        signature = tf.function(lambda images: at_setting(point, images), input_signature=[PICTURES], autograph=False)
        return signature.get_concrete_function()

    @tf.function(input_signature=[PICTURES], autograph=False)
    def of_any_side(images: tf.Tensor) -> dict[str, tf.Tensor]:
        height, width = tf.shape(images)[1], tf.shape(images)[2]
        low, high = smallest.setting.resolution, largest.setting.resolution
        fits = (height == width) & (height >= low) & (height <= high)
        wanted = f"`images` must be square with a side from {low} to {high} pixels. Received (height, width):"
        with tf.control_dependencies([asserted(fits, wanted, height, width)]):
            images, count = some(tf.identity(images))
        return largest.served.answer(
            task.normalised(images), largest.served.network.shares(height), count, tf.shape(images)[1:3]
        )

    made = {f"serve_{setting}": of_setting(point) for setting, point in points.items()}
    made["serving_default"] = next(iter(made.values()))
    if any_side:
        made["serve_any"] = of_any_side.get_concrete_function()
    made["serve_encoded"] = of_encoded(task, largest.size, lambda images: at_setting(largest, images))
    return made


def of_encoded(task: Task, size: tuple[int, int], answer: Callable[[tf.Tensor], dict]) -> Callable[..., dict]:
    """The signature of JPEG or PNG bytes: they are cut as in evaluation at a size and answered as pictures are.

    Headers are looked at before anything of the size that they declare is made.
    """

    def cut(one: tf.Tensor) -> tf.Tensor:
        known = starts(one, "JPEG") | starts(one, "PNG")  # animations may hold many times what their header says
        with tf.control_dependencies([asserted(known, "`encoded` must be JPEG or PNG pictures. Received: other bytes.")]):
            one = tf.identity(one)
        with tf.control_dependencies([shape_of(one)]):
            return task.evaluation_picture(tf.identity(one), size)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "encoded")], autograph=False)
    def encoded(encoded: tf.Tensor) -> dict[str, tf.Tensor]:
        return answer(tf.map_fn(cut, encoded, fn_output_signature=tf.TensorSpec([None, None, 3], tf.uint8)))

    return encoded.get_concrete_function()


def some_pictures(images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The pictures, one black one for none, and how many they are. Pictures without a pixel are an error."""
    _, height, width, _ = tf.unstack(tf.shape(images))
    wanted = "`images` must be at least one pixel high and wide. Received (height, width):"
    with tf.control_dependencies([asserted((height > 0) & (width > 0), wanted, height, width)]):
        return some(tf.identity(images))


def asserted(condition: tf.Tensor, wanted: str, *received: tf.Tensor) -> tf.Operation:
    """An operation that fails with the words and what was received where a condition does not hold.

    (`tf.debugging.Assert` hides it in a condition of its own, which costs more than it does.)
    """
    return tf.raw_ops.Assert(condition=condition, data=[wanted, *received])


def some(tensors: Any) -> tuple[Any, tf.Tensor]:
    """The tensors, one row of zeros for none (TensorFlow's convolutions fail there), and how many rows they have."""
    count = tf.shape(tf.nest.flatten(tensors)[0])[0]

    def one(tensor: tf.Tensor) -> tf.Tensor:
        return tf.zeros(tf.concat([[1], tf.shape(tensor)[1:]], 0), tensor.dtype)

    found = tf.cond(count > 0, lambda: tensors, lambda: tf.nest.map_structure(one, tensors))
    return tf.nest.map_structure(lambda a, b: tf.ensure_shape(a, [None, *b.shape[1:]]), found, tensors), count
