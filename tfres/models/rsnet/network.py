"""The resolution switchable network."""

import tensorflow as tf

from quant import ActivationQuantizer, FixedLevels, QuantConv2D, QuantDepthwiseConv2D, lq
from tfres.layers import FanOutNormal
from tfres.models.switchable import SwitchableNetwork


@tf.keras.saving.register_keras_serializable(package="tfres")
class RSNet(SwitchableNetwork):
    """A classifier with one set of weights that runs at several resolutions, float or with low-bit weights and activations.

    Convolutions, bases and the final layer are shared; every batch norm is private to the resolution. First convolution
    and final layer stay float.

    Args:
        kind: "basic" or "bottleneck" (residual networks), "mobilenet_v2" or "vgg_small".
        blocks: residual blocks per group.
        widths: channels per group.
        width_mult: multiplies all channels, rounded to multiples of 8.
        stem: "imagenet" or "cifar".
        resolutions: sides in pixels, distinct and positive; kept in descending order.
        calibrated: further resolutions, never trained: they have norms of their own, filled by
            `tfres.evaluation.calibration`.
        classes: number of classes.
        mode: "float" (PyTorch's layout, padding and initial values, as the float half of the reference), or one of the
            quantized half's arrangements: "resnet" (float activations), "preact" or "preact_typeA". None: "float" without
            bits, else "preact".
        weight_bits, activation_bits: 1 to 8; None or 32 for float. Mode "resnet" has no activation quantizer.
        basis_update: rule for activation bases over several resolutions, see `quant.ActivationQuantizer`.
        quantize_first_shortcut, groups, base_width, stride_in: see `ResNet`.
        synchronised: norms take the statistics of the whole batch over all replicas, not of their own part.
        served: the form made by `to_served`, for inference only.

    Call arguments: `images` normalised float `(batch, side, side, 3)`, in the channel order of the training; `setting`
        (a `Setting`, its printed form or the resolution; default: the largest), `training`.
    Output: logits `(batch, classes)`.

    `settings` are all it can run at, `trained_settings` those of `resolutions`, both in descending order. `alpha`
    `(resolutions,)` are the ensemble's raw weights in the order of `trained_settings`; used by training only.

    References: Wang et al., Resolution Switchable Networks (ECCV 2020), arXiv 2007.09558, and its code. Initial values as
    there: "float" convolutions N(0, 2/(k*k*out)), final layer U(+-1/sqrt(in)), MobileNetV2's N(0, 0.01) with bias 0;
    otherwise convolutions N(0, 2/(k*k*out)) truncated, final layer N(0, 2/in), bias 0.
    """

    def __init__(
        self,
        kind="basic",
        blocks=(2, 2, 2, 2),
        widths=(64, 128, 256, 512),
        width_mult=1.0,
        stem="imagenet",
        resolutions=(224, 192, 160, 128, 96),
        calibrated=(),
        classes=1000,
        mode=None,
        weight_bits=None,
        activation_bits=None,
        basis_update="sequential",
        quantize_first_shortcut=False,
        groups=1,
        base_width=64,
        stride_in="3x3",
        synchronised=False,
        served=False,
        **kwargs,
    ):
        weight_bits = lq.check_bits("weight_bits", weight_bits)
        activation_bits = lq.check_bits("activation_bits", activation_bits)
        check_mode(kind, mode, weight_bits, activation_bits)
        config = {
            "kind": kind,
            "blocks": blocks,
            "widths": widths,
            "width_mult": width_mult,
            "stem": stem,
            "resolutions": resolutions,
            "calibrated": calibrated,
            "classes": classes,
            "mode": mode or ("preact" if weight_bits or activation_bits else "float"),
            "weight_bits": weight_bits,
            "activation_bits": activation_bits,
            "basis_update": basis_update,
            "quantize_first_shortcut": quantize_first_shortcut,
            "groups": groups,
            "base_width": base_width,
            "stride_in": stride_in,
            "synchronised": synchronised,
            "served": served,
        }
        super().__init__(config, **kwargs)

    @staticmethod
    def check(arguments):
        bits = (lq.check_bits(name, arguments.get(name)) for name in ("weight_bits", "activation_bits"))
        check_mode(arguments.get("kind", "basic"), arguments.get("mode"), *bits)

    def build(self, input_shape=None):
        if not self.built:
            self.alpha = self.add_weight(name="alpha", shape=(len(self.trained_settings),), initializer="ones")
        super().build(input_shape)

    def _plain(self, config):
        if config["kind"] == "vgg_small" and config["resolutions"] != self._config["resolutions"][:1]:
            raise ValueError(
                "vgg_small has no plain form at other than its largest resolution, whose side its final layer has."
            )
        return super()._plain(config)

    def _plain_values(self, setting):
        return {self.alpha.name: [1.0]}

    _served_config = {"weight_bits": None}

    def _copy_served(self, layer, copy):
        if isinstance(copy, FixedLevels):
            copy.assign(layer.bases)
        elif isinstance(copy, (QuantConv2D, QuantDepthwiseConv2D)):
            copy.latent_kernel.assign(layer.quantized_kernel())

    def _conv(self, filters, kernel_size, strides, name, quantized=True, groups=1, ratio=1):
        pytorch = self._config["mode"] == "float"
        return QuantConv2D(
            filters,
            kernel_size,
            weight_bits=self._config["weight_bits"] if quantized else None,
            strides=strides,
            padding="symmetric" if pytorch else "same",
            groups=groups,
            use_bias=False,
            kernel_initializer=FanOutNormal()
            if pytorch
            else tf.keras.initializers.VarianceScaling(2.0, "fan_out", "truncated_normal"),
            name=name,
        )

    def _depthwise(self, kernel_size, strides, name):
        options = {"strides": strides, "padding": "symmetric", "use_bias": False, "name": name}
        return QuantDepthwiseConv2D(kernel_size, depthwise_initializer=FanOutNormal(depthwise=True), **options)

    def _quantizer(self, name):
        bits = self._config["activation_bits"]
        if bits is None:
            return None
        if self._config["served"]:
            private = self._config["basis_update"] == "private"
            return FixedLevels(bits, sets=len(self.settings) if private else 1, name=name)
        return ActivationQuantizer(bits, settings=self.settings, update=self._config["basis_update"], name=name)


def check_mode(kind, mode, weight_bits, activation_bits):
    """Raises ValueError for an arrangement that a kind of network or the bits (None for float) do not go with."""
    low_bit = weight_bits is not None or activation_bits is not None
    only_float = kind == "mobilenet_v2" or mode == "float"
    if only_float and low_bit:
        raise ValueError(
            f"`weight_bits` and `activation_bits` must be 32 in mode float and for mobilenet_v2. "
            f"Received: weight_bits={weight_bits}, activation_bits={activation_bits}."
        )
    if kind == "mobilenet_v2" and mode not in (None, "float"):
        raise ValueError(f"`mode` must be float for mobilenet_v2. Received: mode={mode!r}.")
    if mode == "resnet" and kind != "vgg_small" and activation_bits is not None:
        raise ValueError(
            "`activation_bits` must be 32 in mode 'resnet', which has no activation quantizer; use mode 'preact'. "
            f"Received: activation_bits={activation_bits}."
        )
