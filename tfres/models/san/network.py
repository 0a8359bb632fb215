"""The scale adaptive network."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from quant import At, QuantConv2D
from tfres.layers import FanOutNormal, MetaConv2D, MetaDepthwiseConv2D
from tfres.models.backbones import Parts
from tfres.models.network import Network
from tfres.models.rsnet.network import RSNet, final_layer, float_initializers, make_backbone, private_norm
from tfres.models.san.options import SANOptions
from tfres.settings import Private, Setting, mean_side, next_smaller

PIXELS_PER_ENCODING = 320


@tf.keras.saving.register_keras_serializable(package="tfres")
class SAN(Network):
    """A classifier whose kernels are generated from the resolution: K(e) = slope * e + kernel, e = resolution / 320.

    Generated are all convolutions but a residual network's stem; batch norms are private to the resolution, the final layer is
    shared. Arguments, call, output: `SANOptions` and `Network`.

    With the reference's initial values the kernels of residual networks begin so large (norms hide it) that they turn only
    slowly: it takes the published number of steps.

    References: Li et al., ECCV 2020, arXiv 2007.06181, and its code, whose encodings are 0.7 - 0.1 i by the place i in the
    list of sizes: equal for 224, 192, 160, 128, 96, different for other lists. Its initial values: residual networks U(-1, 1)
    for slope and kernel, MobileNetV2 N(0, 0.01) and 0; the stem and the final layer as `RSNet`. No unused parameters.
    """

    Options = SANOptions

    def encoding(self, resolution: int) -> float:
        """The encoding of a resolution: as given, or resolution / 320. Where others were given for trained resolutions, one
        between these is interpolated.
        """
        given = self.options.encodings
        if resolution in given:
            return given[resolution]
        trained, side = self.options.resolutions[::-1], mean_side(resolution)
        sides = [mean_side(r) for r in trained]
        if sides[0] <= side <= sides[-1] and any(r in given for r in trained):
            known = [given.get(r, own / PIXELS_PER_ENCODING) for r, own in zip(trained, sides, strict=True)]
            return float(np.interp(side, sides, known))
        return side / PIXELS_PER_ENCODING

    def unseen(self, setting: Setting, inference: str, encoding: float | None = None, **options: Any) -> Private:
        private = super().unseen(setting, inference, **options)
        if encoding is None:
            donor = next_smaller([s.resolution for s in self.settings], setting.resolution)
            encoding = self.encoding(donor if inference.startswith("proxy") else setting.resolution)
        return Private(private.values, {"encodings": {setting.resolution: encoding}})

    def private_values(self, setting: Any, target: Any) -> Private:
        norms = super().private_values(setting, target)
        resolution = Setting.parse(target).resolution
        given = self.options.encodings.get(resolution)
        return norms if given is None else Private(norms.values, {"encodings": {resolution: given}})

    def plain_network(self, setting: Setting) -> RSNet:
        options = self.options.to_dict()
        kept = {name: value for name, value in options.items() if name not in ("encodings", "initial_kernels")}
        return RSNet(**{**kept, "resolutions": [setting.resolution], "calibrated": []}, dtype=self.dtype_policy)

    def plain_values(self, setting: Setting, plain: Network) -> dict[str, Any]:
        kernels = {
            layer.latent_kernel.name: layer.generated_kernel(At(setting))
            for layer in self._flatten_layers()
            if isinstance(layer, (MetaConv2D, MetaDepthwiseConv2D))
        }
        return {**kernels, plain.alpha.name: [1.0]}

    def parts(self) -> Parts:
        return Parts(
            channels=lambda count, place, ratio=1: count,
            conv=self._conv,
            depthwise=self._depthwise,
            norm=lambda channels, name, gamma_initializer="ones": private_norm(self, name, gamma_initializer),
            quantizer=lambda name: None,
        )

    def make_backbone(self, parts: Parts) -> tf.keras.layers.Layer:
        return make_backbone(self.options, parts, self.options.mode)

    def make_classifier(self) -> tf.keras.layers.Layer:
        return final_layer(self, *float_initializers(self.options.kind, self.feature_channels))

    def _conv(
        self, channels: int, kernel_size: int, strides: int, name: str, quantized: bool = True, groups: int = 1
    ) -> tf.keras.layers.Layer:
        options = {"strides": strides, "padding": "symmetric", "groups": groups, "use_bias": False, "name": name}
        if not quantized and self.options.kind != "mobilenet_v2":
            return QuantConv2D(channels, kernel_size, kernel_initializer=FanOutNormal(), **options)
        slope, kernel = self._initial()
        meta = {"encodings": self._encodings(), "slope_initializer": slope, "kernel_initializer": kernel}
        return MetaConv2D(channels, kernel_size, **meta, **options)

    def _depthwise(self, channels: int, kernel_size: int, strides: int, name: str) -> tf.keras.layers.Layer:
        options = {"strides": strides, "padding": "symmetric", "use_bias": False, "name": name}
        slope, kernel = self._initial(depthwise=True)
        meta = {"encodings": self._encodings(), "slope_initializer": slope, "depthwise_initializer": kernel}
        return MetaDepthwiseConv2D(kernel_size, **meta, **options)

    def _encodings(self) -> dict[str, float]:
        return {str(setting): self.encoding(setting.resolution) for setting in self.settings}

    def _initial(self, depthwise: bool = False) -> tuple[Any, Any]:
        """Initial values of slope and kernel."""
        initializers = tf.keras.initializers
        if self.options.initial_kernels == "plain":
            return initializers.Zeros(), FanOutNormal(depthwise)
        if self.options.kind == "mobilenet_v2":
            return initializers.RandomNormal(stddev=0.01), initializers.Zeros()
        return initializers.RandomUniform(-1, 1), initializers.RandomUniform(-1, 1)
