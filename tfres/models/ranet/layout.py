"""The blocks of a RANet, worked out from its options; no TensorFlow here."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tfres.models.ranet.options import RANetOptions


@dataclasses.dataclass(frozen=True)
class Block:
    """One block of one sub-network; sub-network 1 has the lowest resolution and runs first.

    Args:
        subnet, number: from 1.
        layers: how many bottlenecks it has.
        channels: of its input.
        growth: channels that a layer adds.
        bottleneck: multiplier of a bottleneck's inner channels; `lower_bottleneck` that of the sub-network below.
        fused: of the channels that a layer adds, those that come from the sub-network below; None in a dense block.
        down: whether the last layer halves the map.
        compression: share of the concatenated channels that the last features from below add.
        reduction: share of channels that the transition behind the block keeps; None without one.
        exit: number of the exit behind it, or None.
    """

    subnet: int
    number: int
    layers: int
    channels: int
    growth: int
    bottleneck: int
    lower_bottleneck: int
    fused: int | None
    down: bool
    compression: float
    reduction: float | None
    exit: int | None

    @property
    def fusion(self) -> bool:
        """Whether it takes features of the same block of the sub-network below."""
        return self.fused is not None

    def width(self, layer: int) -> int:
        """Channels of the features behind a layer; layer 0 is the input."""
        return self.channels + layer * self.growth

    @property
    def dense(self) -> int:
        """Channels behind the last layer."""
        return self.width(self.layers)

    @property
    def last(self) -> int:
        """Channels that the last features from below add; 0 in a dense block."""
        return math.floor(self.compression * self.dense) if self.fusion else 0

    @property
    def transition(self) -> int | None:
        """Channels behind the transition, or None without one."""
        return None if self.reduction is None else math.floor(self.reduction * (self.dense + self.last))

    @property
    def outputs(self) -> int:
        """Channels of the output."""
        return self.dense + self.last if self.transition is None else self.transition

    @property
    def name(self) -> str:
        """Name of its layer in the backbone."""
        return f"net{self.subnet}_block{self.number}"


def halvings(scales: list[int], subnet: int) -> int:
    """How often the map of a sub-network is halved: changes of the scale from sub-network 1 to it, whatever their size.

    The reference takes the sub-network's scale less one, which is the same for its own lists and cannot be built for others.
    """
    return sum(a != b for a, b in zip(scales, scales[1:subnet], strict=False))


def lay_out(options: RANetOptions) -> list[Block]:
    """All blocks in the order in which they run."""
    scales, counts, blocks, exits = options.scales, [0], [], 0
    for subnet, scale in enumerate(scales, 1):
        count = options.blocks + options.block_step * (subnet - 1)
        factor = options.channel_factors[subnet - 1]
        growth, channels = options.growth * factor, options.channels * factor
        down = counts[len(counts) - halvings(scales, subnet) :]
        transitions = {math.floor(part * count / scale) for part in range(1, scale)}
        for number in range(1, count + 1):
            fusion = number <= counts[-1]
            exits += not fusion
            block = Block(
                subnet,
                number,
                options.step * (number if options.step_mode == "lg" else 1),
                channels,
                growth,
                options.bottleneck_factors[subnet - 1],
                options.bottleneck_factors[max(subnet - 2, 0)],
                math.floor(options.compression * growth) if fusion else None,
                fusion and number in down,
                options.compression,
                options.reduction if number in transitions else None,
                None if fusion else exits,
            )
            blocks.append(block)
            channels = block.outputs
        counts.append(count)
    return blocks


def exits_of(options: RANetOptions) -> list[int]:
    """Numbers of all exits that the blocks have, ascending."""
    first, further = options.blocks, options.block_step * (len(options.scales) - 1)
    return list(range(1, first + further + 1))


def stem_strides(options: RANetOptions) -> list[int]:
    """Strides of the stem's layers from the finest to the coarsest, that of the first left out (1 here)."""
    scales = options.scales[::-1]
    return [1, *(1 if a == b else 2 for a, b in zip(scales, scales[1:], strict=False))]


def block_table(options: RANetOptions) -> list[dict[str, object]]:
    """The blocks as rows: `subnet`, `block`, `type` (dense or fusion), `layers`, channels `c_in`, `c_dense`, `c_conv_last`,
    `c_out`, sides `size_in`, `size_out`, whether there is a `transition`, whether it `downsamples`, and its `exit` or None.
    """
    rows, side = [], 0
    bases = base_sides(options)
    for block in lay_out(options):
        before = bases[block.subnet - 1] if block.number == 1 else side
        side = halved(before) if block.down else before
        rows.append(
            {
                "subnet": block.subnet,
                "block": block.number,
                "type": "fusion" if block.fusion else "dense",
                "layers": block.layers,
                "c_in": block.channels,
                "size_in": before,
                "c_dense": block.dense,
                "c_conv_last": block.last,
                "transition": block.transition is not None,
                "downsamples": block.down,
                "c_out": block.outputs,
                "size_out": side,
                "exit": block.exit,
            }
        )
    return rows


def base_sides(options: RANetOptions) -> list[int]:
    """Sides of the base features in pixels, those of sub-network 1 first."""
    (side,) = options.resolutions
    sides = [halved(halved(side)) if options.stem == "imagenet" else side]
    for stride in stem_strides(options)[1:]:
        sides.append(halved(sides[-1]) if stride == 2 else sides[-1])
    return sides[::-1]


def halved(side: int) -> int:
    """Side behind a layer of stride 2."""
    return -(-side // 2)
