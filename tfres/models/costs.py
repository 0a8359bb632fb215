"""Exact costs of a network at a setting, counted from the graph it runs."""

import dataclasses

import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class Cost:
    """What one image costs.

    Args:
        macs: multiply-adds of convolutions and dense layers; norms, activations and pooling are not counted.
        params: trainable parameters that the setting uses.
        bytes: their size when quantized kernels are packed at their bit width with their bases, the rest float32.
    """

    macs: int
    params: int
    bytes: int


def count_cost(model, setting, input_shape, training=False):
    """Trace `model` at `setting` for one image and count. Of a variable that is only read through a slice, the slice counts.

    Args:
        model: built; called as `model(images, setting, training)`.
        setting: a `Setting`.
        input_shape: `(1, height, width, channels)`.
        training: mode of the trace.

    Returns:
        `Cost`.
    """
    function = tf.function(lambda images: model(images, setting=setting, training=training))
    spec = tf.TensorSpec(input_shape, model.compute_dtype)
    graph = function.get_concrete_function(spec).graph
    placeholders = {id(outer): inner for outer, inner in graph.captures}
    used = {variable.ref(): _elements(variable, placeholders[id(variable.handle)]) for variable in graph.trainable_variables}
    weights = [variable for variable in model.trainable_weights if variable.ref() in used]
    packed = {
        layer.latent_kernel.ref(): layer.weight_bits
        for layer in model._flatten_layers()
        if getattr(layer, "weight_bits", None) is not None
    }
    size = sum(_stored_bytes(variable, used[variable.ref()], packed.get(variable.ref())) for variable in weights)
    params = sum(used[variable.ref()] for variable in weights)
    return Cost(sum(map(_macs, graph.get_operations())), params, size)


def _macs(operation):
    if operation.type in ("Conv2D", "DepthwiseConv2dNative"):
        height, width, inputs, outputs = operation.inputs[1].shape
        per_output = height * width * (inputs if operation.type == "Conv2D" else 1)
        return operation.outputs[0].shape.num_elements() * per_output
    if operation.type == "MatMul":
        rows = operation.inputs[0].shape
        return operation.outputs[0].shape.num_elements() * rows[0 if operation.get_attr("transpose_a") else 1]
    return 0


def _elements(variable, handle):
    """Elements of a variable that are used by what reads it in the graph."""
    readers = [consumer for read in handle.consumers() for output in read.outputs for consumer in output.consumers()]
    while readers and all(reader.type == "StridedSlice" for reader in readers):
        sizes = [reader.outputs[0].shape.num_elements() for reader in readers]
        following = [consumer for reader in readers for consumer in reader.outputs[0].consumers()]
        if not all(consumer.type == "StridedSlice" for consumer in following):
            return max(sizes)
        readers = following
    return variable.shape.num_elements()


def _stored_bytes(variable, elements, bits):
    if bits is None:
        return 4 * elements
    return -(-elements * bits // 8) + 4 * bits * variable.shape[-1]
