"""From a recipe to a run that is trained."""

from __future__ import annotations

import pathlib
import time
from typing import TYPE_CHECKING

from tfres.engines.plan import Plan, epoch_steps, initial_network, train
from tfres.engines.strategies import check_devices, is_chief, make_strategy, wait_for_workers
from tfres.errors import RecipeError
from tfres.families.networks import build_network, describe_network
from tfres.families.recipes import resolve
from tfres.run import Run, checkpoints

if TYPE_CHECKING:
    from tfres.recipe import Recipe


def start_run(recipe: Recipe, path: pathlib.Path, action: str = "resume") -> Plan:
    """Make or go on with the run of a recipe, and train to its end.

    Args:
        recipe: as the user gave it.
        path: folder of the run.
        action: for a folder that exists: "resume", "delete", "backup", "new" (another folder) or "quit".

    Raises:
        RecipeError, RunError: what cannot be honoured; nothing was written. Others: see `tfres.engines.plan.train`.
    """
    make_strategy(recipe.training.strategy)  # workers connect before TensorFlow does anything else
    check_devices(recipe.training.devices)
    run, chief = Run(path), is_chief(recipe.training)
    exists = run.exists()
    if exists and action == "quit":
        raise RecipeError(f"{run.path} exists and --action is quit.")
    if exists and action == "new":
        run = Run(run.path.with_name(f"{run.path.name}-{time.strftime('%Y%m%d-%H%M%S')}"))
    recipe, task, source = resolve(recipe)
    started = exists and action == "resume" and checkpoints.latest_checkpoint(run.checkpoints) is not None
    if recipe.training.load is not None and not started:  # what cannot be loaded must not leave a run
        initial_network(recipe, lambda: build_network(recipe, recipe.training.precision))
    if chief:
        if exists and action in ("delete", "backup"):
            getattr(run, action)()
        steps, _ = epoch_steps(recipe, task, source)
        facts = {"classes": source.classes, "steps_per_epoch": steps, "pictures": source.size}
        run.create(recipe.to_dict(), facts)
        run.write_network(describe_network(recipe))
    wait_for_workers(recipe.training.strategy)  # the others read what the chief wrote
    return train(recipe, run, task, source)
