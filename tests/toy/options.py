"""Options of the toy family: of its network and of how it learns."""

from __future__ import annotations

import dataclasses

from tfres.models.options import NetworkOptions
from tfres.recipe import check


@dataclasses.dataclass(frozen=True)
class ToyOptions(NetworkOptions):
    """The network.

    Args:
        resolutions: sides in pixels.
        channels: of both convolutions.
    """

    resolutions: list[int] = dataclasses.field(default_factory=lambda: [16, 12])
    channels: int = 8

    def __post_init__(self) -> None:
        super().__post_init__()
        check(0 < self.channels <= 1024, "channels", "from 1 to 1024", self.channels)


@dataclasses.dataclass(frozen=True)
class ToyLearning:
    """How the network learns.

    Args:
        strength: of the largest resolution's teaching; 0 for none.
    """

    strength: float = 0.0

    def __post_init__(self) -> None:
        check(self.strength >= 0, "strength", "zero or positive", self.strength)
