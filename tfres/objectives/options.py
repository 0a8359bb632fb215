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
class OneShotOptions:
    """How the network learns.

    Args:
        one_shot: every step trains one sub-network, drawn at random; false: all of `model.subnets`; null for true, or false
            where the network is extracted.
        fusions: probabilities of a path, each with every list of `depths` a group from which masks are drawn in turn.
        depths: lists of depths of branches; null for pairs from the least to the most, [[2, 3], [3, 4], [4, 5]].
        sandwich: the smallest masks and the full one are groups too.
        kd: distillation from a teacher that runs everything.
        ratio: of the distillation.
        teacher: run folder or checkpoint of a network of the same architecture, which stays as it is; null: itself.
        decays_inactive: weights that a step does not use are decayed and moved by their momentum all the same.
    """

    one_shot: bool | None = None
    fusions: list[float] = dataclasses.field(default_factory=lambda: [0.2, 0.5, 0.8])
    depths: list[list[int]] | None = None
    sandwich: bool = True
    kd: bool = False
    ratio: float = 0.5
    teacher: str | None = None
    decays_inactive: bool = False

    def __post_init__(self) -> None:
        fusions, depths = self.fusions, self.depths
        check(bool(fusions) and 0 <= min(fusions) <= max(fusions) <= 1, "fusions", "from 0 to 1, at least one", fusions)
        filled = depths is None or bool(depths) and all(options and min(options) > 0 for options in depths)
        check(filled, "depths", "lists of positive whole numbers, at least one", depths)
        check(0 < self.ratio <= 1e4, "ratio", "positive and at most 10000", self.ratio)
        check(self.kd or self.ratio == 0.5, "ratio", "left out without `kd`", self.ratio)
        check(self.kd or self.teacher is None, "teacher", "left out without `kd`", self.teacher)


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
