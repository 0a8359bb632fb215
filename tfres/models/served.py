"""The served form of a network: one graph for all settings, for inference only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import tensorflow as tf

from quant import At
from tfres.layers import dtype_policy
from tfres.layers.serving import assign, packed_kernel, served_form, snap
from tfres.models.backbones import Parts
from tfres.models.layer_names import named_layers
from tfres.settings import Setting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from quant import PackedKernel
    from tfres.models.network import Network

    Layer = tf.keras.layers.Layer
    Form = Callable[[Layer, Sequence[Setting]], Layer]


class ServedNetwork(tf.Module):
    """The layers of a network in their served forms, with its values.

    Args:
        network: built; it is copied.
        form: makes a layer's served form, see `tfres.layers.serving`.

    `settings` are its settings, in the order of their numbers; `continuous` tells whether it has `shares`.
    """

    def __init__(self, network: Network, form: Form = served_form) -> None:
        super().__init__()
        self.settings = list(network.settings)
        self.compute_dtype = network.compute_dtype
        self.continuous = network.continuous
        self._network = _Untracked(network)
        with dtype_policy(network.dtype_policy):
            parts = _served_parts(network.parts(), self.settings, form)
            self.backbone = network.make_backbone(parts)
            self.neck = network.make_neck(parts)
            self.classifier = network.served_classifier(parts)
        self.create(tf.zeros([1, *network.input_size(self.settings[0]), 3], self.compute_dtype))
        for served, layer in self._pairs():
            assign(served, layer)

    @property
    def weights(self) -> list[tf.Variable]:
        """All variables."""
        return [weight for _, copy in self._copies() for weight in copy.weights]

    def at(self, setting: Any) -> At:
        """Where the layers run for a setting: its number as a tensor.

        Raises:
            ValueError: not one of `settings`.
        """
        setting = Setting.parse(setting)
        if setting not in self.settings:
            raise ValueError(f"`setting` must be one of {', '.join(map(str, self.settings))}. Received: setting={setting}.")
        return At(index=tf.constant(self.settings.index(setting)))

    def shares(self, resolution: tf.Tensor) -> At:
        """Where they run for any resolution (scalar tensor, pixels) between those of the settings; see `Network.shares`."""
        return At(shares=self._network.value.shares(resolution))

    def input_size(self, setting: Any) -> tuple[int, int]:
        """Height and width of the pictures at a setting."""
        return self._network.value.input_size(setting)

    def size(self, setting: Any) -> Any:
        """What the task calls the size of the pictures at a setting; see `Network.size`."""
        return self._network.value.size(setting)

    def frozen(self) -> ServedNetwork:
        """Itself, in the form that an export calls: weights may be constants of its graphs from now on."""
        return self

    def snap(self) -> bool:
        """Move low-bit kernels and levels to the integer grid of `quant.grid`; tells whether there are any."""
        return any([snap(served, layer) for served, layer in self._pairs()])

    def packed_kernels(self) -> list[tuple[Layer, PackedKernel]]:
        """The layers that can read a kernel of few bits (by `read_kernel`), and that kernel packed."""
        found = ((served, packed_kernel(layer)) for served, layer in self._pairs())
        return [(served, packed) for served, packed in found if packed is not None]

    def _pairs(self) -> Iterator[tuple[Layer, Layer]]:
        """Every layer that has values, and the layer of the network whose served form it is."""
        for inner, copy in self._copies():
            layers, copies = named_layers(inner), named_layers(copy)
            for name, served in [("", copy), *copies.items()]:
                if not named_layers(served):  # a layer of layers has no values of its own
                    yield served, layers[name] if name else inner

    def _copies(self) -> list[tuple[Layer, Layer]]:
        """The network's parts and their served forms."""
        names = ("backbone", "neck", "classifier")
        pairs = [(getattr(self._network.value, name), getattr(self, name)) for name in names]
        return [(inner, copy) for inner, copy in pairs if copy is not None]

    def create(self, images: tf.Tensor) -> None:
        """Make all variables by a run."""
        self.run(images, self.at(self.settings[0]))

    @tf.autograph.experimental.do_not_convert
    def run(self, images: tf.Tensor, at: At) -> tf.Tensor:
        """Logits of normalised images."""
        maps = self.backbone(images, at=at, training=False)
        return self.classifier(self.backbone.pool(maps) if self.neck is None else self.neck(maps, at=at, training=False))


class _Untracked:
    """Keeps an object out of what TensorFlow saves."""

    def __init__(self, value: Any) -> None:
        self.value = value


def _served_parts(parts: Parts, settings: list[Setting], form: Form) -> Parts:
    def served(make: Any) -> Any:
        def made(*args: Any, **kwargs: Any) -> Any:
            layer = make(*args, **kwargs)
            return None if layer is None else form(layer, settings)

        return made

    return Parts(
        channels=parts.channels,
        conv=served(parts.conv),
        depthwise=served(parts.depthwise),
        norm=served(parts.norm),
        quantizer=served(parts.quantizer),
    )
