"""The recipe's `data` group of the toy task; no TensorFlow here."""

from __future__ import annotations

import dataclasses

from tfres.data.options import DataOptions, require_whole


@dataclasses.dataclass
class PatchesData(DataOptions):
    """Generated pictures with coloured patches.

    Args:
        source: patches, the one there is.
        batch_size, fake_size, limit, holdout, in_memory, service, cache: see `DataOptions`.
        side: of the pictures, in pixels; null for the largest resolution.
    """

    source: str = "patches"
    side: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        require_whole("side", self.side, 4, 512, optional=True)

    def sized(self, resolutions, usual):
        return dataclasses.replace(self, side=self.side or max(*resolutions, usual))
