"""One training step: loss terms and gradients in three arrangements that give the same numbers, and their application."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from quant import StepScope

if TYPE_CHECKING:
    from tfres.models.network import Network
    from tfres.objectives import Objective
    from tfres.tasks import Task

Computed = tuple[dict[str, tf.Tensor], list[Any], StepScope]
Scale = Callable[[tf.Tensor], tf.Tensor]


@dataclasses.dataclass(frozen=True)
class Step:
    """What a step consists of.

    Args:
        network, task, objective: see there.
        low_memory: one setting at a time; the objective must be separable.
        accumulate: parts that the batch is cut into.
    """

    network: Network
    task: Task
    objective: Objective
    low_memory: bool = False
    accumulate: int = 1

    def compute(self, batch: Mapping[str, Any], scale: Scale = lambda loss: loss) -> Computed:
        """Terms, gradients and statistics of a batch; nothing is changed.

        Args:
            batch: `images`, `targets`, `draws` and `shared` of the task's pipeline; `step`, its number, where the objective
                counts them.
            scale: function of the loss (loss scaling).

        Returns:
            `(terms, gradients, scope)`: name -> scalar; one gradient or None per trainable variable, of the scaled loss;
            the `StepScope` with the statistics.
        """
        one = self._one_setting_at_a_time if self.low_memory else self._all_settings
        if self.accumulate == 1:
            return one(batch, scale)
        shared = {name: batch[name] for name in ("shared", "step") if name in batch}
        pieces = {name: tf.split(tensor, self.accumulate) for name, tensor in batch.items() if name not in shared}
        results, last = [], []
        for number in range(self.accumulate):
            with tf.control_dependencies(last):
                piece = {name: tf.identity(parts[number]) for name, parts in pieces.items()}
            results.append(one({**piece, **shared}, scale))
            last = [g for g in results[-1][1] if g is not None]
        all_terms, all_grads, scopes = zip(*results, strict=True)
        parts = self.accumulate
        terms = {name: tf.add_n([terms[name] for terms in all_terms]) / parts for name in all_terms[0]}
        grads = [None if column[0] is None else tf.add_n(column) / parts for column in zip(*all_grads, strict=True)]
        return terms, grads, StepScope.merged(scopes)

    def terms(self, batch: Mapping[str, Any]) -> tuple[dict[str, tf.Tensor], StepScope]:
        """Loss terms of a batch and the scope with the statistics."""
        inputs, targets = self.task.prepare(batch, self._sizes(), training=True)
        more = {"step": batch.get("step", 0)} if self.objective.counts_steps else {}
        with StepScope() as scope:
            terms = self.objective(self.network, inputs, targets, self.task, batch.get("shared"), **more).terms
        return terms, scope

    def running(self, scope: StepScope) -> dict[Any, tf.Tensor]:
        """Weights (by `ref()`) that move only where a tensor is true."""
        return {} if self.objective.decays_inactive else scope.running()

    def _sizes(self) -> list[Any]:
        return self.network.options.sizes

    def _all_settings(self, batch: Mapping[str, Any], scale: Scale) -> Computed:
        """All settings in one forward and one backward pass."""
        with tf.GradientTape() as tape:
            terms, scope = self.terms(batch)
            loss = scale(tf.add_n(list(terms.values())))
        return terms, tape.gradient(loss, self.network.trainable_variables), scope

    def _one_setting_at_a_time(self, batch: Mapping[str, Any], scale: Scale) -> Computed:
        """The same with the peak memory of about one setting.

        A first forward pass without tape gives the outputs, from them the loss and its gradient by each setting's outputs,
        which a second pass through one setting after another carries back.
        """
        network, variables = self.network, self.network.trainable_variables
        inputs, targets = self.task.prepare(batch, self._sizes(), training=True)

        def forward(setting: Any, after: list[Any]) -> tf.Tensor:
            with tf.control_dependencies(after):  # or the graph would run the settings side by side
                mine = tf.identity(inputs[network.size(setting)])
            return network(mine, setting=setting, training=True)

        outputs, last = {}, []
        with StepScope():  # the second pass records the statistics
            for setting in network.trained_settings:
                outputs[str(setting)] = forward(setting, last)
                last = [outputs[str(setting)]]
        with tf.GradientTape() as tape:
            tape.watch(outputs)
            terms = self.objective.outcome(network, outputs, targets, self.task).terms
            loss = scale(tf.add_n(list(terms.values())))
        by_outputs, total = tape.gradient(loss, (outputs, variables))
        scopes, last = [], tf.nest.flatten(by_outputs)
        for setting in network.trained_settings:
            with StepScope() as scope, tf.GradientTape() as tape:
                z = forward(setting, last)
            grads = tape.gradient(z, variables, output_gradients=by_outputs[str(setting)])
            total = [_sum(t, g) for t, g in zip(total, grads, strict=True)]
            last = [t for t, g in zip(total, grads, strict=True) if g is not None]
            scopes.append(scope)
        return terms, total, StepScope.joined(scopes)


@dataclasses.dataclass(frozen=True)
class StepResult:
    """What a step did, by the variables' names.

    terms: loss terms. gradients: of the loss by the trainable variables that have one. updates: change of every weight,
    statistics among them.
    """

    terms: dict[str, tf.Tensor]
    gradients: dict[str, tf.Tensor]
    updates: dict[str, tf.Tensor]


def training_step(
    network: Network, task: Task, objective: Objective, optimizer: tf.keras.optimizers.Optimizer, batch: Mapping[str, Any]
) -> StepResult:
    """Make one training step.

    Args:
        network: built; it is changed.
        task: prepares the batch, gives losses.
        objective: which settings run and who teaches whom.
        optimizer: a Keras optimizer, such as `tfres.engines.optimizer.MomentumSGD`; kept by the caller between steps.
        batch: `images`, `targets`, `draws` and `shared` of the task's pipeline.

    Returns:
        `StepResult`.
    """
    before = {variable.name: tf.identity(variable.value()) for variable in network.weights}
    variables = network.trainable_variables
    step = Step(network, task, objective)
    terms, grads, scope = step.compute(batch)
    pairs = [(g, v) for g, v in zip(grads, variables, strict=True) if g is not None]
    optimizer.build(variables)
    with optimizer.only(step.running(scope)):
        optimizer.apply_gradients(pairs)
    scope.apply()
    gradients = {v.name.removesuffix(":0"): tf.convert_to_tensor(g) for g, v in pairs}
    updates = {v.name.removesuffix(":0"): v.value() - before[v.name] for v in network.weights}
    return StepResult(terms, gradients, updates)


def _sum(a: Any, b: Any) -> Any:
    if a is None or b is None:
        return a if b is None else b
    return a + b
