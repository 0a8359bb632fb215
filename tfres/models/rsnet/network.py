"""The resolution switchable network."""

import tensorflow as tf

from quant import ActivationQuantizer, FixedLevels, QuantConv2D, WeightQuantizer, lq
from tfres.layers import StackedBatchNorm, SwitchableBatchNorm
from tfres.models.backbones import Parts, ResNet, VGGSmall
from tfres.models.costs import count_cost
from tfres.settings import Setting


@tf.keras.saving.register_keras_serializable(package="tfres")
class RSNet(tf.keras.Model):
    """A classifier with one set of weights that runs at several resolutions, float or with low-bit weights and activations.

    Convolutions, bases and the final layer are shared; every batch norm is private to the resolution. First convolution
    and final layer stay float.

    Args:
        kind: "basic" or "bottleneck" (residual networks), or "vgg_small".
        blocks: residual blocks per group.
        widths: channels per group.
        stem: "imagenet" or "cifar".
        resolutions: sides in pixels, distinct and positive; kept in descending order.
        classes: number of classes.
        mode: arrangement of the residual network: "resnet" (float activations), "preact" or "preact_typeA".
        weight_bits, activation_bits: 1 to 8; None or 32 for float. Mode "resnet" has no activation quantizer.
        basis_update: rule for activation bases over several resolutions, see `quant.ActivationQuantizer`.
        quantize_first_shortcut: see `ResNet`.
        served: the form made by `to_served`, for inference only.

    Call arguments: `images` normalised float `(batch, side, side, 3)`, in the channel order of the training; `setting`
        (a `Setting`, its printed form or the resolution; default: the largest), `training`.
    Output: logits `(batch, classes)`.

    `alpha` `(resolutions,)` are the ensemble's raw weights in the order of `settings`; used by training only.

    References: Wang et al., Resolution Switchable Networks (ECCV 2020), arXiv 2007.09558, and its code, folder
    `quantization`. Initial values as there: convolutions N(0, 2/(k*k*out)) truncated, final layer N(0, 2/in), bias 0.
    """

    def __init__(
        self,
        kind="basic",
        blocks=(2, 2, 2, 2),
        widths=(64, 128, 256, 512),
        stem="imagenet",
        resolutions=(224, 192, 160, 128, 96),
        classes=1000,
        mode="preact",
        weight_bits=None,
        activation_bits=None,
        basis_update="sequential",
        quantize_first_shortcut=False,
        served=False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        resolutions = check_resolutions(resolutions)
        weight_bits = lq.check_bits("weight_bits", weight_bits)
        activation_bits = lq.check_bits("activation_bits", activation_bits)
        if mode == "resnet" and kind != "vgg_small" and activation_bits is not None:
            raise ValueError(
                "`activation_bits` must be 32 in mode 'resnet', which has no activation quantizer; use mode 'preact'. "
                f"Received: activation_bits={activation_bits}."
            )
        self._config = {
            "kind": kind,
            "blocks": list(blocks),
            "widths": list(widths),
            "stem": stem,
            "resolutions": resolutions,
            "classes": classes,
            "mode": mode,
            "weight_bits": weight_bits,
            "activation_bits": activation_bits,
            "basis_update": basis_update,
            "quantize_first_shortcut": quantize_first_shortcut,
            "served": served,
        }
        self.settings = [Setting(resolution=resolution) for resolution in resolutions]
        parts = Parts(conv=self._conv, norm=self._norm, quantizer=self._quantizer)
        if kind == "vgg_small":
            self.backbone = VGGSmall(parts, widths, side=-(-resolutions[0] // 8), name="backbone")
        else:
            self.backbone = ResNet(parts, blocks, widths, kind, mode, stem, quantize_first_shortcut, name="backbone")
        self.classifier = tf.keras.layers.Dense(
            classes,
            kernel_initializer=tf.keras.initializers.VarianceScaling(2.0, "fan_in", "untruncated_normal"),
            dtype="float32" if self.compute_dtype in ("float16", "bfloat16") else None,
            name="linear",
        )

    def get_config(self):
        return {**super().get_config(), **self._config}

    def build(self, input_shape=None):
        """Create all variables; the input shape does not matter."""
        if self.built:
            return
        self.alpha = self.add_weight(name="alpha", shape=(len(self.settings),), initializer="ones")
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
            elif isinstance(copy, QuantConv2D):
                copy.kernel.assign(layer.quantized_kernel())
            elif isinstance(copy, tf.keras.layers.Dense):
                copy.set_weights(layer.get_weights())
        return served

    def decayed_weights(self):
        """Kernels of all convolutions and of the final layer: what weight decay applies to."""
        layers = self._flatten_layers(include_self=False)
        return [layer.kernel for layer in layers if getattr(layer, "kernel", None) is not None]

    def _conv(self, filters, kernel_size, strides, name, quantized=True):
        return QuantConv2D(
            filters,
            kernel_size,
            weight_bits=self._config["weight_bits"] if quantized else None,
            strides=strides,
            padding="same",
            use_bias=False,
            kernel_initializer=tf.keras.initializers.VarianceScaling(2.0, "fan_out", "truncated_normal"),
            name=name,
        )

    def _norm(self, name, gamma_initializer="ones"):
        if self._config["served"]:
            return StackedBatchNorm(len(self.settings), name=name)
        return SwitchableBatchNorm(self.settings, gamma_initializer=gamma_initializer, name=name)

    def _quantizer(self, name):
        bits = self._config["activation_bits"]
        if bits is None:
            return None
        if self._config["served"]:
            private = self._config["basis_update"] == "private"
            return FixedLevels(bits, sets=len(self.settings) if private else 1, name=name)
        return ActivationQuantizer(bits, settings=self.settings, update=self._config["basis_update"], name=name)


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
