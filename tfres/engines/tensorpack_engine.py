"""Training with tensorpack's trainers and callbacks, over the same Keras network, objective and pipeline.

The training lives in a TensorFlow 1 graph of its own; the rest of the process, validation among it, stays eager.
"""

from __future__ import annotations

import concurrent.futures
import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import tensorflow as tf
from tensorpack import ModelDesc, TFDatasetInput
from tensorpack.callbacks import Callback, HyperParamSetter, ModelSaver
from tensorpack.tfutils.sesscreate import NewSessionCreator
from tensorpack.tfutils.sessinit import DictRestore
from tensorpack.train import SimpleTrainer, SyncMultiGPUTrainerParameterServer
from tensorpack.utils import logger as tensorpack_logger

from quant import StepScope
from tfres.engines.optimizer import adam_values
from tfres.engines.progress import Progress
from tfres.engines.steps import Step
from tfres.models.weights import variable_name
from tfres.run import checkpoints

if TYPE_CHECKING:
    from tfres.engines.plan import Plan

tf1 = tf.compat.v1


def run(plan: Plan) -> None:
    """Train by `plan`, saving and validating as it says."""
    tensorpack_logger.setLevel(logging.CRITICAL)  # progress and errors are told by us
    with tf.Graph().as_default():
        trainer, network = build(plan)
        progress = Progress(plan)
        callbacks = [
            _Rate("learning_rate", plan.rate),
            *([_Rate(checkpoints.ADAM_STEP, lambda step: step + 1)] if plan.recipe.training.optimizer == "adam" else []),
            _Report(network.term_fetches(), plan.first_step, progress),
            _Saver(plan),  # before validation, which may meet a bad picture
            _Validation(plan, network, progress),
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


def build(plan: Plan) -> tuple[Any, _Network]:
    """The training graph in the current default graph.

    One device: tensorpack's simple trainer. Two or more: its synchronous parameter-server trainer, which shares all
    variables; gradients are averaged, statistics and basis updates use the sums over all towers.

    Returns:
        `(trainer, network)`; `trainer.train_op` is the optimizer step followed by the statistics' updates.
    """
    devices = plan.recipe.training.devices
    network = _Network(plan)
    trainer = SimpleTrainer() if len(devices) < 2 else SyncMultiGPUTrainerParameterServer(devices)
    trainer.setup_graph(network.get_input_signature(), network.input(), network.build_graph, network.get_optimizer)
    # All statistics come from tensors that the optimizer step already waits for, so they are those of the step's start.
    with tf.control_dependencies([trainer.train_op]):
        trainer.train_op = tf.group(*StepScope.merged(network.scopes).apply(), name="step")
    return trainer, network


class _Network(ModelDesc):
    """The network and objective as tensorpack's description of a tower."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.model = None
        self.scopes: list[StepScope] = []
        self.terms: list[dict[str, tf.Tensor]] = []
        towers, task = max(1, len(plan.recipe.training.devices)), plan.task
        # A task of its own: layers belong to the graph or to eager programs, not to both.
        self._task = type(task)(task.data, task.classes, task.outputs)
        self._batches = self._task.training_batches(
            plan.source,
            plan.sizes,
            plan.recipe.training.seed,
            plan.first_step,
            shared=plan.objective().random_numbers,
            replicas=towers,
        )
        self._names = list(self._batches.element_spec)

    def inputs(self) -> list[tf.TensorSpec]:
        """Of training, in the order of the names of the batch."""
        specs = self._batches.element_spec
        return [tf.TensorSpec([None, *specs[name].shape[1:]], specs[name].dtype, name) for name in self._names]

    def input(self) -> TFDatasetInput:
        """The batches as tensorpack wants them."""
        return TFDatasetInput(_version1(self._batches.map(lambda batch: tuple(batch[name] for name in self._names))))

    def build_graph(self, *columns: tf.Tensor) -> tf.Tensor:
        if self.model is None:  # tensorpack trains what its first tower creates; no tower's name may be in the names
            with tf1.name_scope(None):
                self.model = self.plan.build()
        batch = dict(zip(self._names, columns, strict=True))
        step = Step(self.model, self._task, self.plan.objective())
        terms, scope = step.terms(batch)
        self.scopes.append(scope)
        self.terms.append(terms)
        return tf.add_n(list(terms.values()), name="cost")

    def optimizer(self) -> tf1.train.Optimizer:
        training = self.plan.recipe.training
        rate = tf1.get_variable("learning_rate", initializer=self.plan.rate(self.plan.first_step), trainable=False)
        if training.optimizer == "adam":
            first = float(self.plan.first_step + 1)
            return _Adam(rate, training.momentum, tf1.get_variable(checkpoints.ADAM_STEP, initializer=first, trainable=False))
        return tf1.train.MomentumOptimizer(rate, training.momentum, use_nesterov=training.nesterov)

    def term_fetches(self) -> dict[str, tf.Tensor]:
        """Loss terms, mean over towers."""
        return {name: tf.add_n([terms[name] for terms in self.terms]) / len(self.terms) for name in self.terms[0]}


class _Adam(tf1.train.Optimizer):
    """`tfres.engines.optimizer.Adam` in a graph; `step` is a variable that counts from 1."""

    def __init__(self, rate: tf.Variable, momentum: float, step: tf.Variable) -> None:
        super().__init__(use_locking=False, name="Adam")
        self._rate, self._momentum, self._step = rate, momentum, step

    def _create_slots(self, var_list: list[tf.Variable]) -> None:
        for variable in var_list:
            for name in ("mean", "square"):
                self._zeros_slot(variable, name, self._name)

    def _resource_apply_dense(self, gradient: tf.Tensor, variable: tf.Variable) -> tf.Operation:
        slots = (self.get_slot(variable, name) for name in ("mean", "square"))
        step = tf.cast(self._step, variable.dtype.base_dtype)
        values = adam_values(variable, *slots, gradient, self._rate, self._momentum, step)
        with tf.control_dependencies([value for _, value in values]):
            return tf.group(*(target.assign(value) for target, value in values))


class _Rate(HyperParamSetter):
    """Sets a variable before every step, such as the learning rate, by a function of the step."""

    def __init__(self, name: str, of: Callable[[int], float]) -> None:
        super().__init__(name)
        self._of = of

    def _get_value_to_set(self) -> float:
        return self._of(self.global_step)

    def _trigger_step(self) -> None:
        self._trigger()


class _Report(Callback):
    """Fetches the loss terms with every step."""

    def __init__(self, fetches: Mapping[str, tf.Tensor], first_step: int, progress: Progress) -> None:
        self._fetches = tf1.train.SessionRunArgs(dict(fetches))
        self._step = first_step
        self._progress = progress

    def _before_run(self, _: Any) -> Any:
        return self._fetches

    def _after_run(self, _: Any, values: Any) -> None:
        self._step += 1
        self._progress.step(self._step, {name: float(value) for name, value in values.results.items()})


class _Validation(Callback):
    """Validates an eager twin of the network, which takes the session's values, with the evaluator of all engines.

    It works in a thread of its own, because a thread inside a graph cannot run eagerly.
    """

    def __init__(self, plan: Plan, network: _Network, progress: Progress) -> None:
        self._plan, self._trained, self._progress = plan, network, progress
        self._twin = self._evaluator = None

    def _trigger(self) -> None:
        if self.global_step % self._plan.steps_per_epoch:
            return
        variables = {variable_name(variable): variable for variable in self._trained.model.weights}
        values = tf1.get_default_session().run(variables)
        with concurrent.futures.ThreadPoolExecutor(1) as eager:
            results = eager.submit(self._evaluated, values).result()
        self._progress.validated(self.global_step, results)

    def _evaluated(self, values: Mapping[str, Any]) -> dict[str, dict[str, float]]:
        if self._twin is None:
            self._twin = self._plan.build()
            self._evaluator = self._plan.evaluator(self._twin)
        for variable in self._twin.weights:
            variable.assign(values[variable_name(variable)])
        return self._evaluator()


class _Saver(ModelSaver):
    """tensorpack's saver, which fails when it cannot save, and goes on counting the checkpoints of a resumed run."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(
            max_to_keep=plan.recipe.training.keep_checkpoints,
            keep_checkpoint_every_n_hours=1e6,
            checkpoint_dir=str(plan.run.checkpoints),
        )

    def _setup_graph(self) -> None:
        super()._setup_graph()
        self.saver = checkpoints.make_saver(tf1.global_variables(), self.checkpoint_dir, self._max_to_keep)

    def _before_train(self) -> None:
        """Nothing: tensorpack would write the graph here."""

    def _trigger(self) -> None:
        checkpoints.save(self.saver, tf1.get_default_session(), self.checkpoint_dir, self.global_step)


def _version1(dataset: tf.data.Dataset) -> tf1.data.Dataset:
    """The dataset as a TensorFlow 1 dataset, which tensorpack expects."""
    empty = (
        tf1.data.Dataset.from_tensors(0)
        .take(0)
        .map(lambda _: tf.nest.map_structure(lambda s: tf.zeros([d or 0 for d in s.shape], s.dtype), dataset.element_spec))
    )
    return empty.concatenate(dataset)


def _session_creator() -> NewSessionCreator:
    """tensorpack's, with all cores for an operation (its default is one)."""
    creator = NewSessionCreator()
    creator.config.intra_op_parallelism_threads = 0
    return creator
