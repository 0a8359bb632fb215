"""Options of SAN; no TensorFlow here."""

from __future__ import annotations

import dataclasses
import math
from typing import Literal

from tfres.models.options import ResidualOptions
from tfres.recipe import check


@dataclasses.dataclass(frozen=True)
class SANOptions(ResidualOptions):
    """The network.

    Args:
        kind: basic, bottleneck or mobilenet_v2.
        mode: float, the one arrangement there is.
        encodings: mapping of resolution to number where it is not resolution / 320.
        initial_kernels: generated (the reference's initial values) or plain: slope 0 and the kernels of an RS-Net, so that all
            resolutions begin with the same ordinary kernel (for short trainings).
    """

    mode: Literal["float"] = "float"
    encodings: dict[int, float] = dataclasses.field(default_factory=dict)
    initial_kernels: Literal["generated", "plain"] = "generated"

    def __post_init__(self) -> None:
        super().__post_init__()
        sensible = all(side > 0 and math.isfinite(e) and abs(e) < 1e6 for side, e in self.encodings.items())
        check(sensible, "encodings", "a mapping of resolutions to finite numbers", self.encodings)
        known = {*self.resolutions, *(int(name.removeprefix("r")) for name in self.calibrated if name[1:].isdigit())}
        check(
            set(self.encodings) <= known,
            "encodings",
            f"of resolutions the network has, {sorted(known, key=str)}",
            self.encodings,
        )
