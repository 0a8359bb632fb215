"""Exact costs of a network at a setting, counted from the graph it runs."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import tensorflow as tf

from tfres.models.macs import CALLS, FIXED, IMAGES, VARIABLES, CostError, arguments, called_graphs, count_macs

if TYPE_CHECKING:
    from tfres.settings import Setting

__all__ = ["Cost", "CostError", "count_cost"]

_PASSING = ("ReadVariableOp", "Identity", "Cast", "StridedSlice")


@dataclasses.dataclass(frozen=True)
class Cost:
    """What one image costs.

    Args:
        macs: multiply-adds of convolutions and matrix products, by the rules in `tfres.models.macs`; norms, activations,
            pooling and resizing are not counted.
        params: trainable parameters that the setting uses.
        bytes: their size when quantized kernels are packed at their bit width with their bases, the rest float32.
    """

    macs: int
    params: int
    bytes: int


def count_cost(model: tf.keras.Model, setting: Setting | None, input_shape: tuple[int, ...], training: bool = False) -> Cost:
    """Trace `model` at `setting` for one image and count. Of a variable that is only read through a slice, the slice counts.

    Args:
        model: built; called as `model(images, setting=setting, training=training)`.
        setting: where it runs.
        input_shape: `(1, height, width, channels)`.
        training: mode of the trace.

    Returns:
        `Cost`.

    Raises:
        CostError: the network holds an operation whose cost cannot be counted.
    """
    function = tf.function(lambda images: model(images, setting=setting, training=training), autograph=False)
    spec = tf.TensorSpec(input_shape, model.compute_dtype)
    graph = function.get_concrete_function(spec).graph
    placeholders = {id(outer): inner for outer, inner in graph.captures}
    captured = {inner.name: VARIABLES if inner.dtype == tf.resource else FIXED for inner in placeholders.values()}
    macs = count_macs(graph, [captured.get(tensor.name, IMAGES) for tensor in graph.inputs])
    used = {}
    for variable in graph.trainable_variables:
        whole = variable.shape.num_elements()
        used[id(variable.handle)] = _used(placeholders[id(variable.handle)], whole) or whole
    weights = [variable for variable in model.trainable_weights if id(variable.handle) in used]
    packed = {
        id(layer.latent_kernel.handle): layer.weight_bits
        for layer in model._flatten_layers()
        if getattr(layer, "weight_bits", None) is not None
    }
    handles = [id(variable.handle) for variable in weights]
    sizes = [_stored_bytes(used[key], packed.get(key), weight.shape) for key, weight in zip(handles, weights, strict=True)]
    return Cost(macs, sum(used[key] for key in handles), sum(sizes))


def _used(tensor: tf.Tensor, whole: int) -> int:
    """How many elements of a variable are used by what reads `tensor`, which has `whole` of them; 0 if nothing does."""
    sizes = [0]
    for reader in tensor.consumers():
        if reader.type in CALLS:
            places = [place for place, given in enumerate(arguments(reader)) if given is tensor]
            sizes += [_used(graph.inputs[place], whole) for graph in called_graphs(reader) for place in places]
        elif reader.type == "StridedSlice":
            sizes.append(_used(reader.outputs[0], reader.outputs[0].shape.num_elements()))
        elif reader.type in _PASSING:
            sizes.append(_used(reader.outputs[0], whole))
        else:
            sizes.append(whole)
    return max(sizes)


def _stored_bytes(elements: int, bits: int | None, shape: tf.TensorShape) -> int:
    """Of a variable of that shape: float32, or bits with a basis per filter."""
    return 4 * elements if bits is None else -(-elements * bits // 8) + 4 * bits * shape[-1]
