"""Training with Keras' `fit`, on one device or under a `tf.distribute` strategy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from tfres.engines.optimizer import make_optimizer
from tfres.engines.progress import Progress
from tfres.engines.steps import Step
from tfres.engines.strategies import make_strategy
from tfres.errors import WorkerLost
from tfres.models.weights import variable_name
from tfres.run import checkpoints

if TYPE_CHECKING:
    from tfres.engines.plan import Plan


class TrainingModel(tf.keras.Model):
    """Network, objective and optimizer of a plan as a Keras model for `fit`; its data are the task's batches.

    `train_step` returns the loss terms, means over replicas.

    Args:
        plan: `Plan`; its starting values are loaded.
    """

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        training = plan.recipe.training
        self.network = plan.build()
        objective = plan.objective().ready(plan.steps_per_epoch)
        self._step = Step(self.network, plan.task, objective, training.low_memory, training.accumulate)
        self._decay = training.ema
        self.own = make_optimizer(training, plan.rate(plan.first_step), plan.first_step)
        self.own.build(self.network.trainable_variables)
        scaled = training.precision == "mixed_float16"
        self.compile(optimizer=tf.keras.mixed_precision.LossScaleOptimizer(self.own) if scaled else self.own)
        self.distribute_reduction_method = "first"  # the terms are means over replicas already
        self.global_step = tf.Variable(plan.first_step, dtype=tf.int64, trainable=False, name="global_step")
        averaged = [] if training.ema is None else [weight for weight in self.network.weights if _is_averaged(weight)]
        mean = tf.VariableAggregation.MEAN
        self._averages = [tf.Variable(weight.value(), trainable=False, aggregation=mean) for weight in averaged]
        self._averaged = averaged
        for name, variable in self.checkpointed().items():
            if name in plan.start:
                variable.assign(plan.start[name])
        for weight, average in self.averages():
            if variable_name(weight) + checkpoints.AVERAGE not in plan.start:
                average.assign(weight.value())

    def checkpointed(self) -> dict[str, tf.Variable]:
        """All variables that a checkpoint holds, by name."""
        trainable = self.network.trainable_variables
        names = {variable_name(variable): variable for variable in self.network.weights}
        for end, buffers in self.own.slots.items():
            names |= {variable_name(v) + end: b for v, b in zip(trainable, buffers, strict=True)}
        names |= {variable_name(v) + checkpoints.AVERAGE: a for v, a in self.averages()}
        if self.optimizer is not self.own:
            state = self.optimizer._loss_scale._weights
            names |= {f"{checkpoints.LOSS_SCALE}{name}": variable for (name, _), variable in state.items()}
        return {**names, "global_step": self.global_step}

    def averages(self) -> list[tuple[tf.Variable, tf.Variable]]:
        """Pairs of weight or statistic and its moving average."""
        return list(zip(self._averaged, self._averages, strict=True))

    @tf.autograph.experimental.do_not_convert
    def train_step(self, data: Mapping[str, Any]) -> dict[str, tf.Tensor]:
        variables = self.network.trainable_variables
        scaled = self.optimizer is not self.own
        batch = {**data, "step": self.global_step.value()}
        terms, grads, scope = self._step.compute(batch, *([self.optimizer.get_scaled_loss] if scaled else []))
        pairs = [(g, v) for g, v in zip(grads, variables, strict=True) if g is not None]
        if scaled:
            unscaled = self.optimizer.get_unscaled_gradients([g for g, _ in pairs])
            pairs = [(g, v) for g, (_, v) in zip(unscaled, pairs, strict=True)]
        context = tf.distribute.get_replica_context()
        if context.num_replicas_in_sync > 1:
            pairs = [(g / context.num_replicas_in_sync, v) for g, v in pairs]
            terms = context.all_reduce("MEAN", terms)
        with self.own.only(self._step.running(scope)):
            self.optimizer.apply_gradients(pairs)
        scope.apply()
        for weight, average in self.averages():
            average.assign(self._decay * average + (1 - self._decay) * weight.value())
        self.global_step.assign_add(1)
        return terms


def _is_averaged(weight: tf.Variable) -> bool:
    """Whether a weight takes part in the moving average: all but the bookkeeping of quantizers' bases."""
    return not variable_name(weight).endswith(("_biased", "_updates"))


class _Bookkeeping(tf.keras.callbacks.Callback):
    """Sets the rate, reports, saves and validates; what a Keras epoch is here lies between two checkpoints."""

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self.plan = plan
        self.step = plan.first_step
        self.progress = Progress(plan)
        self._evaluator = None

    def on_train_begin(self, logs: Any = None) -> None:
        folder = self.plan.run.checkpoints
        folder.mkdir(parents=True, exist_ok=True)
        self.saver = checkpoints.make_saver(self.model.checkpointed(), folder, self.plan.recipe.training.keep_checkpoints)

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self.model.own.learning_rate = self.plan.rate(self.step)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.step += 1
        self.progress.step(self.step, {name: float(value) for name, value in logs.items()})

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if self.plan.writes:  # before validation, which may meet a bad picture
            checkpoints.save(self.saver, None, self.plan.run.checkpoints, self.step)
        if self.step % self.plan.steps_per_epoch == 0:
            self.progress.validated(self.step, self._evaluate())

    def _evaluate(self) -> dict[str, dict[str, float]]:
        """Metrics with the averages where there are any."""
        averages = self.model.averages()
        self._evaluator = self._evaluator or self.plan.evaluator(self.model.network)
        kept = [weight.numpy() for weight, _ in averages]
        for weight, average in averages:
            weight.assign(average.value())
        try:
            return self._evaluator()
        finally:
            for (weight, _), value in zip(averages, kept, strict=True):
                weight.assign(value)


def run(plan: Plan) -> None:
    """Train by `plan`, saving and validating as it says."""
    recipe = plan.recipe
    strategy = make_strategy(recipe.training.strategy)
    with strategy.scope():
        model = TrainingModel(plan)
    replicas = strategy.num_replicas_in_sync
    shared, seed = plan.objective().random_numbers, recipe.training.seed

    def batches(number: int, count: int) -> tf.data.Dataset:
        place = {"replicas": replicas, "pipeline": (number, count)}
        return plan.task.training_batches(plan.source, plan.sizes, seed, plan.first_step, shared=shared, **place)

    if replicas == 1:
        data = batches(0, 1)
    else:
        data = strategy.distribute_datasets_from_function(
            lambda context: batches(context.input_pipeline_id, context.num_input_pipelines)
        )
    bookkeeping = _Bookkeeping(plan)
    try:
        model.fit(
            data,
            epochs=plan.total_steps // plan.steps_per_save,
            initial_epoch=plan.first_step // plan.steps_per_save,
            steps_per_epoch=plan.steps_per_save,
            callbacks=[bookkeeping],
            verbose=0,
        )
    except (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError) as error:
        raise WorkerLost(
            f"Another worker cannot be reached any more after step {bookkeeping.step} ({_cause(error)}). Start all workers "
            "again with the same command; they go on from the last checkpoint."
        ) from error
    finally:
        bookkeeping.progress.close()


def _cause(error: tf.errors.OpError) -> str:
    """The line of a failed collective that tells why."""
    lines = str(error).splitlines()
    return next((line for line in lines if "aborted" in line), lines[0])
