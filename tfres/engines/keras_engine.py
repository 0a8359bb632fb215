"""Training with Keras' `fit`, on one device or under a `tf.distribute` strategy."""

import tensorflow as tf

from tfres.data.pipeline import training_batches
from tfres.engines import checkpoints, gradients
from tfres.engines.optimizer import MomentumSGD
from tfres.engines.strategies import WorkerLost, make_strategy
from tfres.engines.training import Progress, variable_name
from tfres.evaluation.accuracy import evaluate, metric_names


class TrainingModel(tf.keras.Model):
    """Network, objective and optimizer of a plan as a Keras model for `fit`; its data are the pipeline's batches.

    `train_step` returns the loss terms, means over replicas.

    Args:
        plan: `Plan`; its starting values are loaded.
    """

    def __init__(self, plan):
        super().__init__()
        training = plan.recipe.training
        self.network = plan.build_model()
        self.crop = plan.crop()
        self.objective = plan.objective()
        self.accumulate, self.low_memory = training.accumulate, training.low_memory
        averaging = {} if training.ema is None else {"use_ema": True, "ema_momentum": training.ema}
        self.sgd = MomentumSGD(plan.rate(plan.first_step), training.momentum, training.nesterov, **averaging)
        self.sgd.build(self.network.trainable_variables)
        scaled = training.precision == "mixed_float16"
        self.compile(optimizer=tf.keras.mixed_precision.LossScaleOptimizer(self.sgd) if scaled else self.sgd)
        self.distribute_reduction_method = "first"  # the terms are means over replicas already
        self.global_step = tf.Variable(plan.first_step, dtype=tf.int64, trainable=False, name="global_step")
        for name, variable in self.checkpointed().items():
            if name in plan.start:
                variable.assign(plan.start[name])
        for weight, average in self.averages():
            if variable_name(weight) + checkpoints.AVERAGE not in plan.start:
                average.assign(weight.value())

    def checkpointed(self):
        """All variables that a checkpoint holds, by name."""
        trainable = self.network.trainable_variables
        names = {variable_name(variable): variable for variable in self.network.weights}
        names |= {variable_name(v) + checkpoints.SLOT: b for v, b in zip(trainable, self.sgd.buffers, strict=True)}
        names |= {variable_name(v) + checkpoints.AVERAGE: a for v, a in self.averages()}
        if self.optimizer is not self.sgd:
            state = self.optimizer._loss_scale._weights
            names |= {f"{checkpoints.LOSS_SCALE}{name}": variable for (name, _), variable in state.items()}
        return {**names, "global_step": self.global_step}

    def averages(self):
        """Pairs of weight and its moving average."""
        if not self.sgd.use_ema:
            return []
        return list(zip(self.network.trainable_variables, self.sgd._model_variables_moving_average, strict=True))

    def train_step(self, data):
        variables = self.network.trainable_variables
        scaled = self.optimizer is not self.sgd
        scale = self.optimizer.get_scaled_loss if scaled else (lambda loss: loss)
        compute = gradients.one_setting_at_a_time if self.low_memory else gradients.all_settings
        terms, grads, scope = gradients.accumulated(
            lambda *part: compute(self.network, self.crop, self.objective, part, scale), data, self.accumulate
        )
        if self.sgd.use_ema:  # Keras pairs weights and averages by position
            grads = [tf.zeros_like(v) if g is None else g for g, v in zip(grads, variables, strict=True)]
        pairs = [(g, v) for g, v in zip(grads, variables, strict=True) if g is not None]
        if scaled:
            unscaled = self.optimizer.get_unscaled_gradients([g for g, _ in pairs])
            pairs = [(g, v) for g, (_, v) in zip(unscaled, pairs, strict=True)]
        context = tf.distribute.get_replica_context()
        if context.num_replicas_in_sync > 1:
            pairs = [(g / context.num_replicas_in_sync, v) for g, v in pairs]
            terms = context.all_reduce("MEAN", terms)
        self.optimizer.apply_gradients(pairs)
        scope.apply()
        self.global_step.assign_add(1)
        return terms


class _Bookkeeping(tf.keras.callbacks.Callback):
    """Sets the rate, reports, saves and validates; what a Keras epoch is here lies between two checkpoints."""

    def __init__(self, plan):
        super().__init__()
        self.plan = plan
        self.step = plan.first_step
        self.progress = Progress(plan)

    def on_train_begin(self, logs=None):
        folder = self.plan.run.checkpoints
        folder.mkdir(parents=True, exist_ok=True)
        self.saver = checkpoints.make_saver(self.model.checkpointed(), folder, self.plan.recipe.training.keep_checkpoints)

    def on_train_batch_begin(self, batch, logs=None):
        self.model.sgd.learning_rate = self.plan.rate(self.step)

    def on_train_batch_end(self, batch, logs=None):
        self.step += 1
        self.progress.step(self.step, {name: float(value) for name, value in logs.items()})

    def on_epoch_end(self, epoch, logs=None):
        if self.step % self.plan.steps_per_epoch == 0:
            self.progress.epoch(self.step, metric_names(self._evaluate()))
        if self.plan.writes:
            checkpoints.save(self.saver, None, self.plan.run.checkpoints, self.step)

    def _evaluate(self):
        """Accuracies with the averaged weights where there are any."""
        plan, averages = self.plan, self.model.averages()
        kept = [weight.numpy() for weight, _ in averages]
        for weight, average in averages:
            weight.assign(average.value())
        try:
            ensemble = plan.has_ensemble()
            return evaluate(self.model.network, self.model.crop, plan.source, plan.recipe.data, with_ensemble=ensemble)
        finally:
            for (weight, _), value in zip(averages, kept, strict=True):
                weight.assign(value)


def run(plan):
    """Train by `plan`, saving and validating as it says."""
    recipe = plan.recipe
    strategy = make_strategy(recipe.training.strategy)
    with strategy.scope():
        model = TrainingModel(plan)
    replicas = strategy.num_replicas_in_sync

    def batches(number, count):
        draws, shared, seed = model.crop.draws, model.objective.draws, recipe.training.seed
        return training_batches(plan.source, recipe.data, seed, plan.first_step, draws, replicas, (number, count), shared)

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


def _cause(error):
    """The line of a failed collective that tells why."""
    lines = str(error).splitlines()
    return next((line for line in lines if "aborted" in line), lines[0])
