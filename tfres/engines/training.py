"""What both engines share: the plan of a run, its starting values, progress and bookkeeping."""

import dataclasses
import importlib
import logging
import math
import time

import numpy as np
import tensorflow as tf
import tqdm

from tfres.data.faults import explained
from tfres.data.pipeline import steps_in
from tfres.engines import checkpoints
from tfres.engines.strategies import is_chief
from tfres.layers import MultiResolutionCrop
from tfres.objectives import has_ensemble, make_objective
from tfres.recipe import learning_rate
from tfres.run import History

logger = logging.getLogger(__name__)


class NonFiniteLoss(ArithmeticError):
    """The loss became infinite or not a number."""


@dataclasses.dataclass
class Plan:
    """Everything an engine needs.

    Args:
        recipe: resolved `Recipe`.
        run: `Run`.
        source: `Source`.
        build_model: makes a new, built model; called inside the engine's graph or scope.
        start: variable name -> array: model, optimizer buffers and `global_step`.
        steps_per_epoch, steps_per_save: of the run.
        writes: whether this process writes files (one worker of several does).
    """

    recipe: object
    run: object
    source: object
    build_model: object
    start: dict
    steps_per_epoch: int
    steps_per_save: int
    writes: bool = True

    @property
    def first_step(self):
        return int(self.start.get("global_step", 0))

    @property
    def total_steps(self):
        return self.recipe.training.epochs * self.steps_per_epoch

    def rate(self, step):
        return learning_rate(self.recipe.training, step, self.steps_per_epoch)

    def crop(self):
        """The layer that makes all resolutions inside the step."""
        return make_crop(self.recipe)

    def objective(self):
        return make_objective(self.recipe)

    def has_ensemble(self):
        return has_ensemble(self.recipe)


def make_crop(recipe):
    """`MultiResolutionCrop` of a resolved recipe."""
    data = recipe.data
    return MultiResolutionCrop(
        recipe.model.resolutions, data.resize, data.mean, data.std, data.channel_order, data.flip, data.lighting
    )


def train(recipe, run, source, build_model):
    """Train to the recipe's end; a run that was interrupted goes on from its last checkpoint.

    Starting values, first that applies: the run's last checkpoint, `training.load` or `training.init`, random from
    `training.seed`.

    Args:
        recipe: resolved `Recipe`.
        run: `Run`, created.
        source: `Source`.
        build_model: callable making a new, built model.

    Raises:
        DataError: unusable pictures or labels, named. CheckpointError: does not fit or cannot be written.
        NonFiniteLoss: names the steps.
    """
    per_epoch, per_save = epoch_steps(recipe, source)
    writes = is_chief(recipe.training)
    if writes:
        checkpoints.clean(run.checkpoints)
    start = starting_values(recipe, run, build_model)
    plan = Plan(recipe, run, source, build_model, start, per_epoch, per_save, writes)
    if plan.first_step >= plan.total_steps:
        logger.info("The run is complete at step %d.", plan.first_step)
        return plan
    engine = importlib.import_module(f"tfres.engines.{recipe.training.engine}_engine")
    with explained(source):
        engine.run(plan)
    return plan


def epoch_steps(recipe, source):
    """Steps per epoch, rounded up to whole saves, and steps per save."""
    steps = recipe.training.steps_per_epoch or steps_in(source.train, recipe.data.batch_size)
    saves = min(recipe.training.saves_per_epoch, steps)
    per_save = math.ceil(steps / saves)
    return per_save * saves, per_save


def starting_values(recipe, run, build_model):
    """Values of all variables at the start, by name; see `train` for where they come from."""
    newest = checkpoints.latest_checkpoint(run.checkpoints)
    if newest:
        logger.info("Resuming from %s.", newest)
        return checkpoints.read_checkpoint(newest)
    tf.keras.utils.set_random_seed(recipe.training.seed)
    model = build_model()
    if recipe.training.load:
        load_weights(model, recipe.training.load)
    elif recipe.training.init:
        from tfres.convert import pretrained

        pretrained.load(model, recipe.training.init, recipe.data.cache)
    return {**weights_by_name(model), "global_step": np.int64(0)}


def load_weights(model, path):
    """Set all weights of a model from a checkpoint of ours; where it holds moving averages of weights, those.

    The optimizer's buffers in it are not used.

    Raises:
        CheckpointError: not found, or of another network (names the tensors).
    """
    from tfres.convert.assign import assign_exactly

    prefix = checkpoints.find_checkpoint(path)
    pairs = {variable_name(variable): variable for variable in model.weights}
    tensors = checkpoints.read_checkpoint(prefix)
    averages = {name: tensors.pop(name) for name in list(tensors) if name.endswith(checkpoints.AVERAGE)}
    tensors.update({name.removesuffix(checkpoints.AVERAGE): value for name, value in averages.items()})
    try:
        assign_exactly(pairs, tensors, ignore=checkpoints.is_training_state)
    except ValueError as error:
        raise checkpoints.CheckpointError(f"{prefix}: {error}") from error


def variable_name(variable):
    return variable.name.removesuffix(":0")


def weights_by_name(model):
    """All weights as arrays by name."""
    return {variable_name(variable): variable.numpy() for variable in model.weights}


class Progress:
    """Bar, running means and history of a run; engines call `step` after every step and `epoch` with accuracies."""

    def __init__(self, plan):
        self._plan = plan
        self._history = History(plan.run, plan.first_step) if plan.writes else None
        self._sums, self._count, self._since = {}, 0, time.perf_counter()
        self._batch = plan.recipe.data.batch_size
        self._bar = tqdm.tqdm(
            total=plan.total_steps * self._batch,
            initial=plan.first_step * self._batch,
            unit=" images",
            unit_scale=True,
            dynamic_ncols=True,
            mininterval=0.5,
            desc="training",
            disable=not plan.writes,
        )

    def step(self, number, terms):
        """Step `number` (counted from 1) is done; `terms` maps loss terms to floats.

        Raises:
            NonFiniteLoss: the sum of the terms is not finite.
        """
        loss = sum(terms.values())
        if not math.isfinite(loss):
            raise NonFiniteLoss(
                f"The loss is {loss} at step {number} (last report: step {number - self._count - 1}). "
                "Lower the learning rate, or go on from the last checkpoint with another one."
            )
        for name, value in {**terms, "loss": loss}.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        self._count += 1
        self._bar.set_postfix_str(f"loss {self._sums['loss'] / self._count:.3f}", refresh=False)
        self._bar.update(self._batch)
        if number % self._plan.steps_per_save == 0:
            self._report(number)

    def epoch(self, number, accuracies):
        """Validation after step `number`: metric name -> value."""
        self._add(number, accuracies)
        shown = "  ".join(
            f"{name.removeprefix('validation_')} {value:.3f}" for name, value in accuracies.items() if "top1" in name
        )
        if self._plan.writes:
            self._bar.write(f"epoch {number // self._plan.steps_per_epoch}: {shown}", file=self._bar.fp)
        self._since = time.perf_counter()

    def close(self):
        self._bar.close()

    def _report(self, number):
        means = {f"train_{name}": value / self._count for name, value in self._sums.items()}
        seconds = time.perf_counter() - self._since
        means["learning_rate"] = self._plan.rate(number - 1)
        means["images_per_second"] = self._count * self._batch / seconds
        self._add(number, means)
        self._sums, self._count, self._since = {}, 0, time.perf_counter()

    def _add(self, number, metrics):
        if self._history is not None:
            self._history.add(number, metrics)
