"""MutualNet: any width at any resolution, the sandwich rule; slimmable networks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tfres.errors import RecipeError
from tfres.families.family import Family
from tfres.models.mutualnet.options import MutualNetOptions
from tfres.models.mutualnet.presets import PRESETS
from tfres.objectives.options import MutualOptions

if TYPE_CHECKING:
    from tfres.objectives import Objective
    from tfres.recipe import Recipe

_DATA = {
    "rules": "torchvision", "evaluation_cut": "once", "resize": "align_corners", "flip": "shared", "lighting": 0.0,
    "channel_order": "rgb",
}  # fmt: skip
_TRAINING = {"engine": "keras", "learning_rate": 0.1, "nesterov": True, "weight_decay": 1e-4, "decay_on": "kernels"}


def defaults(options: MutualNetOptions) -> dict[str, dict[str, Any]]:
    """As the reference; with norms private to the width neither random widths nor random sides."""
    learning = {"random_widths": 0 if options.switches else 2, "random_sides": not options.switches}
    return {"data": _DATA, "training": _TRAINING, "objective": learning}


def check(recipe: Recipe) -> None:
    """Raises RecipeError for random widths where norms are private to the width, or for widths that no step would train."""
    switches, widths = recipe.model.private or recipe.model.channel_lists, recipe.objective.random_widths
    if not switches and {*recipe.model.width_mults} != {*recipe.model.width_range}:
        raise RecipeError(
            "`width_mults` must be both ends of `width_range` (others are calibrated after the training: tfres.evaluate "
            f"--width), unless norms are private. Received: width_mults={recipe.model.width_mults}."
        )
    if switches and widths:
        raise RecipeError(f"`random_widths` must be 0 where norms are private to the width. Received: random_widths={widths}.")


def objective(recipe: Recipe) -> Objective:
    """The sandwich rule."""
    from tfres.objectives import MutualLearning

    return MutualLearning(
        kd=recipe.objective.kd,
        random_widths=recipe.objective.random_widths,
        random_sides=recipe.objective.random_sides,
        weight_decay=recipe.training.weight_decay,
        decay_on=recipe.training.decay_on,
    )


FAMILY = Family(
    name="mutualnet",
    network="tfres.models.mutualnet.network:MutualNet",
    presets=PRESETS,
    model_options=MutualNetOptions,
    objective_options=MutualOptions,
    objective=objective,
    defaults=defaults,
    check=check,
)
