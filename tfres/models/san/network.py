"""The scale adaptive network."""

import numpy as np
import tensorflow as tf

from quant import QuantConv2D
from tfres.layers import FanOutNormal, MetaConv2D, MetaDepthwiseConv2D
from tfres.models.rsnet import RSNet
from tfres.models.switchable import SwitchableNetwork
from tfres.settings import Setting

PIXELS_PER_ENCODING = 320


@tf.keras.saving.register_keras_serializable(package="tfres")
class SAN(SwitchableNetwork):
    """A classifier whose kernels are generated from the resolution: K(e) = slope * e + kernel, e = resolution / 320.

    Generated are all convolutions but a residual network's stem; batch norms are private to the resolution, the final layer is
    shared.

    Args:
        kind, blocks, widths, width_mult, stem, resolutions, calibrated, classes, groups, base_width, stride_in,
            synchronised, served: as `RSNet`; kind is "basic", "bottleneck" or "mobilenet_v2".
        encodings: mapping of resolution to encoding where it is not resolution / 320.
        initial_kernels: "generated", the reference's initial values, or "plain": slope 0 and the kernels of `RSNet`, so that
            all resolutions begin with the same ordinary kernel. With the reference's the kernels of residual networks begin
            so large (norms hide it) that they turn only slowly: it takes the published number of steps.
        mode: "float", the one arrangement there is.

    Call arguments, output, `settings` and `trained_settings`: as `SwitchableNetwork`.

    References: Li et al., ECCV 2020, arXiv 2007.06181, and its code, whose encodings are 0.7 - 0.1 i by the place i in the
    list of sizes: equal for 224, 192, 160, 128, 96, different for other lists. Its initial values: residual networks U(-1, 1)
    for slope and kernel, MobileNetV2 N(0, 0.01) and 0; the stem and the final layer as `RSNet`. No unused parameters.
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
        encodings=None,
        initial_kernels="generated",
        classes=1000,
        mode="float",
        groups=1,
        base_width=64,
        stride_in="3x3",
        synchronised=False,
        served=False,
        **kwargs,
    ):
        self.check({"kind": kind, "mode": mode, "initial_kernels": initial_kernels})
        config = {
            "kind": kind,
            "blocks": blocks,
            "widths": widths,
            "width_mult": width_mult,
            "stem": stem,
            "resolutions": resolutions,
            "calibrated": calibrated,
            "encodings": {str(resolution): float(e) for resolution, e in (encodings or {}).items()},
            "initial_kernels": initial_kernels,
            "classes": classes,
            "mode": "float",
            "groups": groups,
            "base_width": base_width,
            "stride_in": stride_in,
            "synchronised": synchronised,
            "served": served,
        }
        super().__init__(config, **kwargs)

    @staticmethod
    def check(arguments):
        mode, kind = arguments.get("mode"), arguments.get("kind", "basic")
        if mode not in (None, "float") or kind not in ("basic", "bottleneck", "mobilenet_v2"):
            raise ValueError(
                "`mode` must be float and `kind` basic, bottleneck or mobilenet_v2 in a SAN. "
                f"Received: mode={mode!r}, kind={kind!r}."
            )
        initial = arguments.get("initial_kernels", "generated")
        if initial not in ("generated", "plain"):
            raise ValueError(f"`initial_kernels` must be generated or plain. Received: initial_kernels={initial!r}.")

    def encoding(self, resolution):
        """The encoding of a resolution: as given, or resolution / 320. Where others were given for trained resolutions, one
        between these is interpolated.
        """
        given = self._config["encodings"]
        if str(resolution) in given:
            return given[str(resolution)]
        trained = self._config["resolutions"][::-1]
        if trained[0] <= resolution <= trained[-1] and any(str(r) in given for r in trained):
            return float(np.interp(resolution, trained, [given.get(str(r), r / PIXELS_PER_ENCODING) for r in trained]))
        return resolution / PIXELS_PER_ENCODING

    def _extended_config(self, branches):
        given = {
            str(Setting.parse(setting).resolution): branch.encoding
            for setting, branch in branches.items()
            if branch.encoding is not None
        }
        return {"encodings": {**self._config["encodings"], **given}}

    def _plain(self, config):
        kept = {name: value for name, value in config.items() if name not in ("encodings", "initial_kernels")}
        return RSNet(**kept, dtype=self.dtype_policy)

    def _plain_values(self, setting):
        kernels = {
            layer.latent_kernel.name: layer.generated_kernel(setting)
            for layer in self._flatten_layers()
            if isinstance(layer, (MetaConv2D, MetaDepthwiseConv2D))
        }
        return {**kernels, "alpha:0": [1.0]}

    def _conv(self, filters, kernel_size, strides, name, quantized=True, groups=1, ratio=1):
        options = {"strides": strides, "padding": "symmetric", "groups": groups, "use_bias": False, "name": name}
        if not quantized and self._config["kind"] != "mobilenet_v2":
            return QuantConv2D(filters, kernel_size, kernel_initializer=FanOutNormal(), **options)
        slope, kernel = self._initial()
        meta = {"encodings": self._encodings(), "slope_initializer": slope, "kernel_initializer": kernel}
        return MetaConv2D(filters, kernel_size, **meta, **options)

    def _depthwise(self, kernel_size, strides, name):
        options = {"strides": strides, "padding": "symmetric", "use_bias": False, "name": name}
        slope, kernel = self._initial(depthwise=True)
        meta = {"encodings": self._encodings(), "slope_initializer": slope, "depthwise_initializer": kernel}
        return MetaDepthwiseConv2D(kernel_size, **meta, **options)

    def _encodings(self):
        return {str(setting): self.encoding(setting.resolution) for setting in self.settings}

    def _initial(self, depthwise=False):
        """Initial values of slope and kernel."""
        initializers = tf.keras.initializers
        if self._config["initial_kernels"] == "plain":
            return initializers.Zeros(), FanOutNormal(depthwise)
        if self._config["kind"] == "mobilenet_v2":
            return initializers.RandomNormal(stddev=0.01), initializers.Zeros()
        return initializers.RandomUniform(-1, 1), initializers.RandomUniform(-1, 1)

    def _copy_served(self, layer, copy):
        if isinstance(copy, (MetaConv2D, MetaDepthwiseConv2D)):
            copy.slope.assign(layer.slope)
            copy.latent_kernel.assign(layer.latent_kernel)
        elif isinstance(copy, QuantConv2D):
            copy.latent_kernel.assign(layer.latent_kernel)
