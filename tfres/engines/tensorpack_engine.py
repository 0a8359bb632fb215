"""Training with tensorpack's trainers and callbacks, over the same Keras model, objective and pipeline.

The whole run lives in a TensorFlow 1 graph of its own; the rest of the process stays eager.
"""

import dataclasses
import logging

import tensorflow as tf
from tensorpack import ModelDesc, PeriodicTrigger, TFDatasetInput
from tensorpack.callbacks import Callback, HyperParamSetter, Inferencer, InferenceRunner, ModelSaver
from tensorpack.tfutils.sesscreate import NewSessionCreator
from tensorpack.tfutils.sessinit import DictRestore
from tensorpack.tfutils.tower import TowerFunc
from tensorpack.train import SimpleTrainer, SyncMultiGPUTrainerParameterServer
from tensorpack.utils import logger as tensorpack_logger

from quant import StepScope
from tfres.data import augment
from tfres.data.pipeline import training_batches, validation_batches
from tfres.engines import checkpoints
from tfres.engines.training import Progress
from tfres.evaluation.accuracy import count_hits, metric_names
from tfres.objectives.ensemble_distillation import ensemble

tf1 = tf.compat.v1


def run(plan):
    """Train by `plan`, saving and validating as it says."""
    tensorpack_logger.setLevel(logging.CRITICAL)  # progress and errors are told by us
    with tf.Graph().as_default():
        trainer, network = build(plan)
        saves_per_epoch = plan.steps_per_epoch // plan.steps_per_save
        progress = Progress(plan)
        validation = _Validation(plan, network.names, progress)
        pictures = _ValidationInput(plan, network.labels)
        tower = TowerFunc(network.build_graph, pictures.signature)
        runner = InferenceRunner(pictures, [validation], device=0 if plan.recipe.training.devices else -1, tower_func=tower)
        callbacks = [
            _Rate("learning_rate", plan),
            _Report(network.term_fetches(), plan.first_step, progress),
            PeriodicTrigger(runner, every_k_epochs=saves_per_epoch),
            _Saver(plan),
        ]
        try:
            trainer.train_with_defaults(
                callbacks=callbacks,
                extra_callbacks=[],
                monitors=[],
                session_creator=_session_creator(),
                session_init=DictRestore(plan.start),
                steps_per_epoch=plan.steps_per_save,
                starting_epoch=plan.first_step // plan.steps_per_save + 1,
                max_epoch=plan.total_steps // plan.steps_per_save,
            )
        finally:
            progress.close()


