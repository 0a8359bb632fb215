"""From a recipe to a run that is trained."""

from __future__ import annotations

import os
import pathlib
import time
from typing import TYPE_CHECKING

from tfres.engines.plan import Plan, epoch_steps, initial_network, train
from tfres.engines.strategies import check_devices, is_chief, make_strategy, wait_for_workers
from tfres.errors import RecipeError
from tfres.families.networks import build_network, describe_network
from tfres.families.recipes import resolve
from tfres.recipe import check
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
    training = recipe.training
    strategy = make_strategy(training.strategy)  # workers connect before TensorFlow does anything else
    check_devices(training.devices)
    parts, batch = strategy.num_replicas_in_sync * training.accumulate, recipe.data.batch_size
    check(batch % parts == 0, "batch_size", f"a multiple of the {parts} parts it is cut into", batch)
    run, chief = Run(path), is_chief(training)
    alone = training.strategy != "multiworker"
    check(alone or action not in ("new", "quit"), "action", "resume, delete or backup with several workers", action)
    exists = run.exists()
    recipe = recipe.replace(training={"load": _without_links(training.load, run if exists else None)})
    if exists and action == "quit":
        raise RecipeError(f"{run.path} exists and --action is quit.")
    if exists and action == "new":
        run = Run(run.path.with_name(f"{run.path.name}-{time.strftime('%Y%m%d-%H%M%S')}"))
    recipe, task, source = resolve(recipe)
    started = exists and action == "resume" and checkpoints.latest_checkpoint(run.checkpoints) is not None
    steps, _ = epoch_steps(recipe, task, source)
    if not started:  # what cannot be built or loaded must not leave a run, nor cost an old one
        initial_network(recipe, lambda: build_network(recipe, training.precision))
    if chief:
        if exists and action in ("delete", "backup"):
            getattr(run, action)()
        held_out = 0 if source.calibration is None else source.calibration.size
        facts = {"classes": source.classes, "steps_per_epoch": steps, "pictures": source.size, "held_out": held_out}
        run.create(recipe.to_dict(), facts)
        run.write_network(describe_network(recipe))
    wait_for_workers(training.strategy)  # the others read what the chief wrote
    return train(recipe, run, task, source)


def _without_links(load: str | None, run: Run | None) -> str | None:
    """The place of `training.load` without links such as `runs/latest`, which this run will move.

    Given again for a run that exists it may name the run itself; what the run recorded is meant then.
    """
    if load is None or not load.strip():
        return load
    real = os.path.realpath(load)
    if run is not None and real == os.path.realpath(run.path):
        return run.recipe()["training"]["load"]
    return load if real == os.path.abspath(load) else real
