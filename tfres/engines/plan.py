"""What both engines share: the plan of a run and its starting values."""

from __future__ import annotations

import dataclasses
import importlib
import logging
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from tfres.engines.strategies import is_chief
from tfres.evaluation.evaluator import trained_evaluator
from tfres.families.networks import build_network
from tfres.families.recipes import family_of
from tfres.models.weights import load_weights, weights_by_name
from tfres.recipe import learning_rate
from tfres.run import checkpoints
from tfres.settings import Setting

if TYPE_CHECKING:
    from tfres.evaluation.evaluator import Evaluator
    from tfres.models.network import Network
    from tfres.objectives import Objective
    from tfres.recipe import Recipe
    from tfres.run import Run
    from tfres.tasks import Source, Task

logger = logging.getLogger(__name__)


@dataclasses.dataclass
class Plan:
    """Everything an engine needs.

    Args:
        recipe: resolved `Recipe`.
        run: `Run`.
        task, source: of the recipe.
        build: makes a new, built network; called inside the engine's graph or scope.
        start: variable name -> array: network, optimizer buffers and `global_step`.
        steps_per_epoch, steps_per_save: of the run.
        writes: whether this process writes files (one worker of several does).
    """

    recipe: Recipe
    run: Run
    task: Task
    source: Source
    build: Callable[[], Network]
    start: dict[str, Any]
    steps_per_epoch: int
    steps_per_save: int
    writes: bool = True

    @property
    def first_step(self) -> int:
        """Steps that are already made."""
        return int(self.start.get("global_step", 0))

    @property
    def total_steps(self) -> int:
        """Steps of the whole run."""
        return self.recipe.training.epochs * self.steps_per_epoch

    @property
    def sizes(self) -> list[Any]:
        """Sizes of pictures that a step makes."""
        return [Setting.parse(size).resolution for size in self.recipe.model.resolutions]

    def rate(self, step: int) -> float:
        """Learning rate of a step, counted from 0."""
        return learning_rate(self.recipe.training, step, self.steps_per_epoch)

    def objective(self) -> Objective:
        """The family's objective."""
        return family_of(self.recipe).objective(self.recipe)

    def evaluator(self, network: Network) -> Evaluator:
        """Validation of a network at its trained settings."""
        return trained_evaluator(network, self.task, self.source, self.objective())


def train(recipe: Recipe, run: Run, task: Task, source: Source) -> Plan:
    """Train to the recipe's end; a run that was interrupted goes on from its last checkpoint.

    Starting values, first that applies: the run's last checkpoint, `training.load` or `training.init`, random from
    `training.seed`.

    Args:
        recipe: resolved `Recipe`.
        run: `Run`, created.
        task, source: of the recipe.

    Returns:
        `Plan`; its `writes` says whether this process is the one that writes files.

    Raises:
        DataError: unusable pictures or labels, named. CheckpointError: does not fit or cannot be written.
        NonFiniteLoss: names the steps.
    """
    writes = is_chief(recipe.training)
    if writes:
        run.clean()
    plan = make_plan(recipe, run, task, source, writes=writes)
    if plan.first_step >= plan.total_steps:
        logger.info("The run is complete at step %d.", plan.first_step)
        return plan
    engine = importlib.import_module(f"tfres.engines.{recipe.training.engine}_engine")
    with task.explained(source):
        engine.run(plan)
    return plan


def make_plan(
    recipe: Recipe, run: Run, task: Task, source: Source, build: Callable[[], Network] | None = None, writes: bool = True
) -> Plan:
    """The plan of a run, with its starting values."""
    build = build or (lambda: build_network(recipe, recipe.training.precision))
    start = starting_values(recipe, run, build)
    return Plan(recipe, run, task, source, build, start, *epoch_steps(recipe, task, source), writes)


def epoch_steps(recipe: Recipe, task: Task, source: Source) -> tuple[int, int]:
    """Steps per epoch, rounded up to whole saves, and steps per save."""
    steps = recipe.training.steps_per_epoch or task.steps_per_epoch(source)
    saves = min(recipe.training.saves_per_epoch, steps)
    per_save = math.ceil(steps / saves)
    return per_save * saves, per_save


def starting_values(recipe: Recipe, run: Run, build: Callable[[], Network]) -> dict[str, Any]:
    """Values of all variables at the start, by name; see `train` for where they come from."""
    newest = checkpoints.latest_checkpoint(run.checkpoints)
    if newest:
        logger.info("Resuming from %s.", newest)
        return checkpoints.read_checkpoint(newest)
    return {**weights_by_name(initial_network(recipe, build)), "global_step": np.int64(0)}


def initial_network(recipe: Recipe, build: Callable[[], Network]) -> Network:
    """The network that a new run starts from.

    Raises:
        CheckpointError: `training.load` is no checkpoint, or one of another network.
    """
    tf.keras.utils.set_random_seed(recipe.training.seed)
    network = build()
    if recipe.training.load is not None:
        load_weights(network, checkpoints.find_checkpoint(recipe.training.load), network.leaves_out)
    elif recipe.training.init is not None:
        family_of(recipe).pretrained_module(recipe.training.init).load(network, recipe.data.cache)
    return network