def build(plan):
    """The training graph in the current default graph.

    One device: tensorpack's simple trainer. Two or more: its synchronous parameter-server trainer, which shares all
    variables; gradients are averaged, statistics and basis updates use the sums over all towers.

    Returns:
        `(trainer, network)`; `trainer.train_op` is the optimizer step followed by the statistics' updates.
    """
    devices = plan.recipe.training.devices
    data = dataclasses.replace(plan.recipe.data, batch_size=plan.recipe.data.batch_size // max(1, len(devices)))
    first_batch = plan.first_step * max(1, len(devices))
    network = _Network(plan)
    batches = training_batches(plan.source, data, plan.recipe.training.seed, first_batch, network.crop.draws)
    trainer = SimpleTrainer() if len(devices) < 2 else SyncMultiGPUTrainerParameterServer(devices)
    trainer.setup_graph(network.get_input_signature(), _input(batches), network.build_graph, network.get_optimizer)
    # All statistics come from tensors that the optimizer step already waits for, so they are those of the step's start.
    with tf.control_dependencies([trainer.train_op]):
        trainer.train_op = tf.group(*StepScope.merged(network.scopes).apply(), name="step")
    return trainer, network


class _Network(ModelDesc):
    """The model and objective as tensorpack's description of a tower."""

    def __init__(self, plan):
        self.plan = plan
        self.model = None
        self.crop = plan.crop()
        self.objective = plan.objective()
        self.scopes = []
        self.terms = []
        self.names = [f"r{resolution}" for resolution in plan.recipe.model.resolutions]
        if plan.has_ensemble():
            self.names.append("ensemble")
        self.labels = tf.TensorSpec((None,), tf.int32, "labels")

    def inputs(self):
        """Of training; `_ValidationInput` feeds `(images of every resolution, labels)` instead."""
        side = self.plan.recipe.data.side
        mixed = {layer["name"] for layer in self.plan.recipe.data.augment} & set(augment.MIXING)
        labels = tf.TensorSpec((None, len(self.plan.source.classes)), tf.float32, "labels") if mixed else self.labels
        images = tf.TensorSpec((None, side, side, 3), tf.uint8, "images")
        return [images, labels, tf.TensorSpec((None, self.crop.draws), tf.float32, "draws")]

    def build_graph(self, *batch):
        if self.model is None:  # tensorpack trains what its first tower creates; no tower's name may be in the names
            with tf1.name_scope(None):
                self.model = self.plan.build_model()
        if self.training:
            images, labels, draws = batch
            with StepScope() as scope:
                outcome = self.objective(self.model, self.crop(images, draws=draws, training=True), labels)
            self.scopes.append(scope)
            self.terms.append(outcome.terms)
            return tf.add_n(list(outcome.terms.values()), name="cost")
        *images, labels = batch
        logits = [
            self.model(self.crop.at(image, setting.resolution), setting=setting, training=False)
            for image, setting in zip(images, self.model.settings, strict=True)
        ]
        if "ensemble" in self.names:
            logits.append(ensemble(logits, self.model.alpha))
        for name, z in zip(self.names, logits, strict=True):
            tf.identity(count_hits(labels, z), name=f"hits_{name}")
        tf.size(labels, name="seen")
        return None

    def optimizer(self):
        training = self.plan.recipe.training
        rate = tf1.get_variable("learning_rate", initializer=self.plan.rate(self.plan.first_step), trainable=False)
        return tf1.train.MomentumOptimizer(rate, training.momentum, use_nesterov=training.nesterov)

    def term_fetches(self):
        """Loss terms, mean over towers."""
        return {name: tf.add_n([terms[name] for terms in self.terms]) / len(self.terms) for name in self.terms[0]}


class _Rate(HyperParamSetter):
    """Sets the learning rate before every step."""

    def __init__(self, name, plan):
        super().__init__(name)
        self._plan = plan

    def _get_value_to_set(self):
        return self._plan.rate(self.global_step)

    def _trigger_step(self):
        self._trigger()


class _Report(Callback):
    """Fetches the loss terms with every step."""

    def __init__(self, fetches, first_step, progress):
        self._fetches = tf1.train.SessionRunArgs(fetches)
        self._step = first_step
        self._progress = progress

    def _before_run(self, _):
        return self._fetches

    def _after_run(self, _, values):
        self._step += 1
        self._progress.step(self._step, {name: float(value) for name, value in values.results.items()})


class _Validation(Inferencer):
    """Counts hits over the validation split."""

    def __init__(self, plan, names, progress):
        self._names = names
        self._progress = progress

    def _get_fetches(self):
        return ["seen", *(f"hits_{name}" for name in self._names)]

    def _before_inference(self):
        self._totals = [0] * (len(self._names) + 1)

    def _on_fetches(self, results):
        self._totals = [total + result for total, result in zip(self._totals, results, strict=True)]

    def _after_inference(self):
        seen, *hits = self._totals
        accuracies = {n: {"top1": h[0] / seen, "top5": h[1] / seen} for n, h in zip(self._names, hits, strict=True)}
        self._progress.epoch(self.global_step, metric_names(accuracies))
        return {}


class _Saver(ModelSaver):
    """tensorpack's saver, which fails when it cannot save, and goes on counting the checkpoints of a resumed run."""

    def __init__(self, plan):
        super().__init__(
            max_to_keep=plan.recipe.training.keep_checkpoints,
            keep_checkpoint_every_n_hours=1e6,
            checkpoint_dir=str(plan.run.checkpoints),
        )

    def _setup_graph(self):
        super()._setup_graph()
        self.saver = checkpoints.make_saver(tf1.global_variables(), self.checkpoint_dir, self._max_to_keep)

    def _before_train(self):
        """Nothing: tensorpack would write the graph here."""

    def _trigger(self):
        checkpoints.save(self.saver, tf1.get_default_session(), self.checkpoint_dir, self.global_step)


class _ValidationInput(TFDatasetInput):
    """The validation batches: other components than those of training, and their number, which tensorpack needs."""

    def __init__(self, plan, labels):
        resolutions = plan.recipe.model.resolutions
        batches = validation_batches(plan.source, plan.recipe.data, resolutions)
        flat = batches.map(lambda images, labels: (*(images[r] for r in resolutions), labels))
        super().__init__(_version1(flat))
        self.signature = [tf.TensorSpec(spec.shape, spec.dtype, f"images{i}") for i, spec in enumerate(flat.element_spec)]
        self.signature[-1] = labels
        self._batches = -(-plan.source.validation.size // plan.recipe.data.batch_size)

    def _size(self):
        return self._batches


def _input(batches):
    return TFDatasetInput(_version1(batches))


def _version1(dataset):
    """The dataset as a TensorFlow 1 dataset, which tensorpack expects."""
    empty = (
        tf1.data.Dataset.from_tensors(0)
        .take(0)
        .map(lambda _: tf.nest.map_structure(lambda s: tf.zeros([d or 0 for d in s.shape], s.dtype), dataset.element_spec))
    )
    return empty.concatenate(dataset)


def _session_creator():
    """tensorpack's, with all cores for an operation (its default is one)."""
    creator = NewSessionCreator()
    creator.config.intra_op_parallelism_threads = 0
    return creator
