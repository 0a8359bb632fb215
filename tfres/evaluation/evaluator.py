"""Figures of merit of several members (settings, networks) in one pass over the pictures; both engines use it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import tensorflow as tf

if TYPE_CHECKING:
    from tfres.models.network import Network
    from tfres.objectives import Objective
    from tfres.tasks import Source, Task

Member = tuple[Callable[[tf.Tensor], tf.Tensor], Any]  # function of normalised images, and the size it wants


class Evaluator:
    """Evaluates its members as often as it is called; it is traced once.

    Args:
        task: gives batches, preparation and metrics.
        source: its validation split is evaluated.
        members: name -> `(function of normalised images, resolution)`.
        combined: function of the members' outputs, by name, giving further outputs by name.
    """

    def __init__(
        self,
        task: Task,
        source: Source,
        members: Mapping[str, Member],
        combined: Callable[[dict[str, tf.Tensor]], dict[str, tf.Tensor]] = lambda outputs: {},
    ) -> None:
        self.task, self.source = task, source
        self._members, self._combined = dict(members), combined
        self._sizes = list(dict.fromkeys(size for _, size in self._members.values()))
        self._metrics: dict[str, Any] = {}
        self._traced: Any = None

    def __call__(self) -> dict[str, dict[str, float]]:
        """Name of the member -> its metrics.

        Raises:
            DataError: a picture that cannot be read, or outputs that are not finite numbers.
        """
        self._metrics = {}
        with self.task.explained(self.source):
            for batch in self.task.evaluation_batches(self.source, self._sizes):
                for name, measured in self._measure(batch).items():
                    self._metrics.setdefault(name, self.task.metrics()).add(measured)
        return {name: metrics.result() for name, metrics in self._metrics.items()}

    def _measure(self, batch: Mapping[str, Any]) -> dict[str, tf.Tensor]:
        if self._traced is None:
            specs = tf.nest.map_structure(lambda tensor: tf.TensorSpec([None, *tensor.shape[1:]], tensor.dtype), batch)
            self._traced = tf.function(self._measured).get_concrete_function(specs)
        return self._traced(batch)

    def _measured(self, batch: Mapping[str, Any]) -> dict[str, tf.Tensor]:
        inputs, targets = self.task.prepare(batch, self._sizes, training=False)
        outputs = {name: run(inputs[size]) for name, (run, size) in self._members.items()}
        outputs |= self._combined(outputs)
        return {name: self.task.metrics().measure(z, targets) for name, z in outputs.items()}


def trained_evaluator(network: Network, task: Task, source: Source, objective: Objective) -> Evaluator:
    """The evaluator of a network at its trained settings, and of what these give together."""
    settings = {str(setting): setting for setting in network.trained_settings}

    def member(setting: Any) -> Member:
        return lambda images: network(images, setting=setting, training=False), setting.resolution

    def combined(outputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return objective.combined(network, {settings[name]: z for name, z in outputs.items()})

    return Evaluator(task, source, {name: member(setting) for name, setting in settings.items()}, combined)


def metric_names(results: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Flat names for logs: `validation_top1_r32`."""
    return {f"validation_{key}_{name}": value for name, values in results.items() for key, value in values.items()}
