"""Intersection over union, from a confusion matrix of all pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfres.errors import DataError
from tfres.layers.maps import resized
from tfres.tasks.segmentation.losses import precise


class NonFiniteOutputs(DataError, ArithmeticError):
    """A network's outputs are infinite or not numbers, so that nothing can be told of it."""


class Overlap:
    """Intersection over union of classes (`iou`) and its mean (`miou`); see `tfres.tasks.Metrics`.

    With n[l][p] pixels of class l that are taken for class p, over all pictures and without ignored pixels,

        iou_c = n[c][c] / (sum_p n[c][p] + sum_l n[l][c] - n[c][c]).

    `miou` is the mean over all classes, those that neither occur nor are found (0/0) counted as 0; `miou_present`, which the
    official Cityscapes script prints, is the mean without these; `pixels` is the share of pixels that are right.

    Args:
        classes: names, in the order of the labels.
        outputs: number of classes that a network tells apart, at least as many as names.
        ignore: label that does not count.
    """

    def __init__(self, classes: Sequence[str], outputs: int | None = None, ignore: int = 255) -> None:
        self._names = list(classes)
        self._count = outputs or len(self._names)
        self._ignore = ignore
        self._totals = np.zeros(self._count**2 + 2, np.int64)

    def measure(self, outputs: tf.Tensor, targets: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Numbers of one batch, int64 `(classes^2 + 2,)`: the confusion matrix, pictures, pictures without finite logits.

        Args:
            outputs: logits `(batch, h, w, classes)` of any size; resized to the labels'.
            targets: `labels` int `(batch, height, width)`, `sides` int `(batch, 2)`: height and width of what counts of each.
        """
        outputs = precise(outputs)
        finite = tf.reduce_all(tf.math.is_finite(outputs), axis=[1, 2, 3])
        matrices = tf.map_fn(
            lambda one: self._confusion(*one),
            (outputs, targets["labels"], targets["sides"]),
            fn_output_signature=tf.TensorSpec([self._count**2], tf.int64),
        )
        pictures = [tf.size(finite, tf.int64), tf.math.count_nonzero(~finite)]
        return tf.concat([tf.reduce_sum(matrices, 0), pictures], 0)

    def _confusion(self, logits: tf.Tensor, labels: tf.Tensor, sides: tf.Tensor) -> tf.Tensor:
        height, width = sides[0], sides[1]
        found = tf.argmax(resized(logits[None], height, width)[0], axis=-1, output_type=tf.int32)
        labels = tf.cast(labels[:height, :width], tf.int32)
        kept = tf.boolean_mask(labels * self._count + found, tf.not_equal(labels, self._ignore))
        return tf.math.bincount(kept, minlength=self._count**2, maxlength=self._count**2, dtype=tf.int64)

    def add(self, measured: np.ndarray | tf.Tensor) -> None:
        """Adds what `measure` gave."""
        self._totals += np.asarray(measured, np.int64)

    def update(self, outputs: tf.Tensor, targets: Mapping[str, tf.Tensor]) -> None:
        """Adds one batch, see `measure`."""
        self.add(self.measure(outputs, targets))

    @property
    def confusion(self) -> np.ndarray:
        """Pixels by `[label][answer]`, int64 `(classes, classes)`."""
        return self._totals[:-2].reshape(self._count, self._count)

    def result(self) -> dict[str, Any]:
        """`miou`, `miou_present`, `pixels`, and `iou`: name of a class -> value, None where it is 0/0.

        Raises:
            DataError: no pictures, or none with a pixel that counts. NonFiniteOutputs: logits that are infinite or no numbers.
        """
        seen, wrong = self._totals[-2:].tolist()
        if wrong:
            raise NonFiniteOutputs(
                f"Logits must be finite numbers. Received: infinite or not-a-number logits for {wrong} of {seen} pictures."
            )
        if not self.confusion.sum():
            raise DataError(f"Overlaps need at least one labelled pixel. Received: {seen} pictures without one.")
        hits = np.diag(self.confusion)
        union = self.confusion.sum(1) + self.confusion.sum(0) - hits
        iou = hits / np.maximum(union, 1)
        names = len(self._names)
        shown = zip(self._names, iou[:names].tolist(), union[:names].tolist(), strict=True)
        return {
            "miou": float(iou[:names].mean()),
            "miou_present": float(iou[:names][union[:names] > 0].mean()),
            "pixels": float(hits.sum() / self.confusion.sum()),
            "iou": {name: value if pixels else None for name, value, pixels in shown},
        }
