"""What a ScaleNAS is made of: residual blocks, modules of branches and fusions, heads."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from quant.step import optional
from tfres.layers.fusion import ConvNorm, FusionPath
from tfres.layers.maps import resized, sides_of

if TYPE_CHECKING:
    from quant.at import At
    from tfres.models.backbones import Parts
    from tfres.models.scalenas.gates import MaskGates, TensorGates
    from tfres.models.scalenas.options import ScaleNASOptions


class ResidualBlock(tf.keras.layers.Layer):
    """Units one after another, the shortcut added before the last ReLU.

    Args:
        parts: `Parts`.
        inputs: channels that come in.
        units: channels and kernel size of every unit.
    """

    def __init__(self, parts: Parts, inputs: int, units: list[tuple[int, int]], name: str) -> None:
        super().__init__(name=name)
        last = len(units)
        self.units = [
            ConvNorm(parts, channels, kernel_size, relu=place < last, name=f"unit{place}")
            for place, (channels, kernel_size) in enumerate(units, 1)
        ]
        outputs = units[-1][0]
        self.shortcut = None if inputs == outputs else ConvNorm(parts, outputs, 1, relu=False, name="shortcut")

    def call(self, x: tf.Tensor, at: At | None = None, training: bool | None = None) -> tf.Tensor:
        y = x
        for unit in self.units:
            y = unit(y, at=at, training=training)
        shortcut = x if self.shortcut is None else self.shortcut(x, at=at, training=training)
        return tf.nn.relu(y + shortcut)


class Module(tf.keras.layers.Layer):
    """Branches of blocks with fusion paths after every block.

    Args:
        parts: `Parts`.
        options: of the network.
        number: of the module.

    Call arguments: maps of the branches, the finest first; `gates`, `at`, `training`. Output: maps of the same shapes.
    """

    def __init__(self, parts: Parts, options: ScaleNASOptions, number: int, name: str) -> None:
        super().__init__(name=name)
        self.number, self.count = number, options.space.branches[number]
        channels, built = options.channels, options.built
        self.steps = max(built.depths[number])
        self.blocks = {}
        for branch, blocks in enumerate(built.depths[number]):
            for step in range(blocks):
                block = f"branch{branch}_block{step}"
                self.blocks[block] = ResidualBlock(parts, channels[branch], [(channels[branch], 3)] * 2, name=block)
        self.paths = {}
        up = {"momentum": options.up_momentum}
        for step, source, target in sorted(built.paths[number]):
            path = f"step{step}_{source}to{target}"
            norm = up if source > target else None
            self.paths[path] = FusionPath(parts, channels[source], channels[target], target - source, norm, name=path)

    def call(
        self, maps: list[tf.Tensor], gates: MaskGates | TensorGates, at: At | None = None, training: bool | None = None
    ) -> list[tf.Tensor]:
        maps, how = list(maps), {"at": at, "training": training}
        for step in range(self.steps):
            for branch, x in enumerate(maps):
                block = self.blocks.get(f"branch{branch}_block{step}")
                if block is not None:
                    gate = gates.block(self.number, branch, step)
                    maps[branch] = optional(gate, block, lambda x=x, block=block: block(x, **how), lambda x=x: x)
            maps = self._fused(maps, step, gates, how)
        return maps

    def _fused(self, maps: list[tf.Tensor], step: int, gates: MaskGates | TensorGates, how: dict[str, Any]) -> list[tf.Tensor]:
        """The maps with the paths of a step added, ReLU where there are any.

        Both the sum and the source go through the condition of a path, so that what does not run has no gradient to add up.
        """
        sums = list(maps)
        for target in range(self.count):
            layers = {source: self.paths.get(f"step{step}_{source}to{target}") for source in range(self.count)}
            sources = [source for source, layer in layers.items() if layer is not None]
            for place, source in enumerate(sources):
                last = place == len(sources) - 1
                before = sources[:place] if last else []
                gate = gates.path(self.number, step, source, target, before)
                pair = (sums[target], maps[source])
                sums[target], maps[source] = _through(layers[source], pair, gate, last, bool(before), how)
        return sums


def _through(
    path: FusionPath, pair: tuple[tf.Tensor, tf.Tensor], gate: int | tf.Tensor, last: bool, others: bool, how: dict[str, Any]
) -> tuple[tf.Tensor, tf.Tensor]:
    """A sum and a source: the path of the source added where the gate is 0, with a ReLU behind the last; that alone for 2."""
    total, x = pair

    def added() -> tuple[tf.Tensor, tf.Tensor]:
        found = total + path(x, **how)
        return (tf.nn.relu(found) if last else found), x

    ended = [lambda: (tf.nn.relu(total), x)] if others else []
    return optional(gate, path, added, lambda: pair, *ended)


class ConcatenatedHead(tf.keras.layers.Layer):
    """All branches at the size of the finest, a 1x1 unit of as many channels, a 1x1 convolution to the classes.

    Call arguments: maps by stride, `at`, `training`. Output `(batch, height / 4, width / 4, classes)`.
    """

    def __init__(self, parts: Parts, options: ScaleNASOptions, name: str) -> None:
        super().__init__(name=name)
        channels = sum(options.channels[: options.space.branches[-1]])
        limit = 1 / math.sqrt(channels)
        bias = {"use_bias": True, "bias_initializer": tf.keras.initializers.RandomUniform(-limit, limit)}
        self.unit = ConvNorm(parts, channels, 1, name="unit", **bias)
        again = {**bias, "bias_initializer": tf.keras.initializers.RandomUniform(-limit, limit)}
        self.final = parts.conv(options.classes, 1, 1, name="final", **again)

    def call(self, maps: dict[int, tf.Tensor], at: At | None = None, training: bool | None = None) -> tf.Tensor:
        finest, *others = maps.values()
        x = tf.concat([finest, *(resized(x, *sides_of(finest)) for x in others)], -1)
        return self.final(self.unit(x, at=at, training=training), at=at)


class FinestHead(tf.keras.layers.Layer):
    """A 1x1 convolution from the finest branch to the classes. Call and output as of `ConcatenatedHead`."""

    def __init__(self, parts: Parts, options: ScaleNASOptions, name: str) -> None:
        super().__init__(name=name)
        self.final = parts.conv(options.classes, 1, 1, name="final", use_bias=True)

    def call(self, maps: dict[int, tf.Tensor], at: At | None = None, training: bool | None = None) -> tf.Tensor:
        return self.final(maps[min(maps)], at=at)
