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


def count_cost(model, setting, input_shape):
    """Trace `model` at `setting` for one image and count.

    Args:
        model: built; called as `model(images, setting, training=False)`.
        setting: a `Setting`.
        input_shape: `(1, height, width, channels)`.

    Returns:
        `Cost`.
    """
    function = tf.function(lambda images: model(images, setting=setting, training=False))
    spec = tf.TensorSpec(input_shape, model.compute_dtype)
    graph = function.get_concrete_function(spec).graph
    used = {variable.ref() for variable in graph.trainable_variables}
    weights = [variable for variable in model.trainable_weights if variable.ref() in used]
    packed = {
        layer.latent_kernel.ref(): layer.weight_bits
        for layer in model._flatten_layers()
        if getattr(layer, "weight_bits", None) is not None
    }
    size = sum(_stored_bytes(variable, packed.get(variable.ref())) for variable in weights)
    params = sum(variable.shape.num_elements() for variable in weights)
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


def _stored_bytes(variable, bits):
    if bits is None:
        return 4 * variable.shape.num_elements()
    return -(-variable.shape.num_elements() * bits // 8) + 4 * bits * variable.shape[-1]
