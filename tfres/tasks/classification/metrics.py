"""Top-1 and top-5 accuracy."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from tfres.errors import DataError
from tfres.tasks.classification.losses import precise


class NonFiniteOutputs(DataError, ArithmeticError):
    """A network's outputs are infinite or not numbers, so that no accuracy can be told."""


def correct(outputs: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    """Whether a picture's class is the best, bool `(batch,)`, as `Accuracy` counts it: outputs that are not finite are wrong.

    Args:
        outputs: logits `(batch, classes)`.
        targets: int `(batch,)`, or float `(batch, classes)`, of which the largest counts.
    """
    hits, finite = _hits(outputs, targets, 1)
    return hits[:, 0] & finite


def _hits(outputs: tf.Tensor, targets: tf.Tensor, best: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Which of the best classes is the target, bool `(batch, best)`, and whether all logits are finite, bool `(batch,)`."""
    outputs, targets = precise(outputs), tf.convert_to_tensor(targets)
    if targets.dtype.is_floating:
        targets = tf.math.top_k(targets, 1).indices[:, 0]
    ranked = tf.math.top_k(outputs, min(best, outputs.shape[-1])).indices
    return ranked == tf.cast(targets, ranked.dtype)[:, None], tf.reduce_all(tf.math.is_finite(outputs), axis=-1)


class Accuracy:
    """Share of pictures whose class is the best (`top1`), and among the five best (`top5`).

    The best are those of `tf.math.top_k`: equal logits count in the order of their index, so that a network that answers
    nothing gets what guessing one class gets. See `tfres.tasks.Metrics`.
    """

    def __init__(self) -> None:
        self._totals = np.zeros(4, np.int64)  # hits at 1, hits at 5, pictures, pictures without finite logits

    def measure(self, outputs: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        """Numbers of one batch, int64 `(4,)`; a tensor function.

        Args:
            outputs: logits `(batch, classes)`.
            targets: int `(batch,)`, or float `(batch, classes)`, of which the largest counts.
        """
        hits, finite = _hits(outputs, targets, 5)
        numbers = (hits[:, 0] & finite, tf.reduce_any(hits, axis=-1) & finite, tf.ones_like(finite), ~finite)
        return tf.stack([tf.math.count_nonzero(values) for values in numbers])

    def add(self, measured: np.ndarray | tf.Tensor) -> None:
        """Adds what `measure` gave."""
        self._totals += np.asarray(measured, np.int64)

    def update(self, outputs: tf.Tensor, targets: tf.Tensor) -> None:
        """Adds one batch, see `measure`."""
        self.add(self.measure(outputs, targets))

    def result(self) -> dict[str, float]:
        """`{"top1": share, "top5": share}` of all pictures so far.

        Raises:
            DataError: no pictures. NonFiniteOutputs: logits that are infinite or not numbers.
        """
        top1, top5, seen, wrong = self._totals.tolist()
        if not seen:
            raise DataError("Accuracy needs at least one picture. Received: none.")
        if wrong:
            raise NonFiniteOutputs(
                f"Logits must be finite numbers. Received: infinite or not-a-number logits for {wrong} of {seen} pictures."
            )
        return {"top1": top1 / seen, "top5": top5 / seen}
