"""The resolution switchable network."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf

from quant import ActivationQuantizer, QuantConv2D, QuantDepthwiseConv2D
from tfres.layers import FanOutNormal, SwitchableBatchNorm
from tfres.models.backbones import MobileNetV2, Parts, ResNet, VGGSmall
from tfres.models.backbones.mobilenet_v2 import make_divisible
from tfres.models.network import Network
from tfres.models.options import FLOAT_BITS
from tfres.models.rsnet.options import RSNetOptions
from tfres.settings import Setting


@tf.keras.saving.register_keras_serializable(package="tfres")
class RSNet(Network):
    """A classifier with one set of weights that runs at several resolutions, float or with low-bit weights and activations.

    Convolutions, bases and the final layer are shared; every batch norm is private to the resolution. First convolution
    and final layer stay float. Arguments, call, output: `RSNetOptions` and `Network`.

    `alpha` `(resolutions,)` are the ensemble's raw weights in the order of `trained_settings`; used by training only.

    References: Wang et al., Resolution Switchable Networks (ECCV 2020), arXiv 2007.09558, and its code. Initial values as
    there: "float" convolutions N(0, 2/(k*k*out)), final layer U(+-1/sqrt(in)), MobileNetV2's N(0, 0.01) with bias 0;
    otherwise convolutions N(0, 2/(k*k*out)) truncated, final layer N(0, 2/in), bias 0.
    """

    Options = RSNetOptions

    def build(self, input_shape: Any = None) -> None:
        if not self.built:
            self.alpha = self.add_weight(name="alpha", shape=(len(self.trained_settings),), initializer="ones")
        super().build(input_shape)

    def plain_values(self, setting: Setting, plain: Network) -> dict[str, Any]:
        return {self.alpha.name: [1.0]}

    def parts(self) -> Parts:
        return Parts(
            channels=lambda count, place, ratio=1: count,
            conv=self._conv,
            depthwise=self._depthwise,
            norm=self._norm,
            quantizer=self._quantizer,
        )

    def make_backbone(self, parts: Parts) -> tf.keras.layers.Layer:
        return make_backbone(self.options, parts, self.options.mode, self.options.quantize_first_shortcut)

    def make_classifier(self) -> tf.keras.layers.Layer:
        initializers = tf.keras.initializers
        if self.options.mode != "float" or self.options.kind == "vgg_small":
            return final_layer(self, initializers.VarianceScaling(2.0, "fan_in", "untruncated_normal"), "zeros")
        return final_layer(self, *float_initializers(self.options.kind, self.feature_channels))

    def _conv(
        self, channels: int, kernel_size: int, strides: int, name: str, quantized: bool = True, groups: int = 1
    ) -> tf.keras.layers.Layer:
        pytorch = self.options.mode == "float"
        truncated = tf.keras.initializers.VarianceScaling(2.0, "fan_out", "truncated_normal")
        return QuantConv2D(
            channels,
            kernel_size,
            weight_bits=self.options.weight_bits if quantized else None,
            strides=strides,
            padding="symmetric" if pytorch else "same",
            groups=groups,
            use_bias=False,
            kernel_initializer=FanOutNormal() if pytorch else truncated,
            name=name,
        )

    def _depthwise(self, channels: int, kernel_size: int, strides: int, name: str) -> tf.keras.layers.Layer:
        options = {"strides": strides, "padding": "symmetric", "use_bias": False, "name": name}
        return QuantDepthwiseConv2D(kernel_size, depthwise_initializer=FanOutNormal(depthwise=True), **options)

    def _norm(self, channels: int, name: str, gamma_initializer: str = "ones") -> tf.keras.layers.Layer:
        return private_norm(self, name, gamma_initializer)

    def _quantizer(self, name: str) -> tf.keras.layers.Layer | None:
        bits = self.options.activation_bits
        if bits == FLOAT_BITS:
            return None
        return ActivationQuantizer(bits, settings=self.settings, update=self.options.basis_update, name=name)


def make_backbone(options: Any, parts: Parts, mode: str, quantize_first_shortcut: bool = False) -> tf.keras.layers.Layer:
    """The skeleton that `ResidualOptions` name."""
    widths = options.widths
    if options.width_mult != 1:
        widths = [make_divisible(width * options.width_mult) for width in widths]
    if options.kind == "mobilenet_v2":
        return MobileNetV2(parts, options.width_mult, name="backbone")
    if options.kind == "vgg_small":
        return VGGSmall(parts, widths, resolution=options.feature_side * 2 ** len(widths), name="backbone")
    return ResNet(
        parts,
        blocks=options.blocks,
        widths=widths,
        kind=options.kind,
        mode=mode,
        stem=options.stem,
        quantize_first_shortcut=quantize_first_shortcut,
        groups=options.groups,
        base_width=options.base_width,
        stride_in=options.stride_in,
        name="backbone",
    )


def private_norm(network: Network, name: str, gamma_initializer: str = "ones") -> tf.keras.layers.Layer:
    """A batch norm private to every setting of a network."""
    synchronised = network.options.synchronised_norms
    return SwitchableBatchNorm(network.settings, gamma_initializer=gamma_initializer, synchronised=synchronised, name=name)


def float_initializers(kind: str, features: int) -> tuple[Any, Any]:
    """Initial values of a float network's final layer: MobileNetV2's or PyTorch's."""
    initializers = tf.keras.initializers
    if kind == "mobilenet_v2":
        return initializers.RandomNormal(stddev=0.01), "zeros"
    limit = 1 / math.sqrt(features)
    return initializers.RandomUniform(-limit, limit), initializers.RandomUniform(-limit, limit)


def final_layer(network: Network, kernel_initializer: Any, bias_initializer: Any) -> tf.keras.layers.Layer:
    """The dense layer of the logits, float32 under mixed precision."""
    return tf.keras.layers.Dense(
        network.options.classes,
        kernel_initializer=kernel_initializer,
        bias_initializer=bias_initializer,
        dtype="float32" if network.compute_dtype in ("float16", "bfloat16") else None,
        name="linear",
    )
