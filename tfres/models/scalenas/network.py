"""The supernet whose settings are masks at resolutions."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import tensorflow as tf

from quant import At, QuantConv2D
from tfres.layers.serving import served_form
from tfres.layers.shared_batch_norm import ALL, SharedBatchNorm
from tfres.models.backbones import Parts
from tfres.models.costs import Cost
from tfres.models.network import Network
from tfres.models.scalenas.backbone import BranchedBackbone
from tfres.models.scalenas.blocks import ConcatenatedHead, FinestHead
from tfres.models.scalenas.counting import Count
from tfres.models.scalenas.masks import is_code
from tfres.models.scalenas.options import STRIDE, ScaleNASOptions
from tfres.models.served import ServedNetwork
from tfres.settings import Private, Setting


@tf.keras.saving.register_keras_serializable(package="tfres")
class ScaleNAS(Network):
    """A network of branches of different resolution with fusion paths between them after every block; a mask chooses how many
    blocks every branch has, and which paths.

    A setting is a resolution and a sub-network, `r512x1024-netS1`; what is left out is the largest and the first of
    `subnets`. Any mask runs at any size whose sides are multiples of 32. Norms have one set of statistics, that of the
    training, and further ones for settings that were calibrated. Arguments: `ScaleNASOptions`. Output: maps of `classes`
    values (logits, or heatmaps) `(batch, height / 4, width / 4, classes)`.

    Reference: Cheng et al., ScaleNAS, arXiv 2011.14584, and its code.
    """

    Options = ScaleNASOptions
    axes = ("resolution", "subnet")
    continuous = False
    calibrates_trained = True

    def make_trained_settings(self) -> list[Setting]:
        size = self.options.sizes[0]
        return self.largest_first(Setting(size, subnet=name) for name in self.options.subnets)

    def largest_first(self, settings: Iterable[Setting]) -> list[Setting]:
        """By pixels, then by multiply-adds."""
        known = [(s.sides[0] * s.sides[1], self._count(s).macs, s) for s in settings]
        return [setting for *_, setting in sorted(known, reverse=True)]

    def resolve(self, setting: Any = None) -> Setting:
        """The whole `Setting` meant: the largest resolution and the first sub-network where they are left out.

        Raises:
            ValueError: an unknown sub-network, one that is not built, or sides that are no multiples of 32.
        """
        setting = Setting(self.options.sizes[0]) if setting is None else Setting.parse(setting)
        if setting.width_mult is not None or setting.exit is not None:
            raise ValueError(f"`setting` must be a resolution and a sub-network. Received: setting={setting}.")
        resolution, subnet = setting.resolution or self.options.sizes[0], setting.subnet or self.options.subnets[0]
        setting = Setting(resolution, subnet=subnet)
        if any(side % STRIDE for side in setting.sides):
            raise ValueError(f"`setting` must have sides that are multiples of {STRIDE}. Received: setting={setting}.")
        if not self.options.mask(subnet) <= self.options.built:
            known = ", ".join(self.options.subnets)
            raise ValueError(f"`setting` must be a sub-network that was extracted: {known}. Received: setting={setting}.")
        return setting

    def build(self, input_shape: Any = None) -> None:
        """Create all variables; the input shape does not matter."""
        if not self.built:
            self.run(tf.zeros([1, STRIDE, STRIDE, 3], self.compute_dtype), None)  # quicker than Keras, which traces a graph
            tf.keras.layers.Layer.build(self, (None, *self.input_size(), 3))

    def run(self, images: tf.Tensor, at: At | None, training: bool | None = None) -> tf.Tensor:
        if any(side is not None and side % STRIDE for side in images.shape[1:3]):
            raise ValueError(f"`images` must have sides that are multiples of {STRIDE}. Received: shape={images.shape}.")
        maps = self.backbone(images, at=at, training=training)
        return self.classifier(maps, at=at, training=training)

    def cost(self, setting: Any = None) -> Cost:
        setting = self.resolve(setting)
        count = self._count(setting)
        return Cost(count.macs, count.params, 4 * count.params)

    def more_costs(self, setting: Any = None) -> dict[str, float]:
        """Multiply-adds and parameters without what cannot reach the answer, `macs_live` and `params_live`; `gimacs`, all
        multiply-adds / 1024^3, which the authors call GFLOPs.
        """
        setting = self.resolve(setting)
        live = self._count(setting, live=True)
        return {"gimacs": self._count(setting).macs / 2**30, "macs_live": live.macs, "params_live": live.params}

    def _count(self, setting: Setting, live: bool = False) -> Count:
        mask = self.options.mask(setting.subnet)
        return Count(self.options, mask.live() if live and self.options.gathered else mask, setting.sides)

    def materialize(self, setting: Any = None, private: Private | None = None, drop_dead: bool = False) -> ScaleNAS:
        """The extracted network of a mask at a resolution; see `Network.materialize`.

        Args:
            setting, private: see there.
            drop_dead: without what cannot reach the answer (of masks whose last module goes on after branch 0 has gathered).
        """
        setting = self.resolve(setting)
        masks = {name: mask for name, mask in self.options.masks.items() if name == setting.subnet}
        name = setting.subnet
        if drop_dead and self.options.gathered and name not in ("full", "smallest"):  # these have none
            live = self.options.mask(name).live()
            name = live.code(self.options.space) if is_code(name) else name
            masks = {} if is_code(name) else {name: live.to_json()}
        only = {"resolutions": [setting.resolution], "subnets": [name], "masks": masks, "calibrated": []}
        own = self.private_values(setting, ALL).values
        if private is not None:
            start = f"/{setting}_moving_"
            own = {name.replace(start, f"/{ALL}_moving_"): value for name, value in private.values.items()}
        return self._extracted(only, own)

    def _extracted(self, changes: dict[str, Any], own: Mapping[str, Any]) -> ScaleNAS:
        """The extracted network with other options, and with values in place of this network's."""
        options = {**self.options.to_dict(), **changes, "extracted": True}
        network = type(self)(**options, dtype=self.dtype_policy)
        network.build()
        values = {**{variable.name: variable for variable in self.weights}, **own}
        for variable in network.weights:
            variable.assign(values[variable.name])
        return network

    def private_values(self, setting: Any, target: Any) -> Private:
        """Statistics of a setting, else those of all, as the statistics of the setting `target` (or of all)."""
        setting = Setting.parse(setting)
        start = f"{setting if setting in self.calibrated_settings else ALL}_moving_"
        target, values = target if target == ALL else Setting.parse(target), {}
        for variable in self.weights:
            scope, slash, leaf = variable.name.rpartition("/")
            if leaf.startswith(start):
                values[f"{scope}{slash}{target}_moving_{leaf.removeprefix(start)}"] = variable.numpy()
        return Private(values)

    def unseen(self, setting: Setting, inference: str, **options: Any) -> Private:
        raise ValueError(
            f"`inference` is for networks whose settings are resolutions; settings of {type(self).__name__} are calibrated. "
            f"Received: inference={inference!r}."
        )

    def uncalibrated(self, setting: Setting, norms_of: int | None = None) -> Private:
        if norms_of is not None:
            raise ValueError(f"`norms_of` is for networks whose settings are resolutions. Received: norms_of={norms_of}.")
        return self.private_values(setting, setting)

    def leaves_out(self, name: str) -> bool:
        return self.options.extracted and name.startswith("backbone/stage")

    def decayed_weights(self, decay_on: str = "kernels") -> list[tf.Variable]:
        """As the base class; "kernels" are those of all convolutions."""
        if decay_on == "all":
            return list(self.trainable_weights)
        return [weight for weight in self.trainable_weights if weight.name.endswith("/kernel:0")]

    def parts(self) -> Parts:
        return Parts(
            channels=lambda count, place, ratio=1: count,
            conv=self._conv,
            depthwise=self._no_depthwise,
            norm=self._norm,
            quantizer=lambda name: None,
        )

    def make_backbone(self, parts: Parts) -> tf.keras.layers.Layer:
        return BranchedBackbone(parts, self.options, name="backbone")

    def make_classifier(self) -> tf.keras.layers.Layer:
        return self.served_classifier(self.parts())

    def served_classifier(self, parts: Parts) -> tf.keras.layers.Layer:
        kinds = {"concatenated": ConcatenatedHead, "finest": FinestHead}
        return kinds[self.options.head](parts, self.options, name="head")

    def served(self, form: Any = served_form) -> ServedScaleNAS:
        return ServedScaleNAS(self if self.options.extracted else self._extracted({}, {}), form)

    def _conv(self, channels: int, kernel_size: int, strides: int, name: str, **options: Any) -> tf.keras.layers.Layer:
        initial = {"kernel_initializer": tf.keras.initializers.RandomNormal(stddev=0.001), "use_bias": False, **options}
        if name == "final" and self.compute_dtype in ("float16", "bfloat16"):
            initial["dtype"] = "float32"
        return QuantConv2D(channels, kernel_size, strides=strides, padding="symmetric", name=name, **initial)

    def _no_depthwise(self, channels: int, kernel_size: int, strides: int, name: str) -> tf.keras.layers.Layer:
        raise NotImplementedError(f"{type(self).__name__} has no depthwise convolutions.")

    def _norm(self, channels: int, name: str, momentum: float | None = None) -> tf.keras.layers.Layer:
        momentum = self.options.norm_momentum if momentum is None else momentum
        own, synchronised = self.calibrated_settings, self.options.synchronised_norms
        return SharedBatchNorm(own, momentum=momentum, synchronised=synchronised, name=name)


class ServedScaleNAS(ServedNetwork):
    """The served form of an extracted network: statistics of its settings by number."""

    def create(self, images: tf.Tensor) -> None:
        self.run(images, At(index=0))  # without a setting everything that is built runs

    def at(self, setting: Any) -> At:
        """Where the layers run: the setting, which decides what is computed, and its number."""
        return dataclasses.replace(super().at(setting), setting=Setting.parse(setting))

    def run(self, images: tf.Tensor, at: At) -> tf.Tensor:
        maps = self.backbone(images, at=at, training=False)
        return self.classifier(maps, at=at, training=False)
