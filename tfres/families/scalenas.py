"""ScaleNAS: one sub-network per step, drawn at random; a teacher that runs everything."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from tfres.families.family import Family
from tfres.models.scalenas.options import ScaleNASOptions
from tfres.models.scalenas.presets import PRESETS
from tfres.objectives.options import OneShotOptions
from tfres.recipe import check as require

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    from tfres.models.network import Network
    from tfres.objectives import Objective
    from tfres.recipe import Recipe

_TRAINING = {"engine": "keras", "learning_rate": 0.001, "nesterov": False, "weight_decay": 5e-4, "decay_on": "all"}


def defaults(options: ScaleNASOptions) -> dict[str, dict[str, Any]]:
    """As the reference; lists of depths are pairs from the least to the most blocks."""
    pairs = [list(pair) for pair in itertools.pairwise(range(max(1, options.least_blocks), options.blocks + 1))]
    return {
        "training": _TRAINING,
        "objective": {"one_shot": not options.extracted, "depths": pairs or [[options.blocks]]},
    }


def check(recipe: Recipe) -> None:
    """Raises RecipeError for depths that the network does not have, or masks drawn from an extracted network."""
    model, learning = recipe.model, recipe.objective
    require(not (learning.one_shot and model.extracted), "one_shot", "false where `model.extracted`", learning.one_shot)
    low, high = max(1, model.least_blocks), model.blocks
    inside = all(low <= depth <= high for depths in learning.depths for depth in depths)
    require(inside, "depths", f"lists of numbers from {low} to {high}, the blocks that branches may run", learning.depths)
    in_place = learning.kd and learning.teacher is None
    require(not (in_place and model.extracted), "teacher", "a run or checkpoint where `model.extracted`", learning.teacher)


def objective(recipe: Recipe) -> Objective:
    """One-shot training, or that of fixed sub-networks."""
    from tfres.objectives import OneShot

    learning = recipe.objective
    draw, length = drawing(recipe) if learning.one_shot else (None, 0)
    return OneShot(
        kd=learning.kd,
        weight_decay=recipe.training.weight_decay,
        decay_on=recipe.training.decay_on,
        draw=draw,
        length=length,
        ratio=learning.ratio,
        load=None if learning.teacher is None else lambda: teacher(recipe),
        decays_inactive=learning.decays_inactive,
    )


def drawing(recipe: Recipe) -> tuple[Callable[[int, int], np.ndarray], int]:
    """The function of a step (and steps per epoch) giving its mask as a vector, and the vector's length."""
    from tfres.models.scalenas.sampling import SEED_STEP, groups, sample

    options, learning = _options(recipe), recipe.objective
    known = groups(learning.fusions, learning.depths, learning.sandwich, options.gathered)

    def draw(step: int, steps_per_epoch: int) -> np.ndarray:
        fusion, depths = known[step % steps_per_epoch % len(known)]
        return sample(step * SEED_STEP, options.space, fusion, depths, options.gathered).vector(options.space)

    return draw, len(options.space.places)


def teacher(recipe: Recipe) -> Network:
    """The whole supernet with the weights of `objective.teacher`, not trained."""
    from tfres.models.scalenas.network import ScaleNAS
    from tfres.models.weights import load_weights
    from tfres.run.checkpoints import find_checkpoint

    options = _options(recipe).to_dict() | {"extracted": False, "subnets": ["full"], "masks": {}, "calibrated": []}
    network = ScaleNAS(**options, dtype=recipe.training.precision, trainable=False)
    network.build()
    load_weights(network, find_checkpoint(recipe.objective.teacher))
    return network


def _options(recipe: Recipe) -> ScaleNASOptions:
    from tfres.families.recipes import network_options
    from tfres.models.options import read_options

    return read_options(ScaleNASOptions, network_options(recipe))


FAMILY = Family(
    name="scalenas",
    network="tfres.models.scalenas.network:ScaleNAS",
    presets=PRESETS,
    model_options=ScaleNASOptions,
    objective_options=OneShotOptions,
    objective=objective,
    defaults=defaults,
    engines=("keras",),
    tasks={"segmentation": {"head": "concatenated"}, "pose": {"head": "finest", "resolutions": ["256x192"]}},
    check=check,
)
