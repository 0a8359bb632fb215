"""The trunk of a ScaleNAS: a network of branches whose blocks and paths a mask chooses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import tensorflow as tf

from tfres.layers.fusion import ConvNorm
from tfres.models.backbones.parts import Backbone
from tfres.models.scalenas.blocks import Module, ResidualBlock
from tfres.models.scalenas.counting import LAYER1_BLOCKS
from tfres.models.scalenas.gates import MaskGates, TensorGates

if TYPE_CHECKING:
    from quant.at import At
    from tfres.models.backbones import Parts
    from tfres.models.scalenas.options import ScaleNASOptions


class BranchedBackbone(Backbone):
    """Images `(batch, height, width, 3)`, sides multiples of 32, to maps of strides 4, 8, 16 and 32.

    Args:
        parts: `Parts`.
        options: `ScaleNASOptions`.

    Call arguments: `images`, `training`, and `at` with a setting, or a `mask` tensor (`Mask.vector`); with neither all that is
    built runs.
    """

    def __init__(self, parts: Parts, options: ScaleNASOptions, name: str) -> None:
        super().__init__(name=name)
        self._options = _Plain(options)
        inner, channels, space = options.stem_width, options.channels, options.space
        self.channels = channels
        self.stem = [ConvNorm(parts, inner, 3, 2, name=f"stem{place}") for place in range(2)]
        units = [(inner, 1), (inner, 3), (4 * inner, 1)]
        self.layer1 = [
            ResidualBlock(parts, 4 * inner if block else inner, units, name=f"layer1_block{block}")
            for block in range(LAYER1_BLOCKS)
        ]
        self.transitions, self.modules, before = {}, [], 1
        seen = dict.fromkeys(space.branches, 0)
        for number, count in enumerate(space.branches):
            for branch in range(before if before > 1 else 0, count):
                name = f"transition{count - 1}_{branch}"
                self.transitions[name] = ConvNorm(parts, channels[branch], 3, 1 if branch == 0 else 2, name=name)
            self.modules.append(Module(parts, options, number, name=f"stage{count}_{seen[count]}"))
            seen[count] += 1
            before = count

    def pool(self, maps: dict[int, tf.Tensor]) -> dict[int, tf.Tensor]:
        """The maps themselves: heads take all of them."""
        return maps

    @tf.autograph.experimental.do_not_convert  # nothing to convert, and it takes most of the time of tracing
    def call(self, images: tf.Tensor, at: At | None = None, training: bool | None = None) -> dict[int, tf.Tensor]:
        gates, x = self._gates(at), images
        for layer in (*self.stem, *self.layer1):
            x = layer(x, at=at, training=training)
        maps = [x]
        for module in self.modules:
            maps = [
                maps[branch]
                if name is None
                else self.transitions[name](maps[min(branch, len(maps) - 1)], at=at, training=training)
                for branch, name in enumerate(self._new(len(maps), module.count))
            ]
            maps = module(maps, gates, at=at, training=training)
        return {4 * 2**branch: x for branch, x in enumerate(maps)}

    def _new(self, before: int, count: int) -> list[str | None]:
        """What makes the branch: a transition, or None where it is there already."""
        kept = before if before > 1 else 0
        return [None if branch < kept else f"transition{count - 1}_{branch}" for branch in range(count)]

    def _gates(self, at: At | None) -> MaskGates | TensorGates:
        options = self._options.value
        if at is not None and at.mask is not None:
            return TensorGates(at.mask, options.space, options.least_blocks)
        if at is None or at.setting is None:
            return MaskGates(options.built)
        return MaskGates(options.mask(at.setting.subnet))


class _Plain:
    """Keeps options out of what Keras tracks."""

    def __init__(self, value: ScaleNASOptions) -> None:
        self.value = value
