"""The resolution adaptive network."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import tensorflow as tf

from quant import ActivationQuantizer, QuantConv2D
from tfres.layers import FanOutNormal, SwitchableBatchNorm
from tfres.models.backbones import Parts
from tfres.models.exit_ways import Heads, State, Trunk
from tfres.models.exits import ExitNetwork
from tfres.models.options import FLOAT_BITS
from tfres.models.ranet import counting
from tfres.models.ranet.blocks import DenseBlock, Head, Stem
from tfres.models.ranet.layout import Block, lay_out, stem_strides
from tfres.models.ranet.options import RANetOptions
from tfres.settings import Setting


@tf.keras.saving.register_keras_serializable(package="tfres")
class RANet(ExitNetwork):
    """A classifier with exits over resolution and depth: sub-networks of rising resolution that reuse one another's features.

    Sub-network 1 sees the coarsest base features and carries the first exits; each further one takes finer base features and,
    block by block, those that the one below has made. All norms are shared by all exits. Arguments, call, output:
    `RANetOptions` and `Network`; `setting` is an exit (`Setting(exit=2)`, "exit2"), the last one by default.

    References: Yang et al., Resolution Adaptive Networks, arXiv 2003.07326, and its code. Unlike there, heads take the mean
    over their map (the same for the maps of 5 to 8 pixels that the reference is made for), repeated scales halve maps as
    often as the resolution changes, blocks of one layer work, and a fusion branch without channels is left out. The cascade
    of heads is that of Zero Time Waste, arXiv 2106.05409, without its ensemble.
    """

    Options = RANetOptions

    def plain_network(self, setting: Setting) -> RANet:
        chained = self.classifier.needed([setting.exit])[:-1]
        options = {**self.options.to_dict(), "exits": [setting.exit], "chained": [f"exit{number}" for number in chained]}
        return type(self)(**options, dtype=self.dtype_policy)

    def costs_on_the_way(self, number: int, skipped: Iterable[int] = ()) -> dict[str, int]:
        """Multiply-adds, and the reference's count of "operations"; see `counting`."""
        skipped = () if self.options.cascade else tuple(skipped)
        return {
            "macs": counting.macs(self.options, number, skipped),
            "operations": counting.operations(self.options, number, skipped),
        }

    def decayed_weights(self, decay_on: str = "kernels") -> list[tf.Variable]:
        """As the base class; "kernels" are those of all convolutions and final layers."""
        if decay_on == "all":
            return list(self.trainable_weights)
        return [weight for weight in self.trainable_weights if weight.name.endswith("kernel:0")]

    def make_backbone(self, parts: Parts) -> tf.keras.layers.Layer:
        return RANetTrunk(parts, self.options, name="backbone")

    def make_heads(self, parts: Parts) -> Heads:
        outputs = {block.exit: block.outputs for block in lay_out(self.options)}
        further = {number: self.options.classes * (place > 0) for place, number in enumerate(self.options.heads)}
        cascade = self.options.cascade
        heads = {
            number: Head(
                parts,
                outputs[number] if self.options.stem == "imagenet" else counting.CIFAR_HEAD,
                self._final,
                further[number] if cascade else 0,
                name=f"exit{number}",
            )
            for number in self.options.heads
        }
        return Heads(heads, [self.options.classes], cascade)

    def parts(self) -> Parts:
        return Parts(
            channels=lambda count, place, ratio=1: count,
            conv=self._conv,
            depthwise=self._no_depthwise,
            norm=self._norm,
            quantizer=self._quantizer,
        )

    def _conv(
        self, channels: int, kernel_size: int, strides: int, name: str, quantized: bool = True, **options: Any
    ) -> tf.keras.layers.Layer:
        initial = {"kernel_initializer": FanOutNormal(), "use_bias": False, **options}
        bits = self.options.weight_bits if quantized else None
        return QuantConv2D(channels, kernel_size, weight_bits=bits, strides=strides, padding="symmetric", name=name, **initial)

    def _no_depthwise(self, channels: int, kernel_size: int, strides: int, name: str) -> tf.keras.layers.Layer:
        raise NotImplementedError(f"{type(self).__name__} has no depthwise convolutions.")

    def _norm(self, channels: int, name: str, gamma_initializer: str = "ones") -> tf.keras.layers.Layer:
        synchronised = self.options.synchronised_norms
        return SwitchableBatchNorm(["all"], gamma_initializer=gamma_initializer, synchronised=synchronised, name=name)

    def _quantizer(self, name: str) -> tf.keras.layers.Layer | None:
        bits = self.options.activation_bits
        return None if bits == FLOAT_BITS else ActivationQuantizer(bits, name=name)

    def _final(self, inputs: int) -> tf.keras.layers.Layer:
        limit = 1 / math.sqrt(inputs)
        return tf.keras.layers.Dense(
            self.options.classes,
            kernel_initializer=tf.keras.initializers.RandomUniform(-limit, limit),
            dtype="float32" if self.compute_dtype in ("float16", "bfloat16") else None,
            name="linear",
        )


