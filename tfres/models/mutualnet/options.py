"""Options of MutualNet; no TensorFlow here."""

from __future__ import annotations

import dataclasses
from typing import Literal

from tfres.models.options import HeadedOptions, Resolution, check_counts, check_word
from tfres.recipe import check

KINDS = ("mobilenet_v1", "mobilenet_v2", "mnasnet", "bottleneck", "wide")


@dataclasses.dataclass(frozen=True)
class MutualNetOptions(HeadedOptions):
    """The network.

    Args:
        resolutions: sides in pixels, or heights and widths such as 360x480; the largest is the full one.
        kind: mobilenet_v1, mobilenet_v2, mnasnet, bottleneck (ResNet) or wide (wide residual network for CIFAR).
        blocks: blocks per group, of the residual kinds.
        widths: channels per group at width 1; of wide with the stem first.
        width_range: smallest and largest width; variables are built for the largest, which may be above 1.
        width_mults: widths with statistics from training; left out both ends of the range. Only the ends are trained in every
            step, unless norms are private to the width.
        mode: float, the one arrangement there is.
        stem: of bottleneck: imagenet or cifar.
        stride_in: of bottleneck: the convolution that has the stride, 3x3 or 1x1.
        dropout: between the convolutions of a wide block.
        divisor: channels are multiples of it.
        minimum: smallest number of channels.
        private: gamma and beta belong to the width too: slimmable networks with switches, for short `width_mults`.
        channel_lists: names of sub-networks to lists of channels in the order of the convolutions but depthwise ones
            (AutoSlim). The settings are then these sub-networks, with private norms; the last by name is the full one.
    """

    resolutions: list[Resolution] = dataclasses.field(default_factory=lambda: [224, 192, 160, 128])
    kind: str = "mobilenet_v1"
    blocks: list[int] = dataclasses.field(default_factory=list)
    widths: list[int] = dataclasses.field(default_factory=list)
    width_range: list[float] = dataclasses.field(default_factory=lambda: [0.25, 1.0])
    width_mults: list[float] | None = None
    mode: Literal["float"] = "float"
    stem: str = "imagenet"
    stride_in: str = "3x3"
    dropout: float = 0.0
    divisor: int = 8
    minimum: int = 1
    private: bool = False
    channel_lists: dict[str, list[int]] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_word("kind", self.kind, KINDS)
        check_word("stem", self.stem, ("imagenet", "cifar"))
        check_word("stride_in", self.stride_in, ("3x3", "1x1"))
        ends = self.width_range
        right = len(ends) == 2 and 0 < ends[0] <= ends[1] <= 64
        check(right, "width_range", "two ascending positive widths, at most 64", ends)
        low, high = ends
        widths = [low, high] if self.width_mults is None else self.width_mults
        check(bool(widths), "width_mults", "at least one width", widths)
        inside = all(0 < width <= high for width in widths)
        check(inside, "width_mults", f"positive and at most {high:g}, the largest width", widths)
        self._set(width_mults=sorted({*widths}, reverse=True))
        check(0 <= self.dropout < 1, "dropout", "in [0, 1)", self.dropout)
        for name in ("divisor", "minimum"):
            value = getattr(self, name)
            check(0 < value <= 4096, name, "positive and at most 4096", value)
        check_counts("blocks", self.blocks, 512)
        check_counts("widths", self.widths, 2**14)
        if self.kind in ("bottleneck", "wide"):
            stem = int(self.kind == "wide")
            paired = len(self.widths) == len(self.blocks) + stem > stem
            check(paired, "widths", f"{len(self.blocks) + stem} numbers of channels, as `blocks` wants", self.widths)
        for name, counts in self.channel_lists.items():
            check(name.isidentifier() or name.isalnum(), "channel_lists", "mapping of letters and digits to lists", name)
            check(bool(counts), "channel_lists", "lists of channels", counts)
            check_counts("channel_lists", [max(counts), min(counts)], 2**14)

    @property
    def switches(self) -> bool:
        """Whether gamma and beta are private to the width or sub-network."""
        return self.private or bool(self.channel_lists)
