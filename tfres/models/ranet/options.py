"""Options of RANets; no TensorFlow here."""

from __future__ import annotations

import dataclasses
from typing import Literal

from tfres.models.options import FLOAT_BITS, NetworkOptions, check_bits, check_word
from tfres.models.ranet.layout import exits_of, lay_out
from tfres.recipe import check

_MOST_EXITS, _WIDEST = 64, 2**14


@dataclasses.dataclass(frozen=True)
class RANetOptions(NetworkOptions):
    """The network.

    Args:
        resolutions: side in pixels, one.
        scales: a number per sub-network, ascending from the coarsest: equal ones have the same resolution, a larger one twice
            that of the sub-network before.
        blocks: blocks of the first sub-network.
        block_step: blocks that each sub-network has more than the one before; there are exits behind them.
        step: layers of the first block.
        step_mode: even (every block has as many layers) or lg (block b has b times as many).
        channels: base width.
        growth: channels that a layer adds, times the factor.
        channel_factors: multipliers of base width and growth, per sub-network.
        bottleneck_factors: multipliers of a bottleneck's inner channels, per sub-network.
        reduction: share of the channels that a transition keeps.
        compression: share of a fusion block's new channels that come from the sub-network below.
        stem: imagenet (7x7/2 with bias, max pool) or cifar (3x3). The heads' convolutions have as many channels as their input
            with imagenet, 128 with cifar.
        stem_init: initial values of the stem: uniform (PyTorch's, as in the reference) or fan_out (as everywhere else).
        exits: numbers of the exits that the network has; null for all. Heads of others are left out.
        cascade: every head also sees the answer of the one before, which is not trained by it. An exit then needs all heads
            before.
        chained: exits whose heads run only for those after them.
        weight_bits: 1 to 8, 32 for float; first convolution and final layers stay float.
        activation_bits: 1 to 8, 32 for float; of the inputs of all other convolutions.
    """

    resolutions: list[int] = dataclasses.field(default_factory=lambda: [224])
    scales: list[int] = dataclasses.field(default_factory=lambda: [1, 2, 3, 4])
    blocks: int = 2
    block_step: int = 2
    step: int = 8
    step_mode: Literal["even", "lg"] = "even"
    channels: int = 64
    growth: int = 16
    channel_factors: list[int] = dataclasses.field(default_factory=lambda: [4, 2, 2, 1])
    bottleneck_factors: list[int] = dataclasses.field(default_factory=lambda: [4, 2, 2, 1])
    reduction: float = 0.5
    compression: float = 0.25
    stem: str = "imagenet"
    stem_init: Literal["uniform", "fan_out"] = "uniform"
    exits: list[int] | None = None
    cascade: bool = False
    chained: list[str] = dataclasses.field(default_factory=list, metadata={"recipe": False})
    weight_bits: int = FLOAT_BITS
    activation_bits: int = FLOAT_BITS

    def __post_init__(self) -> None:
        super().__post_init__()
        one = len(self.resolutions) == 1 and isinstance(self.resolutions[0], int)
        check(one, "resolutions", "one side (the exits are the settings)", self.resolutions)
        check(not self.calibrated, "calibrated", "empty, exits have no norms of their own", self.calibrated)
        check_word("stem", self.stem, ("imagenet", "cifar"))
        scales = self.scales
        valid = 0 < len(scales) <= 8 and all(a <= b for a, b in zip([1, *scales], scales, strict=False)) and scales[-1] <= 16
        allowed = "one to eight ascending whole numbers from 1 to 16, the coarsest sub-network first, such as [1, 2, 3, 3]"
        check(valid, "scales", allowed, scales)
        for name in ("channel_factors", "bottleneck_factors"):
            values = getattr(self, name)
            paired = len(values) == len(scales) and all(0 < value <= 64 for value in values)
            check(paired, name, f"a number from 1 to 64 for each of the {len(scales)} sub-networks in `scales`", values)
        for name, most in (("blocks", 16), ("block_step", 16), ("step", 64), ("channels", 1024), ("growth", 1024)):
            value = getattr(self, name)
            check(0 < value <= most, name, f"from 1 to {most}", value)
        for name in ("reduction", "compression"):
            value = getattr(self, name)
            check(0 < value < 1, name, "between 0 and 1", value)
        for name in ("weight_bits", "activation_bits"):
            check_bits(name, getattr(self, name))
        self._check_exits()
        widest = max(block.dense + block.last for block in lay_out(self))
        check(
            widest <= _WIDEST, "growth", f"so small that no block has more than {_WIDEST} channels ({widest} now)", self.growth
        )
        empty = [block.name for block in lay_out(self) if block.outputs == 0]
        check(not empty, "reduction", f"so large that channels are left behind {empty[:1]}", self.reduction)

    def _check_exits(self) -> None:
        known = exits_of(self)
        check(len(known) <= _MOST_EXITS, "block_step", f"so small that there are at most {_MOST_EXITS} exits", self.block_step)
        exits = known if self.exits is None else sorted(self.exits)
        distinct = bool(exits) and len({*exits}) == len(exits) and {*exits} <= {*known}
        check(distinct, "exits", f"distinct numbers from 1 to {known[-1]}, the exits that the blocks have", self.exits)
        chained = [int(name.removeprefix("exit")) for name in self.chained if name.removeprefix("exit").isdecimal()]
        right = len(chained) == len(self.chained) and {*chained} <= {*known} - {*exits} and (self.cascade or not chained)
        check(right, "chained", "exits of the blocks that are not among `exits`, in a cascade", self.chained)
        self._set(exits=exits)

    @property
    def heads(self) -> list[int]:
        """Numbers of the exits that have a head, ascending."""
        return sorted({*self.exits, *(int(name.removeprefix("exit")) for name in self.chained)})
