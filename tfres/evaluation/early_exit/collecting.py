"""What a network with exits answers to pictures, kept for the search of policies."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from tfres.errors import DataError

if TYPE_CHECKING:
    from tfres.evaluation.measuring import Form
    from tfres.models.exits import ExitNetwork
    from tfres.settings import Setting
    from tfres.tasks import Source, Task

_AT_ONCE = 2048  # pictures whose scores are computed together


@dataclasses.dataclass(frozen=True, eq=False)
class Collected:
    """The answers of all exits to the pictures of a split, in its order.

    Args:
        outputs: float32 `(exits, pictures, ...)`, the exits ascending.
        targets: `(pictures,)`.
        hits: `(exits, pictures)` of bool, whether an answer is right.
    """

    outputs: np.ndarray
    targets: np.ndarray
    hits: np.ndarray

    def scores(self, task: Task, score: str, temperatures: Any) -> np.ndarray:
        """How sure every answer is, float32 `(exits, pictures)`.

        Args:
            task: whose `confidence` is asked.
            score: see `tfres.policies.Policy`.
            temperatures: one per exit.
        """
        rows = []
        for outputs, temperature in zip(self.outputs, temperatures, strict=True):
            parts = np.array_split(outputs, -(-len(outputs) // _AT_ONCE))
            rows.append(np.concatenate([task.confidence(part, score, temperature).numpy() for part in parts]))
        return np.stack(rows)


def collect(network: ExitNetwork, task: Task, source: Source, *splits: str, form: Form | None = None) -> list[Collected]:
    """Run a network at all exits over splits.

    Args:
        network: built.
        task, source: whose pictures.
        splits: "calibration" or "validation" (the pictures that are tested on).
        form: run this form of the network.

    Raises:
        DataError: no such pictures, or ones that cannot be read; outputs that are not finite, with exit and number.
    """
    size, settings = network.size(), [network.resolve(f"exit{number}") for number in network.exits]
    ways = network.ways if form is None else form.of(network).ways

    def answers(batch: Mapping[str, Any]) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        inputs, targets = task.prepare(batch, [size], training=False)
        found = ways.each(tf.cast(inputs[size], network.compute_dtype), network.exits, training=False)
        outputs = [tf.cast(z, tf.float32) for _, z in found]
        return tf.stack(outputs), targets, tf.stack([task.correct(z, targets) for z in outputs])

    traced, found = None, []
    for split in splits:
        parts = []
        with task.explained(source):
            for batch in task.evaluation_batches(source, [size], split=split):
                if traced is None:
                    specs = tf.nest.map_structure(lambda tensor: tf.TensorSpec([None, *tensor.shape[1:]], tensor.dtype), batch)
                    traced = tf.function(answers, autograph=False).get_concrete_function(specs)
                parts.append([value.numpy() for value in traced(batch)])
        outputs, targets, hits = zip(*parts, strict=True)
        found.append(Collected(np.concatenate(outputs, 1), np.concatenate(targets), np.concatenate(hits, 1)))
        _check_finite(found[-1], settings)
    return found


def _check_finite(collected: Collected, settings: list[Setting]) -> None:
    for setting, row in zip(settings, collected.outputs, strict=True):
        wrong = np.count_nonzero(~np.isfinite(row).reshape(len(row), -1).all(1))
        if wrong:
            raise DataError(
                f"Outputs must be finite numbers. Received: infinite or not-a-number outputs for {wrong} of {len(row)} "
                f"pictures at {setting}."
            )
