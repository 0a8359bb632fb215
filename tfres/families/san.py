"""SAN: kernels generated from the resolution, larger resolutions teach smaller ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tfres.families import rsnet
from tfres.families.family import Family
from tfres.models.san.options import SANOptions
from tfres.models.san.presets import PRESETS
from tfres.objectives.options import ScaleOptions

if TYPE_CHECKING:
    from tfres.objectives import Objective
    from tfres.recipe import Recipe


def defaults(options: SANOptions) -> dict[str, dict[str, Any]]:
    """As a float RS-Net."""
    return rsnet.FLOAT


def objective(recipe: Recipe) -> Objective:
    """Scale distillation."""
    from tfres.objectives import ScaleDistillation

    return ScaleDistillation(
        kd=recipe.objective.kd,
        normalise=recipe.objective.kd_type == "topdown_normalised",
        weight_decay=recipe.training.weight_decay,
        decay_on=recipe.training.decay_on,
    )


FAMILY = Family(
    name="san",
    network="tfres.models.san.network:SAN",
    presets=PRESETS,
    model_options=SANOptions,
    objective_options=ScaleOptions,
    objective=objective,
    defaults=defaults,
)
