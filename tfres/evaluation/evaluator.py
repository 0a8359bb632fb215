"""Figures of merit of several members (settings, networks) in one pass over the pictures; both engines use it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import tensorflow as tf

if TYPE_CHECKING:
    from tfres.models.network import Network
    from tfres.objectives import Objective
    from tfres.tasks import Source, Task

# Function of normalised images by size, giving outputs by the member's name.
Answers = Callable[[Mapping[Any, tf.Tensor]], Mapping[str, tf.Tensor]]


class Evaluator:
    """Evaluates its members as often as it is called; it is traced once.

    Args:
        task: gives batches, preparation and metrics.
        source: its validation split is evaluated.
        sizes: of the pictures that the members want.
        answers: see `Answers`.
    """

    def __init__(self, task: Task, source: Source, sizes: Iterable[Any], answers: Answers) -> None:
        self.task, self.source = task, source
        self._sizes, self._answers = list(dict.fromkeys(sizes)), answers
        self._metrics: dict[str, Any] = {}
        self._traced: Any = None

    def __call__(self) -> dict[str, dict[str, float]]:
        """Name of the member -> its metrics.

        Raises:
            DataError: a picture that cannot be read, or outputs that are not finite numbers.
        """
        self._metrics = {}
        with self.task.explained(self.source):
            batches = self.task.evaluation_batches(self.source, self._sizes)
            if self._traced is None:
                specs = tf.nest.map_structure(_of_any_batch, batches.element_spec)
                self._traced = tf.function(self._measured, autograph=False).get_concrete_function(specs)
            for batch in batches:
                for name, measured in self._traced(batch).items():
                    self._metrics.setdefault(name, self.task.metrics(self.source)).add(measured)
        return {name: metrics.result() for name, metrics in self._metrics.items()}

    def _measured(self, batch: Mapping[str, Any]) -> dict[str, tf.Tensor]:
        inputs, targets = self.task.prepare(batch, self._sizes, training=False)
        return {name: self.task.metrics(self.source).measure(z, targets) for name, z in self._answers(inputs).items()}


def _of_any_batch(spec: tf.TensorSpec) -> tf.TensorSpec:
    return tf.TensorSpec([None, *spec.shape[1:]], spec.dtype)


def trained_evaluator(network: Network, task: Task, source: Source, objective: Objective) -> Evaluator:
    """The evaluator of a network at its trained settings, and of what these give together."""
    settings = network.trained_settings

    def answers(inputs: Mapping[Any, tf.Tensor]) -> dict[str, tf.Tensor]:
        outputs = network.forward(inputs, settings, training=False)
        return {str(setting): z for setting, z in outputs.items()} | objective.combined(network, outputs, task)

    return Evaluator(task, source, map(network.size, settings), answers)


def metric_names(results: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Flat names for logs: `validation_top1_r32`; values that are mappings are left out."""
    return {
        f"validation_{key}_{name}": value
        for name, values in results.items()
        for key, value in values.items()
        if not isinstance(value, Mapping)
    }
