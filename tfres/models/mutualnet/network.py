"""The network that runs at any width and resolution."""

import dataclasses
import math

import tensorflow as tf

from tfres.layers import FanOutNormal
from tfres.layers.slim_channels import SlimChannels
from tfres.layers.slimmable import (
    PackedBatchNorm,
    SlimmableBatchNorm,
    SlimmableConv2D,
    SlimmableDense,
    SlimmableDepthwiseConv2D,
)
from tfres.models.backbones import MobileNetV1, MobileNetV2, ResNet, WideResNet
from tfres.models.switchable import SwitchableNetwork
from tfres.settings import Setting

KINDS = ("mobilenet_v1", "mobilenet_v2", "bottleneck", "wide")


@tf.keras.saving.register_keras_serializable(package="tfres")
class MutualNet(SwitchableNetwork):
    """A classifier whose layers run with their leading channels: any width between two bounds, at any resolution.

    A setting is a resolution and a width, `r160-w0.75`; a width left out is the largest. Every setting runs in training;
    for inference it needs statistics of its norms, which the widths in `width_mults` get in training (for whatever resolution
    they saw there) and any setting by calibration.

    Args:
        kind: "mobilenet_v1", "mobilenet_v2", "bottleneck" (ResNet) or "wide" (wide residual network for CIFAR).
        blocks: blocks per group, of the residual kinds.
        widths: channels per group at width 1; of "wide" with the stem first.
        width_range: smallest and largest width; variables are built for the largest, which may be above 1.
        width_mults: widths with statistics from training; default both ends of the range.
        resolutions: sides in pixels, the full side first.
        calibrated: further settings with statistics of their own, "r128-w0.5".
        classes: number of classes.
        dropout: between the convolutions of a "wide" block.
        divisor, minimum: of the rounding of channels, see `tfres.layers.slim_channels`.
        private: gamma and beta belong to the width too: slimmable networks with switches, for short `width_mults`.
        channel_lists: mapping of names to lists of channels in the order of the convolutions but depthwise ones (AutoSlim).
            The settings are then these sub-networks, `r224-netA`, with private norms; the last by name is the full one.
        synchronised: see `SwitchableBatchNorm`.
        stem, stride_in: of "bottleneck", see `tfres.models.backbones.ResNet`.

    Call arguments and output: as `SwitchableNetwork`; `setting` may be any setting whose width is in range.

    References: Yang et al., MutualNet, arXiv 1909.12978 and 2105.07085; Yu et al., slimmable networks, arXiv 1812.08928,
    1903.05134 and 1903.11728; and their code. Unlike there, MobileNetV2's last norm has statistics per setting, and those of
    several settings live beside one another.
    """

    def __init__(
        self,
        kind="mobilenet_v1",
        blocks=(),
        widths=(),
        width_range=(0.25, 1.0),
        width_mults=None,
        resolutions=(224, 192, 160, 128),
        calibrated=(),
        classes=1000,
        mode="float",
        stem="imagenet",
        stride_in="3x3",
        dropout=0.0,
        divisor=8,
        minimum=1,
        private=False,
        channel_lists=None,
        synchronised=False,
        served=False,
        **kwargs,
    ):
        self.check({"kind": kind, "mode": mode, "width_range": width_range, "width_mults": width_mults})
        lower, upper = (float(bound) for bound in width_range)
        width_mults = [float(width) for width in width_mults or (lower, upper)]
        config = {
            "kind": kind,
            "blocks": blocks,
            "widths": widths,
            "width_range": [lower, upper],
            "width_mults": sorted({*width_mults}, reverse=True),
            "resolutions": resolutions,
            "calibrated": calibrated,
            "classes": classes,
            "mode": "float",
            "stem": stem,
            "stride_in": stride_in,
            "dropout": dropout,
            "divisor": divisor,
            "minimum": minimum,
            "private": private,
            "channel_lists": {name: list(counts) for name, counts in (channel_lists or {}).items()},
            "synchronised": synchronised,
            "served": served,
        }
        super().__init__(config, **kwargs)

    @staticmethod
    def check(arguments):
        mode, kind = arguments.get("mode"), arguments.get("kind", "mobilenet_v1")
        if mode not in (None, "float") or kind not in KINDS:
            raise ValueError(
                f"`mode` must be float and `kind` one of {', '.join(KINDS)}. Received: mode={mode!r}, kind={kind!r}."
            )
        lower, upper = arguments.get("width_range") or (0.25, 1.0)
        if not 0 < lower <= upper:
            raise ValueError(f"`width_range` must be two ascending positive widths. Received: width_range={(lower, upper)}.")
        wrong = [width for width in arguments.get("width_mults") or () if not width <= upper or width <= 0]
        if wrong:
            raise ValueError(f"`width_mults` must be positive and at most {upper:g}. Received: width_mults={wrong}.")

    @property
    def width_range(self):
        """Smallest and largest width."""
        return tuple(self._config["width_range"])

    def call(self, images, setting=None, training=None):
        if not self.built:  # create all variables, with the channels of the widest
            return self.logits(images, None, training=True)
        setting = self.resolve(setting)
        return self.logits(images, self.served_setting(setting) if self._config["served"] else setting, training)

    def materialize(self, setting=None):
        """The plain network at one setting: built at that width, outputs equal."""
        setting = self.resolve(setting)
        lists = {name: counts for name, counts in self._config["channel_lists"].items() if name == setting.subnet}
        width = [setting.width_mult or 1.0]
        plain = type(self)(
            **{
                **self._config,
                "width_range": width * 2,
                "width_mults": width,
                "resolutions": [setting.resolution],
                "calibrated": (),
                "channel_lists": lists,
            },
            dtype=self.dtype_policy,
        )
        plain.build()
        values = {variable.name: variable for variable in self.weights}
        slots = str(dataclasses.replace(setting, resolution=None)), str(setting)
        for variable in plain.weights:
            own = variable.name.replace(f"/{slots[0]}_", f"/{slots[1]}_")
            value = values[own if own in values else variable.name]
            variable.assign(value[tuple(slice(size) for size in variable.shape)])
        return plain

    def served_setting(self, setting):
        return tf.constant(self.settings.index(setting))

    def _copy_served(self, layer, copy):
        if isinstance(copy, (SlimmableConv2D, SlimmableDepthwiseConv2D)):
            copy.latent_kernel.assign(layer.latent_kernel)

    def resolve(self, setting=None):
        """The whole `Setting` meant: the full side and the largest width (or the first sub-network) where they are left out.

        Raises:
            ValueError: a width above the largest, or an unknown sub-network.
        """
        setting = Setting.parse(setting) if setting is not None else self.trained_settings[0]
        names, upper = list(self._config["channel_lists"]), self._config["width_range"][1]
        if names and setting.subnet not in names:
            raise ValueError(f"`setting` must name one of the sub-networks {', '.join(names)}. Received: setting={setting}.")
        if not names and (setting.width_mult or upper) > upper:
            raise ValueError(f"`setting` must have a width of at most {upper:g}. Received: setting={setting}.")
        width = None if names else setting.width_mult or upper
        resolution = setting.resolution or self._config["resolutions"][0]
        return dataclasses.replace(setting, width_mult=width, resolution=resolution)

    def decayed_weights(self, decay_on="kernels"):
        """As the base class; kernels are those of ordinary convolutions and the final layer, not depthwise ones."""
        if decay_on == "all":
            return list(self.trainable_weights)
        return [weight for weight in self.trainable_weights if weight.name.endswith("/kernel:0")]

    _calibrates_trained = True
    _counted_in_training = True  # every setting has a cost, also without statistics
    _final_layer = SlimmableDense

    def logits(self, images, setting, training=None):
        features = self.backbone(images, setting=setting, training=training)
        return self.classifier(features, setting=setting)

    def _make_trained_settings(self):
        full, names = self._config["resolutions"][0], self._config["channel_lists"]
        if names:
            return sorted((Setting(full, subnet=name) for name in names), reverse=True)
        return [Setting(full, width) for width in self._config["width_mults"]]

    def _make_layers(self):
        self._convs_made, self._latest = 0, None
        super()._make_layers()

    def _make_backbone(self, parts):
        config = self._config
        if config["kind"] == "mobilenet_v1":
            return MobileNetV1(parts, name="backbone")
        if config["kind"] == "mobilenet_v2":
            return MobileNetV2(parts, name="backbone")
        if config["kind"] == "wide":
            return WideResNet(parts, config["blocks"], config["widths"], config["dropout"], name="backbone")
        options = {name: config[name] for name in ("blocks", "widths", "kind", "mode", "stem", "stride_in")}
        return ResNet(parts, **options, name="backbone")

    def _final_initializers(self):
        initializers = tf.keras.initializers
        if self._config["kind"] == "wide":
            limit = 1 / math.sqrt(self._latest.built)
            return initializers.RandomUniform(-limit, limit), "zeros"
        return initializers.RandomNormal(stddev=0.01), "zeros"

    def _conv(self, filters, kernel_size, strides, name, quantized=True, groups=1, ratio=1):
        config = self._config
        counts = {subnet: channels[self._convs_made] for subnet, channels in config["channel_lists"].items()}
        rule = {"divisor": config["divisor"], "minimum": config["minimum"], "ratio": ratio or 1}
        fixed = ratio is None and not counts
        upper = config["width_range"][1]
        self._latest = SlimChannels(filters, upper, self.settings, fixed, counts, **rule)
        self._convs_made += 1
        return SlimmableConv2D(
            self._latest,
            kernel_size,
            strides=strides,
            padding="symmetric",
            groups=groups,
            use_bias=False,
            kernel_initializer=FanOutNormal(),
            name=name,
        )

    def _depthwise(self, kernel_size, strides, name):
        options = {"strides": strides, "padding": "symmetric", "use_bias": False, "name": name}
        return SlimmableDepthwiseConv2D(kernel_size, depthwise_initializer=FanOutNormal(depthwise=True), **options)

    def _norm(self, name, gamma_initializer="ones"):
        slots = [dataclasses.replace(setting, resolution=None) for setting in self.trained_settings]
        private = bool(self._config["channel_lists"]) or self._config["private"] and not self._latest.fixed
        if self._config["served"]:
            return PackedBatchNorm(self._latest, private, name=name)
        return SlimmableBatchNorm(
            self._latest,
            [*slots, *self.calibrated_settings],
            private=private,
            gamma_initializer=gamma_initializer,
            synchronised=self._config["synchronised"],
            name=name,
        )
