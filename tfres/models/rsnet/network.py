"""The resolution switchable network."""

import math

import tensorflow as tf

from quant import ActivationQuantizer, FixedLevels, QuantConv2D, QuantDepthwiseConv2D, WeightQuantizer, lq
from tfres.layers import StackedBatchNorm, SwitchableBatchNorm, dtype_policy
from tfres.models.backbones import MobileNetV2, Parts, ResNet, VGGSmall
from tfres.models.backbones.mobilenet_v2 import make_divisible
from tfres.models.costs import count_cost
from tfres.settings import Setting


@tf.keras.saving.register_keras_serializable(package="tfres")
class RSNet(tf.keras.Model):
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
        super().__init__(**kwargs)
        resolutions = check_resolutions(resolutions)
        check_resolutions([*resolutions, *calibrated])
        weight_bits = lq.check_bits("weight_bits", weight_bits)
        activation_bits = lq.check_bits("activation_bits", activation_bits)
        check_mode(kind, mode, weight_bits, activation_bits)
        mode = mode or ("preact" if weight_bits or activation_bits else "float")
        self._config = {
            "kind": kind,
            "blocks": list(blocks),
            "widths": list(widths),
            "width_mult": width_mult,
            "stem": stem,
            "resolutions": resolutions,
            "calibrated": list(calibrated),
            "classes": classes,
            "mode": mode,
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
        self.trained_settings = [Setting(resolution=resolution) for resolution in resolutions]
        everything = sorted([*resolutions, *calibrated], reverse=True)
        self.settings = [Setting(resolution=resolution) for resolution in everything]
        with dtype_policy(self.dtype_policy):
            self._make_layers()

    def get_config(self):
        return {**super().get_config(), **self._config}

    def build(self, input_shape=None):
        """Create all variables; the input shape does not matter."""
        if self.built:
            return
        self.alpha = self.add_weight(name="alpha", shape=(len(self.trained_settings),), initializer="ones")
        side = self.settings[0].resolution
        super().build((None, side, side, 3))

    def call(self, images, setting=None, training=None):
        setting = self.resolve(setting)
        return self.logits(images, self.settings.index(setting) if self._config["served"] else setting, training)

    def logits(self, images, setting, training=None):
        """`call` without checks; in the served form `setting` is its number in `settings` and may be a tensor."""
        return self.classifier(self.backbone(images, setting=setting, training=training))

    def resolve(self, setting=None):
        """The `Setting` meant by a setting, its printed form or a resolution; the largest for None.

        Raises:
            ValueError: not one of `settings`.
        """
        if setting is None:
            return self.settings[0]
        setting = Setting.parse(setting)
        if setting not in self.settings:
            known = ", ".join(map(str, self.settings))
            raise ValueError(f"`setting` must be one of {known}. Received: setting={setting}.")
        return setting

    def cost(self, setting=None):
        """Exact MACs, trainable parameters and stored bytes at a setting, counted from the graph; see `Cost`."""
        setting = self.resolve(setting)
        return count_cost(self, setting, (1, setting.resolution, setting.resolution, 3))

    def to_served(self):
        """The same network in the form that is exported: kernels hold their quantized values, levels are computed, and the
        norms of all settings are stacked so that one graph serves them all. Outputs are equal bit for bit.
        """
        served = RSNet(**{**self._config, "served": True, "weight_bits": None})
        served.build()
        layers = [layer for layer in self._flatten_layers() if not isinstance(layer, WeightQuantizer)]
        for layer, copy in zip(layers, served._flatten_layers(), strict=True):
            if isinstance(copy, StackedBatchNorm):
                copy.assign(layer)
            elif isinstance(copy, FixedLevels):
                copy.assign(layer.bases)
            elif isinstance(copy, (QuantConv2D, QuantDepthwiseConv2D)):
                copy.latent_kernel.assign(layer.quantized_kernel())
            elif isinstance(copy, tf.keras.layers.Dense):
                copy.set_weights(layer.get_weights())
        return served

    def decayed_weights(self, decay_on="kernels"):
        """What weight decay applies to: "kernels" (of all convolutions and the final layer) or "all" trainable weights."""
        if decay_on == "all":
            return list(self.trainable_weights)
        kernels = [getattr(layer, "latent_kernel", None) for layer in self._flatten_layers(include_self=False)]
        return [*(kernel for kernel in kernels if kernel is not None), self.classifier.kernel]

    def _make_layers(self):
        config = self._config
        parts = Parts(conv=self._conv, depthwise=self._depthwise, norm=self._norm, quantizer=self._quantizer)
        kind, widths = config["kind"], config["widths"]
        if config["width_mult"] != 1:
            widths = [make_divisible(width * config["width_mult"]) for width in widths]
        if kind == "mobilenet_v2":
            self.backbone = MobileNetV2(parts, config["width_mult"], name="backbone")
        elif kind == "vgg_small":
            self.backbone = VGGSmall(parts, widths, side=-(-config["resolutions"][0] // 8), name="backbone")
        else:
            same = ("blocks", "kind", "mode", "stem", "quantize_first_shortcut", "groups", "base_width", "stride_in")
            self.backbone = ResNet(parts, widths=widths, **{name: config[name] for name in same}, name="backbone")
        kernel_initializer, bias_initializer = self._final_initializers()
        self.classifier = tf.keras.layers.Dense(
            config["classes"],
            kernel_initializer=kernel_initializer,
            bias_initializer=bias_initializer,
            dtype="float32" if self.compute_dtype in ("float16", "bfloat16") else None,
            name="linear",
        )

    def _conv(self, filters, kernel_size, strides, name, quantized=True, groups=1):
        pytorch = self._config["mode"] == "float"
        return QuantConv2D(
            filters,
            kernel_size,
            weight_bits=self._config["weight_bits"] if quantized else None,
            strides=strides,
            padding="symmetric" if pytorch else "same",
            groups=groups,
            use_bias=False,
            kernel_initializer=_kernel_initializer(kernel_size, filters)
            if pytorch
            else tf.keras.initializers.VarianceScaling(2.0, "fan_out", "truncated_normal"),
            name=name,
        )

    def _depthwise(self, kernel_size, strides, name):
        return _Depthwise(kernel_size, strides=strides, padding="symmetric", use_bias=False, name=name)

    def _final_initializers(self):
        initializers = tf.keras.initializers
        if self._config["mode"] != "float" or self._config["kind"] == "vgg_small":
            return initializers.VarianceScaling(2.0, "fan_in", "untruncated_normal"), "zeros"
        if self._config["kind"] == "mobilenet_v2":
            return initializers.RandomNormal(stddev=0.01), "zeros"
        limit = 1 / math.sqrt(self.backbone.channels)
        return initializers.RandomUniform(-limit, limit), initializers.RandomUniform(-limit, limit)

    def _norm(self, name, gamma_initializer="ones"):
        if self._config["served"]:
            return StackedBatchNorm(len(self.settings), name=name)
        synchronised = self._config["synchronised"]
        return SwitchableBatchNorm(self.settings, gamma_initializer=gamma_initializer, synchronised=synchronised, name=name)

    def _quantizer(self, name):
        bits = self._config["activation_bits"]
        if bits is None:
            return None
        if self._config["served"]:
            private = self._config["basis_update"] == "private"
            return FixedLevels(bits, sets=len(self.settings) if private else 1, name=name)
        return ActivationQuantizer(bits, settings=self.settings, update=self._config["basis_update"], name=name)


class _Depthwise(QuantDepthwiseConv2D):
    """Depthwise convolution with the reference's initial values: its fan-out counts all channels."""

    def build(self, input_shape):
        self.depthwise_initializer = _kernel_initializer(self.kernel_size[0], input_shape[-1])
        super().build(input_shape)


def _kernel_initializer(kernel_size, filters):
    return tf.keras.initializers.RandomNormal(stddev=math.sqrt(2 / (kernel_size**2 * filters)))


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


def check_resolutions(resolutions):
    """Distinct positive integers as a list in descending order.

    Raises:
        ValueError: anything else.
    """
    resolutions = list(resolutions)
    whole = all(isinstance(r, int) and not isinstance(r, bool) and r > 0 for r in resolutions)
    if not resolutions or not whole or len(set(resolutions)) < len(resolutions):
        raise ValueError(f"`resolutions` must be distinct positive integers. Received: resolutions={resolutions}.")
    return sorted(resolutions, reverse=True)
