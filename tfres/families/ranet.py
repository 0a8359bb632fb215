"""RANet: exits over resolution and depth, all trained at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tfres.families.family import Family
from tfres.models.ranet.options import RANetOptions
from tfres.models.ranet.presets import PRESETS
from tfres.objectives.options import ExitsOptions
from tfres.recipe import check as require

if TYPE_CHECKING:
    from tfres.objectives import Objective
    from tfres.recipe import Recipe

_DATA = {
    "rules": "torchvision", "resize": "bilinear", "flip": "shared", "lighting": 0.0, "channel_order": "rgb", "holdout": 0.1,
}  # fmt: skip
_TRAINING = {"engine": "keras", "learning_rate": 0.1, "nesterov": False, "weight_decay": 1e-4, "decay_on": "all"}


def defaults(options: RANetOptions) -> dict[str, dict[str, Any]]:
    """As the reference with its validation split: a tenth of the training pictures calibrates when to leave."""
    return {"data": _DATA, "training": _TRAINING}


def check(recipe: Recipe) -> None:
    """Raises RecipeError for weights of other exits than the network has, or heads alone on a trunk that knows nothing."""
    weights, count = recipe.objective.exit_weights, len(recipe.model.exits)
    alone = recipe.objective.heads_only
    require(not alone or recipe.training.load is not None, "heads_only", "false without `training.load`", alone)
    require(weights is None or len(weights) == count, "exit_weights", f"a number for each of the {count} exits", weights)


def objective(recipe: Recipe) -> Objective:
    """The sum over the exits."""
    from tfres.objectives import ExitsObjective

    options = recipe.objective
    return ExitsObjective(
        kd=options.distillation > 0,
        weight_decay=recipe.training.weight_decay,
        decay_on=recipe.training.decay_on,
        exit_weights=options.exit_weights,
        equilibrium=options.equilibrium,
        distillation=options.distillation,
        temperature=options.temperature,
        heads_only=options.heads_only,
    )


FAMILY = Family(
    name="ranet",
    network="tfres.models.ranet.network:RANet",
    presets=PRESETS,
    model_options=RANetOptions,
    objective_options=ExitsOptions,
    objective=objective,
    defaults=defaults,
    tasks={"classification": {}},
    check=check,
)