class RANetTrunk(Trunk):
    """Stem and blocks of a `RANet`.

    The state between stages is what later ones need and no more: base features of sub-networks to come (`bases`), what the
    current one's blocks keep for the next (`kept`, if there is a next) and the current features where they are not among
    these (`features`).

    Args:
        parts: `Parts`.
        options: `RANetOptions`.
    """

    def __init__(self, parts: Parts, options: RANetOptions, name: str) -> None:
        super().__init__(name=name)
        blocks = lay_out(options)
        end = next(place for place, block in enumerate(blocks) if block.exit == options.heads[-1])
        self.exits = tuple(options.heads)
        self._blocks: list[Block] = blocks[: end + 1]
        self.channels, self._subnets = self._blocks[-1].outputs, self._blocks[-1].subnet
        count = len(options.scales)
        widths = [options.channels * options.channel_factors[count - 1 - place] for place in range(count)]
        strides = stem_strides(options)
        self.stem = Stem(parts, options.stem, widths, strides, options.stem_init == "uniform", name="stem")
        self._strides = [4 if options.stem == "imagenet" else 1]
        for stride in strides[1:]:
            self._strides.append(stride * self._strides[-1])
        below = {(block.subnet + 1, block.number): block for block in self._blocks}
        layers = []
        for block in self._blocks:
            layers.append(DenseBlock(parts, block, below.get((block.subnet, block.number)), name=block.name))
        self._layers = layers
        last = {block.subnet: block.exit for block in self._blocks if block.exit in self.exits}
        self.borders = frozenset(last.values()) - {self.exits[-1]}

    def begin(self, images: tf.Tensor, training: bool | None = None) -> State:
        with self._scope():
            bases = self.stem(images, training=training)[::-1]
        return {"bases": {str(number): base for number, base in enumerate(bases[: self._subnets], 1)}, "kept": []}

    def advance(self, state: State, number: int, training: bool | None = None) -> tuple[tf.Tensor, State]:
        bases, kept, below = dict(state["bases"]), [tuple(entry) for entry in state["kept"]], []
        x = state.get("features", kept[-1][0] if kept else None)
        for block, layer in self._stage(number):
            if block.number == 1:
                x, below, kept = bases.pop(str(block.subnet)), kept, []
            with self._scope():
                x, entry = layer(x, below[block.number - 1] if block.fusion else (), training=training)
            kept.append(entry)
        if number == self.exits[-1]:
            return x, {"bases": {}, "kept": []}
        if block.subnet == self._subnets:
            return x, {"bases": bases, "kept": [], "features": x}
        return x, {"bases": bases, "kept": kept, **({} if x is kept[-1][0] else {"features": x})}

    def _scope(self) -> Any:
        """The layer's own scope of names, for calls from outside of `call`."""
        return tf.name_scope(f"{self.name}/")

    def _stage(self, number: int) -> list[tuple[Block, DenseBlock]]:
        """Blocks between the exit before and this one, and their layers."""
        places = {block.exit: place for place, block in enumerate(self._blocks) if block.exit in self.exits}
        order = [-1, *(places[exit_number] for exit_number in self.exits)]
        place = self.exits.index(number)
        span = slice(order[place] + 1, order[place + 1] + 1)
        return list(zip(self._blocks[span], self._layers[span], strict=True))

    def call(self, images: tf.Tensor, at: Any = None, training: bool | None = None) -> dict[int, tf.Tensor]:
        number = self.exits[-1] if at is None or at.setting is None else at.setting.exit
        state = self.begin(images, training)
        maps = dict(zip(self._strides[::-1], state["bases"].values(), strict=False))
        for exit_number in self.exits[: self.exits.index(number) + 1]:
            features, state = self.advance(state, exit_number, training)
        return dict(sorted({**maps, self._strides[-1]: features}.items()))
