"""Costs of a RANet's exits when they are taken one after another, worked out from the layout; no TensorFlow here.

Both counts hold the whole stem and every head up to the exit. `macs` are multiply-adds of convolutions and final layers.
`operations` is the count of the reference, in which the published budgets are given: the same plus one per value behind a
ReLU, the size of the window per value behind a pooling layer, and the final layers' biases; norms and resizing are free.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tfres.models.ranet.layout import base_sides, halved, lay_out

if TYPE_CHECKING:
    from collections.abc import Collection

    from tfres.models.ranet.layout import Block
    from tfres.models.ranet.options import RANetOptions

CIFAR_HEAD = 128  # channels of a head's convolutions with the CIFAR stem


def macs(options: RANetOptions, exit_number: int, skipped: Collection[int] = ()) -> int:
    """Multiply-adds of one picture that goes through all heads up to an exit, but those of the exits that are skipped."""
    return _Count(options, skipped).until(exit_number).macs


def params(options: RANetOptions, exit_number: int) -> int:
    """Trainable numbers of what such a picture goes through."""
    return _Count(options).until(exit_number).params


def operations(options: RANetOptions, exit_number: int, skipped: Collection[int] = ()) -> int:
    """Operations of such a picture, by the reference's count."""
    count = _Count(options, skipped).until(exit_number)
    return count.macs + count.other


class _Count:
    """Adds up multiply-adds, other operations and trainable parameters of one pass."""

    def __init__(self, options: RANetOptions, skipped: Collection[int] = ()) -> None:
        self.options, self.skipped = options, skipped
        self.macs = self.other = self.params = 0

    def until(self, exit_number: int) -> _Count:
        """All of it up to an exit."""
        bases, kept = self._stem(), []
        below, blocks_below, blocks, side = [], [], [], 0
        for block in lay_out(self.options):
            if block.number == 1:
                side, below, kept = bases[block.subnet - 1], kept, []
                blocks_below, blocks = blocks, []
            place = block.number - 1
            sides = self._block(block, side, *((blocks_below[place], below[place]) if block.fusion else (None, ())))
            blocks.append(block)
            kept.append(sides)
            side = sides[-1]
            if block.exit in self.options.heads and block.exit not in self.skipped:
                self._head(block, side)
            if block.exit == exit_number:
                break
        return self

    def _unit(self, inputs: int, channels: int, kernel: int, side: int) -> None:
        """A convolution with outputs of this side, its norm and ReLU."""
        self.params += inputs * channels * kernel**2 + 2 * channels
        self.macs += inputs * channels * kernel**2 * side**2
        self.other += channels * side**2

    def _stem(self) -> list[int]:
        """Sides of the base features, the coarsest first."""
        options, sides = self.options, base_sides(self.options)[::-1]
        widths = [options.channels * factor for factor in options.channel_factors[::-1]]
        if options.stem == "imagenet":
            self._unit(3, widths[0], 7, halved(options.resolutions[0]))
            self.other += 9 * widths[0] * sides[0] ** 2
            self.params += widths[0]  # the bias
        else:
            self._unit(3, widths[0], 3, sides[0])
        for inputs, channels, side in zip(widths, widths[1:], sides[1:], strict=False):
            self._unit(inputs, channels, 3, side)
        return sides[::-1]

    def _block(self, block: Block, side: int, below: Block | None, sides_below: tuple[int, ...]) -> tuple[int, ...]:
        """Sides of the features behind layers 0, 1, ... of the block."""
        sides = [side]
        for layer in range(1, block.layers + 1):
            sides.append(halved(side) if block.down and layer == block.layers else side)
            if block.fused:
                inner = min(below.width(layer - 1), block.lower_bottleneck * block.fused)
                self._bottleneck(below.width(layer - 1), inner, block.fused, sides_below[layer - 1], sides_below[layer - 1])
            own, inputs = block.growth - (block.fused or 0), block.width(layer - 1)
            self._bottleneck(inputs, min(inputs, block.bottleneck * own), own, side, sides[-1])
        if block.last:
            self._unit(below.dense, block.last, 1, sides_below[-1])
        if block.transition is not None:
            self._unit(block.dense + block.last, block.transition, 1, sides[-1])
        return tuple(sides)

    def _bottleneck(self, inputs: int, inner: int, channels: int, side: int, side_after: int) -> None:
        self._unit(inputs, inner, 1, side)
        self._unit(inner, channels, 3, side_after)

    def _head(self, block: Block, side: int) -> None:
        options, first = self.options, self.options.heads[0]
        channels = block.outputs if options.stem == "imagenet" else CIFAR_HEAD
        further = options.classes if options.cascade and block.exit != first else 0
        half, quarter = halved(side), halved(halved(side))
        self._unit(block.outputs, channels, 3, half)
        self._unit(channels, channels, 3, quarter)
        self.other += quarter**2 * channels  # the mean; 2x2 pooling to one pixel is the same number
        self.macs += (channels + further) * options.classes
        self.other += options.classes
        self.params += (channels + further + 1) * options.classes
