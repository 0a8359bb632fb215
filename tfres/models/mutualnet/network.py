"""The network that runs at any width and resolution."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import tensorflow as tf

from tfres.layers import FanOutNormal
from tfres.layers.slim_channels import SlimChannels
from tfres.layers.slimmable import SlimmableConv2D, SlimmableDense, SlimmableDepthwiseConv2D
from tfres.layers.slimmable_batch_norm import SlimmableBatchNorm
from tfres.models.backbones import MNasNet, MobileNetV1, MobileNetV2, Parts, ResNet, WideResNet
from tfres.models.costs import Cost, count_cost
from tfres.models.mutualnet.options import MutualNetOptions
from tfres.models.network import Network
from tfres.settings import Private, Setting


@tf.keras.saving.register_keras_serializable(package="tfres")
class MutualNet(Network):
    """A classifier whose layers run with their leading channels: any width between two bounds, at any resolution.

    A setting is a resolution and a width, `r160-w0.75`; a width left out is the largest. Every setting runs in training;
    for inference it needs statistics of its norms, which widths get in training (for whatever resolution they saw there) and
    any setting by calibration. Arguments, call, output: `MutualNetOptions` and `Network`; `setting` may be any setting whose
    width is at most the largest.

    References: Yang et al., MutualNet, arXiv 1909.12978 and 2105.07085; Yu et al., slimmable networks, arXiv 1812.08928,
    1903.05134 and 1903.11728; and their code. Unlike there, MobileNetV2's last norm has statistics per setting, and those of
    several settings live beside one another.
    """

    Options = MutualNetOptions
    continuous = False
    calibrates_trained = True

    @property
    def axes(self) -> tuple[str, ...]:
        """Fields of a setting in which its settings differ."""
        return ("resolution", "subnet" if self.options.channel_lists else "width_mult")

    @property
    def width_range(self) -> tuple[float, float]:
        """Smallest and largest width."""
        low, high = self.options.width_range
        return low, high

    def make_trained_settings(self) -> list[Setting]:
        full, names = self.options.resolutions[0], self.options.channel_lists
        if names:
            return sorted((Setting(full, subnet=name) for name in names), reverse=True)
        return [Setting(full, width) for width in self.options.width_mults]

    def resolve(self, setting: Any = None) -> Setting:
        """The whole `Setting` meant: the full side and the largest width (or the first sub-network) where they are left out.

        Raises:
            ValueError: a width above the largest, or an unknown sub-network.
        """
        setting = Setting.parse(setting) if setting is not None else self.trained_settings[0]
        names, upper = list(self.options.channel_lists), self.options.width_range[1]
        if setting.exit is not None or (setting.subnet is not None and not names) or (names and setting.width_mult):
            raise ValueError(f"`setting` must be a resolution and a width or sub-network. Received: setting={setting}.")
        if names and setting.subnet not in names:
            raise ValueError(f"`setting` must name one of the sub-networks {', '.join(names)}. Received: setting={setting}.")
        if not names and (setting.width_mult or upper) > upper:
            raise ValueError(f"`setting` must have a width of at most {upper:g}. Received: setting={setting}.")
        width = None if names else setting.width_mult or upper
        resolution = setting.resolution or self.options.resolutions[0]
        return dataclasses.replace(setting, width_mult=width, resolution=resolution)

    def call(self, images: tf.Tensor, setting: Any = None, training: bool | None = None) -> tf.Tensor:
        if not self.built:  # create all variables, with the channels of the widest
            return self.run(images, None, training=True)
        return super().call(images, setting, training)

    def cost(self, setting: Any = None) -> Cost:
        setting = self.resolve(setting)
        return count_cost(self, setting, (1, *self.input_size(setting), 3), training=True)  # also without statistics

    def unseen(self, setting: Setting, inference: str, **options: Any) -> Private:
        raise ValueError(
            f"`inference` is for networks of one width; settings of {type(self).__name__} are calibrated. "
            f"Received: inference={inference!r}."
        )

    def uncalibrated(self, setting: Setting, norms_of: int | None = None) -> Private:
        if norms_of is not None:
            raise ValueError(f"`norms_of` is for networks of one width. Received: norms_of={norms_of}.")
        private = self.private_values(setting, setting)
        if self.options.switches and not private.values:
            known = ", ".join(map(str, self.settings))
            raise ValueError(
                f"`setting` must have a width or sub-network with norms of its own, as {known}. Received: {setting}."
            )
        return private

    def private_values(self, setting: Any, target: Any) -> Private:
        setting = Setting.parse(setting)
        found = super().private_values(setting, target)
        return found if found.values else super().private_values(dataclasses.replace(setting, resolution=None), target)

    def plain_network(self, setting: Setting) -> MutualNet:
        lists = {name: counts for name, counts in self.options.channel_lists.items() if name == setting.subnet}
        width = [setting.width_mult or 1.0]
        return type(self)(
            **{
                **self.options.to_dict(),
                "width_range": width * 2,
                "width_mults": width,
                "resolutions": [setting.resolution],
                "calibrated": [],
                "channel_lists": lists,
                "dropout": 0.0,  # it has no weights, and calibration must not see it
            },
            dtype=self.dtype_policy,
        )

    def plain_values(self, setting: Setting, plain: Network) -> dict[str, Any]:
        """The leading part of every weight; statistics are those of the setting, else of its width."""
        own = {variable.name: variable for variable in self.weights}
        short, whole = f"/{dataclasses.replace(setting, resolution=None)}_", f"/{setting}_"
        values = {}
        for variable in plain.weights:
            name = variable.name
            source = next((own[n] for n in (name.replace(short, whole), name) if n in own), None)
            if source is None:
                known = ", ".join(map(str, self.settings))
                raise ValueError(f"`setting` must have statistics: {known}, or be calibrated. Received: {setting}.")
            values[name] = tf.convert_to_tensor(source)[tuple(slice(size) for size in variable.shape)]
        return values

    def decayed_weights(self, decay_on: str = "kernels") -> list[tf.Variable]:
        """As the base class; kernels are those of ordinary convolutions and the final layer, not depthwise ones."""
        if decay_on == "all":
            return list(self.trainable_weights)
        return [weight for weight in self.trainable_weights if weight.name.endswith("/kernel:0")]

    def parts(self) -> Parts:
        return Parts(
            channels=self._channels, conv=self._conv, depthwise=self._depthwise, norm=self._norm, quantizer=lambda name: None
        )

    def make_backbone(self, parts: Parts) -> tf.keras.layers.Layer:
        options = self.options
        kinds = {"mobilenet_v1": MobileNetV1, "mobilenet_v2": MobileNetV2, "mnasnet": MNasNet}
        if options.kind in kinds:
            return kinds[options.kind](parts, name="backbone")
        if options.kind == "wide":
            return WideResNet(parts, options.blocks, options.widths, options.dropout, name="backbone")
        names = ("blocks", "widths", "kind", "mode", "stem", "stride_in")
        return ResNet(parts, **{name: getattr(options, name) for name in names}, name="backbone")

    def make_classifier(self) -> tf.keras.layers.Layer:
        kernel, bias = tf.keras.initializers.RandomNormal(stddev=0.01), "zeros"
        if self.options.kind == "wide":
            limit = 1 / math.sqrt(self.feature_channels.built)
            kernel = tf.keras.initializers.RandomUniform(-limit, limit)
        return SlimmableDense(
            self.options.classes,
            kernel_initializer=kernel,
            bias_initializer=bias,
            dtype="float32" if self.compute_dtype in ("float16", "bfloat16") else None,
            name="linear",
        )

    def _channels(self, count: int, place: int, ratio: float | None = 1) -> SlimChannels:
        options = self.options
        lists = {}
        for name, counts in options.channel_lists.items():
            if place is None or place >= len(counts):
                raise ValueError(f"`channel_lists` must have a number per convolution. Received: {name} has {len(counts)}.")
            lists[name] = counts[place]
        fixed = ratio is None and not lists
        rule = {"divisor": options.divisor, "minimum": options.minimum, "ratio": ratio or 1}
        return SlimChannels(count, options.width_range[1], fixed=fixed, counts=lists, **rule)

    def _conv(
        self, channels: SlimChannels, kernel_size: int, strides: int, name: str, quantized: bool = True, groups: int = 1
    ) -> tf.keras.layers.Layer:
        options = {"strides": strides, "padding": "symmetric", "groups": groups, "use_bias": False, "name": name}
        return SlimmableConv2D(channels, kernel_size, kernel_initializer=FanOutNormal(), **options)

    def _depthwise(self, channels: SlimChannels, kernel_size: int, strides: int, name: str) -> tf.keras.layers.Layer:
        options = {"strides": strides, "padding": "symmetric", "use_bias": False, "name": name}
        return SlimmableDepthwiseConv2D(kernel_size, depthwise_initializer=FanOutNormal(depthwise=True), **options)

    def _norm(self, channels: SlimChannels, name: str, gamma_initializer: str = "ones") -> tf.keras.layers.Layer:
        widths = [dataclasses.replace(setting, resolution=None) for setting in self.trained_settings]
        return SlimmableBatchNorm(
            channels,
            [*widths, *self.calibrated_settings],
            private=bool(self.options.channel_lists) or (self.options.private and not channels.fixed),
            gamma_initializer=gamma_initializer,
            synchronised=self.options.synchronised_norms,
            name=name,
        )
