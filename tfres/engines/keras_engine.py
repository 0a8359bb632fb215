"""Training with `tf.function` steps over Keras layers."""

import tensorflow as tf

from quant import StepScope
from tfres.data.pipeline import training_batches
from tfres.engines import checkpoints
from tfres.engines.optimizer import MomentumSGD
from tfres.engines.training import Progress, variable_name
from tfres.evaluation.accuracy import evaluate, metric_names


class Trainer:
    """Model, optimizer and one compiled training step.

    Args:
        plan: `Plan`; its starting values are loaded into the new model and optimizer.
    """

    def __init__(self, plan):
        self.plan = plan
        training = plan.recipe.training
        self.model = plan.build_model()
        self.crop = plan.crop()
        self.objective = plan.objective()
        self.optimizer = MomentumSGD(plan.rate(plan.first_step), training.momentum, training.nesterov)
        self.optimizer.build(self.model.trainable_variables)
        self.global_step = tf.Variable(plan.first_step, dtype=tf.int64, name="global_step")
        for name, variable in self.variables().items():
            if name in plan.start:
                variable.assign(plan.start[name])

    def variables(self):
        """All variables that a checkpoint holds, by name."""
        slots = zip(self.model.trainable_variables, self.optimizer.buffers, strict=True)
        return {
            **{variable_name(variable): variable for variable in self.model.weights},
            **{variable_name(variable) + checkpoints.SLOT: buffer for variable, buffer in slots},
            "global_step": self.global_step,
        }

    @tf.function
    def step(self, images, labels, seed, rate):
        """One update from a batch of the pipeline; returns the loss terms."""
        variables = self.model.trainable_variables
        with StepScope() as scope, tf.GradientTape() as tape:
            crops = self.crop(images, seed=seed, training=True)
            terms = self.objective(self.model, crops, labels).terms
            cost = tf.add_n(list(terms.values()))
        gradients = tape.gradient(cost, variables)
        self.optimizer.learning_rate.assign(rate)
        self.optimizer.apply_gradients([(g, v) for g, v in zip(gradients, variables, strict=True) if g is not None])
        scope.apply()
        self.global_step.assign_add(1)
        return terms


def run(plan):
    """Train by `plan`, saving and validating as it says."""
    recipe, folder = plan.recipe, plan.run.checkpoints
    folder.mkdir(parents=True, exist_ok=True)
    trainer = Trainer(plan)
    saver = checkpoints.make_saver(trainer.variables(), folder, recipe.training.keep_checkpoints)
    progress = Progress(plan)
    batches = iter(training_batches(plan.source, recipe.data, recipe.training.seed, plan.first_step))
    try:
        for step in range(plan.first_step, plan.total_steps):
            terms = trainer.step(*next(batches), tf.constant(plan.rate(step)))
            progress.step(step + 1, {name: float(value) for name, value in terms.items()})
            if (step + 1) % plan.steps_per_epoch == 0:
                kd = recipe.training.kd
                accuracies = evaluate(trainer.model, trainer.crop, plan.source, recipe.data, with_ensemble=kd)
                progress.epoch(step + 1, metric_names(accuracies))
            if (step + 1) % plan.steps_per_save == 0:
                checkpoints.save(saver, None, folder, step + 1)
    finally:
        progress.close()
