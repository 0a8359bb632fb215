"""A run opened for evaluation: its network, task, pictures and objective."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import TYPE_CHECKING, Any

from tfres.evaluation.calibration import Calibration, calibration_pictures
from tfres.families.networks import load_network, read_run_recipe
from tfres.families.recipes import family_of
from tfres.run import Run, checkpoints
from tfres.tasks import find_task

if TYPE_CHECKING:
    from collections.abc import Callable

    from tfres.models.network import Network
    from tfres.objectives import Objective
    from tfres.recipe import Recipe
    from tfres.tasks import Source, Task


@dataclasses.dataclass(frozen=True)
class OpenedRun:
    """What evaluation needs of a run; see `open_run`."""

    run: Run
    recipe: Recipe
    checkpoint: str
    network: Network
    task: Task
    source: Source
    objective: Objective

    @property
    def checkpoint_name(self) -> str:
        """Name of the checkpoint's files."""
        return pathlib.Path(self.checkpoint).name

    def pictures(self, calibration: Calibration) -> Callable[[Any], Any]:
        """Pictures for calibration: function of a resolution giving batches."""
        sizes, seed = self.network.options.sizes, self.recipe.training.seed
        return calibration_pictures(self.task, self.source, calibration.batches, calibration.cut, sizes, seed)


def open_task(recipe: Recipe, classes: list[str], data: str | None = None) -> tuple[Task, Source]:
    """The task and pictures of a resolved recipe.

    Args:
        recipe: resolved.
        classes: names of the run's classes, onto which the labels are mapped.
        data: other pictures than the recipe's.

    Raises:
        DataError: no usable pictures, or other classes.
    """
    kind = find_task(recipe.task).task
    options = recipe.data if data is None else recipe.data.elsewhere(data)
    source = kind.open(options, classes)
    return kind(options, classes, recipe.model.classes), source


def open_run(path: Any, step: int | None = None, data: str | None = None, with_calibrated: bool = True) -> OpenedRun:
    """Open a run for evaluation.

    Args:
        path: of its folder.
        step: of the checkpoint; None for the newest.
        data: other pictures, as for training; classes are matched by name.
        with_calibrated: whether settings that calibration added are among the network's.

    Raises:
        RunError, CheckpointError, DataError: see `load_network` and `open_task`.
    """
    run = Run(path)
    recipe = read_run_recipe(run)
    checkpoint = run.checkpoint() if step is None else checkpoints.of_step(run.checkpoints, step)
    network = load_network(run, checkpoint, with_calibrated)
    task, source = open_task(recipe, run.facts()["classes"], data)
    return OpenedRun(run, recipe, checkpoint, network, task, source, family_of(recipe).objective(recipe))
