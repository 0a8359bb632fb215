"""The scale adaptive network."""

import tensorflow as tf

from quant import QuantConv2D
from tfres.layers import MetaConv2D, MetaDepthwiseConv2D
from tfres.models.rsnet import RSNet
from tfres.models.switchable import SwitchableNetwork, fan_out_normal

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
        mode: "float", the one arrangement there is.

    Call arguments, output, `settings` and `trained_settings`: as `SwitchableNetwork`.

    References: Li et al., ECCV 2020, arXiv 2007.06181, and its code, whose encodings are 0.7 - 0.1 i by the place i in the
    list of sizes: equal for 224, 192, 160, 128, 96, different for other lists. Initial values as there: residual networks
    U(-1, 1) for slope and kernel, MobileNetV2 N(0, 0.01) and 0; the stem and the final layer as `RSNet`. No unused
    parameters.
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
        classes=1000,
        mode="float",
        groups=1,
        base_width=64,
        stride_in="3x3",
        synchronised=False,
        served=False,
        **kwargs,
    ):
        self.check({"kind": kind, "mode": mode})
        config = {
            "kind": kind,
            "blocks": blocks,
            "widths": widths,
            "width_mult": width_mult,
            "stem": stem,
            "resolutions": resolutions,
            "calibrated": calibrated,
            "encodings": {str(resolution): float(e) for resolution, e in (encodings or {}).items()},
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

    def encoding(self, resolution):
        """The encoding of a resolution."""
        return self._config["encodings"].get(str(resolution), resolution / PIXELS_PER_ENCODING)

    def _extended_config(self, branches):
        given = {str(r): branch.encoding for r, branch in branches.items() if branch.encoding is not None}
        return {"encodings": {**self._config["encodings"], **given}}

    def materialize(self, setting=None):
        """The plain network at one setting: an `RSNet` of that resolution whose kernels are the generated ones."""
        setting = self.resolve(setting)
        kept = {name: value for name, value in self._config.items() if name != "encodings"}
        plain = RSNet(**{**kept, "resolutions": [setting.resolution], "calibrated": ()})
        plain.build()
        values = {variable.name: variable for variable in self.weights}
        generated = {
            layer.latent_kernel.name: layer.generated_kernel(setting)
            for layer in self._flatten_layers()
            if isinstance(layer, (MetaConv2D, MetaDepthwiseConv2D))
        }
        for variable in plain.weights:
            if variable.name != plain.alpha.name:
                variable.assign(generated.get(variable.name, values[variable.name]))
        return plain

    def _conv(self, filters, kernel_size, strides, name, quantized=True, groups=1):
        options = {"strides": strides, "padding": "symmetric", "groups": groups, "use_bias": False, "name": name}
        if not quantized and self._config["kind"] != "mobilenet_v2":
            return QuantConv2D(filters, kernel_size, kernel_initializer=fan_out_normal(kernel_size, filters), **options)
        return MetaConv2D(filters, kernel_size, **self._meta("kernel_initializer"), **options)

    def _depthwise(self, kernel_size, strides, name):
        options = {"strides": strides, "padding": "symmetric", "use_bias": False, "name": name}
        return MetaDepthwiseConv2D(kernel_size, **self._meta("depthwise_initializer"), **options)

    def _meta(self, kernel_initializer):
        """Encodings and initial values of a generated convolution."""
        initializers = tf.keras.initializers
        if self._config["kind"] == "mobilenet_v2":
            slope, base = initializers.RandomNormal(stddev=0.01), initializers.Zeros()
        else:
            slope, base = initializers.RandomUniform(-1, 1), initializers.RandomUniform(-1, 1)
        encodings = {str(setting): self.encoding(setting.resolution) for setting in self.settings}
        return {"encodings": encodings, "slope_initializer": slope, kernel_initializer: base}

    def _copy_served(self, layer, copy):
        if isinstance(copy, (MetaConv2D, MetaDepthwiseConv2D)):
            copy.slope.assign(layer.slope)
            copy.latent_kernel.assign(layer.latent_kernel)
        elif isinstance(copy, QuantConv2D):
            copy.latent_kernel.assign(layer.latent_kernel)
