"""Options of the objectives; no TensorFlow here."""

from __future__ import annotations

import dataclasses
from typing import Literal

from tfres.recipe import check


@dataclasses.dataclass(frozen=True)
class EnsembleOptions:
    """How the network learns.

    Args:
        kd: distillation from an ensemble of all resolutions and from larger resolutions.
        kd_type: ens_topdown (larger resolutions teach smaller ones too) or ens.
        temperature: of the distillation.
    """

    kd: bool = False
    kd_type: Literal["ens_topdown", "ens"] = "ens_topdown"
    temperature: float = 1.0

    def __post_init__(self) -> None:
        check(0 < self.temperature <= 1e4, "temperature", "positive and at most 10000", self.temperature)
        check(self.kd or self.temperature == 1, "temperature", "1 without `kd`", self.temperature)
        check(self.kd or self.kd_type == "ens_topdown", "kd_type", "left out without `kd`", self.kd_type)


@dataclasses.dataclass(frozen=True)
class ScaleOptions:
    """How the network learns.

    Args:
        kd: distillation from larger resolutions.
        kd_type: topdown, or topdown_normalised (its weight does not grow with the number of resolutions).
    """

    kd: bool = False
    kd_type: Literal["topdown", "topdown_normalised"] = "topdown"

    def __post_init__(self) -> None:
        check(self.kd or self.kd_type == "topdown", "kd_type", "left out without `kd`", self.kd_type)


@dataclasses.dataclass(frozen=True)
class MutualOptions:
    """How the network learns.

    Args:
        kd: distillation from the full network; without it the others learn from the labels.
        random_widths: sub-networks of random width in every step; null for 2, or 0 where norms are private to the width.
        random_sides: sub-networks see the pictures at a random resolution; false: at the largest; null for true, or false
            where norms are private.
    """

    kd: bool = False
    random_widths: int | None = None
    random_sides: bool | None = None

    def __post_init__(self) -> None:
        widths = self.random_widths
        check(widths is None or 0 <= widths <= 64, "random_widths", "from 0 to 64", widths)


@dataclasses.dataclass(frozen=True)
class ExitsOptions:
    """How the network learns.

    Args:
        exit_weights: factor of the loss of every exit, the first exit first; null for 1 each.
        equilibrium: scale gradients where an exit leaves the trunk, so that what reaches a stage is the mean over the exits
            behind it, not their sum.
        distillation: factor of the divergence of every exit from the last one; 0 for none.
        temperature: of the distillation.
        heads_only: train the heads alone; the trunk stays as it is, its norms too (with `training.load`).
    """

    exit_weights: list[float] | None = None
    equilibrium: bool = False
    distillation: float = 0.0
    temperature: float = 1.0
    heads_only: bool = False

    def __post_init__(self) -> None:
        weights = self.exit_weights
        check(weights is None or (min(weights, default=-1) >= 0 < max(weights)), "exit_weights", "zero or positive", weights)
        check(0 <= self.distillation <= 1e4, "distillation", "from 0 to 10000", self.distillation)
        check(0 < self.temperature <= 1e4, "temperature", "positive and at most 10000", self.temperature)
        check(self.distillation > 0 or self.temperature == 1, "temperature", "1 without `distillation`", self.temperature)
        check(not (self.heads_only and self.equilibrium), "equilibrium", "false with `heads_only`", self.equilibrium)
