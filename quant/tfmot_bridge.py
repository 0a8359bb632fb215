"""The learned quantizers for tensorflow-model-optimization, so that it can make a stock Keras model low-bit.

Example:
    annotate = tfmot.quantization.keras.quantize_annotate_layer
    model = tf.keras.Sequential([annotate(tf.keras.layers.Dense(10), LQQuantizeConfig(weight_bits=2)), ...])
    with tfmot.quantization.keras.quantize_scope(quant.tfmot_objects()):
        model = tfmot.quantization.keras.quantize_apply(model)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import tensorflow as tf
import tensorflow_model_optimization as tfmot

from quant import checks, lq
from quant.bases import add_basis, update_basis
from quant.scope import Record, sum_over_replicas

if TYPE_CHECKING:
    import numpy as np


class _LQQuantizer(tfmot.quantization.keras.quantizers.Quantizer):
    """Quantizes one tensor of a wrapped layer; every training call updates the basis."""

    signed = None

    def __init__(self, bits: int) -> None:
        self.bits = lq.check_bits("bits", bits)
        if self.bits is None:
            raise ValueError(f"`bits` must be an integer from 1 to {lq.MAX_BITS}. Received: bits={bits!r}.")

    def __call__(self, inputs: tf.Tensor, training: bool, weights: dict, **kwargs: object) -> tf.Tensor:
        values = tf.convert_to_tensor(inputs)
        table = lq.level_table(tf.convert_to_tensor(weights["basis"]), self.signed)
        if not training:
            return lq.quantize(values, table)
        y, statistics = lq.quantize_with_statistics(values, table)
        statistics = tf.nest.map_structure(tf.stop_gradient, statistics)
        update_basis(tuple(weights.values()), sum_over_replicas([Record(None, statistics)]))
        return y

    def _weights(self, layer: tf.keras.layers.Layer, initial: np.ndarray, name: str) -> dict:
        return dict(zip(("basis", "biased", "updates"), add_basis(layer, initial, f"{name}_basis"), strict=True))

    def get_config(self) -> dict:
        return {"bits": self.bits}

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.get_config() == other.get_config()

    def __hash__(self) -> int:
        return hash((type(self), *self.get_config().values()))


class LQWeightQuantizer(_LQQuantizer):
    """Kernel quantizer, one basis per output channel.

    Args:
        bits: 1 to 8.
        depthwise: the kernel is `(h, w, in, multiplier)`: a basis per pair of the last two axes.
    """

    signed = True

    def __init__(self, bits: int, depthwise: bool = False) -> None:
        super().__init__(bits)
        self.depthwise = checks.flag("depthwise", depthwise)

    def build(self, tensor_shape: tf.TensorShape, name: str, layer: tf.keras.layers.Layer) -> dict:
        *kernel, inputs, outputs = tensor_shape
        channels = inputs * outputs if self.depthwise else outputs
        initial = lq.initial_weight_basis(self.bits, tf.TensorShape(kernel).num_elements() * channels, channels)
        return self._weights(layer, initial, name)

    def __call__(self, inputs: tf.Tensor, training: bool, weights: dict, **kwargs: object) -> tf.Tensor:
        shape = inputs.shape
        flat = tf.reshape(inputs, [*shape[:-2], 1, shape[-2] * shape[-1]]) if self.depthwise else inputs
        return tf.reshape(super().__call__(flat, training, weights, **kwargs), shape)

    def get_config(self) -> dict:
        return {**super().get_config(), "depthwise": self.depthwise}


class LQActivationQuantizer(_LQQuantizer):
    """Activation quantizer with levels from 0 upwards; meant for outputs of a relu.

    Args:
        bits: 1 to 8.
    """

    signed = False

    def build(self, tensor_shape: tf.TensorShape, name: str, layer: tf.keras.layers.Layer) -> dict:
        return self._weights(layer, lq.initial_activation_basis(self.bits), name)


class LQQuantizeConfig(tfmot.quantization.keras.QuantizeConfig):
    """How a Conv2D, DepthwiseConv2D or Dense layer becomes low-bit.

    Args:
        weight_bits: 1 to 8; None or 32 leaves the kernel float.
        activation_bits: bits of the output of the layer's activation; None or 32 leaves it float.
    """

    def __init__(self, weight_bits: int | None = 2, activation_bits: int | None = None) -> None:
        self.weight_bits = lq.check_bits("weight_bits", weight_bits)
        self.activation_bits = lq.check_bits("activation_bits", activation_bits)

    def get_weights_and_quantizers(self, layer: tf.keras.layers.Layer) -> list[tuple]:
        if self.weight_bits is None:
            return []
        name = _kernel_name(layer)
        return [(getattr(layer, name), LQWeightQuantizer(self.weight_bits, name == "depthwise_kernel"))]

    def set_quantize_weights(self, layer: tf.keras.layers.Layer, quantize_weights: list) -> None:
        for kernel in quantize_weights:
            setattr(layer, _kernel_name(layer), kernel)

    def get_activations_and_quantizers(self, layer: tf.keras.layers.Layer) -> list[tuple]:
        if self.activation_bits is None:
            return []
        return [(layer.activation, LQActivationQuantizer(self.activation_bits))]

    def set_quantize_activations(self, layer: tf.keras.layers.Layer, quantize_activations: list) -> None:
        for activation in quantize_activations:
            layer.activation = activation

    def get_output_quantizers(self, layer: tf.keras.layers.Layer) -> list:
        return []

    def get_config(self) -> dict:
        return {"weight_bits": self.weight_bits, "activation_bits": self.activation_bits}


def tfmot_objects() -> dict[str, type]:
    """Classes for `quantize_scope`, needed to apply and to load."""
    return {kind.__name__: kind for kind in (LQQuantizeConfig, LQWeightQuantizer, LQActivationQuantizer)}


def _kernel_name(layer: tf.keras.layers.Layer) -> str:
    for name in ("depthwise_kernel", "kernel"):
        if hasattr(layer, name):
            return name
    raise ValueError(f"LQQuantizeConfig needs a layer with a kernel. Received: {layer.__class__.__name__} {layer.name}.")
