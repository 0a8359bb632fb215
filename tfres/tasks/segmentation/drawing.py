"""Answers as pictures: colours of the classes over the picture, and label pictures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

from tfres.tasks.segmentation.labels import IGNORED

if TYPE_CHECKING:
    from tfres.tasks.segmentation.source import Source
    from tfres.tasks.segmentation.task import Segmentation

_SHARE = 0.6  # of the class's colour
_GAP = 4  # pixels between pictures side by side


class Overlays:
    """See `tfres.tasks.Drawing`.

    Args:
        task: makes the answers.
        source: knows colours, values and names.
    """

    ending = ".png"

    def __init__(self, task: Segmentation, source: Source) -> None:
        self._task, self._source = task, source
        others = np.zeros((256 - len(source.palette), 3), np.uint8)  # black: what is ignored, or has no name
        self._palette = np.concatenate([source.palette, others])
        self._stored = np.concatenate([source.stored, np.full(256 - len(source.stored), IGNORED, np.uint8)])
        self.names = source.validation.names

    def judge(self, outputs: tf.Tensor, targets: Mapping[str, tf.Tensor]) -> float:
        """Mean intersection over union of the classes that occur in the picture or the answer; 1 where none counts."""
        metrics = self._task.metrics()
        metrics.update(outputs, targets)
        return metrics.result()["miou_present"] if metrics.confusion.sum() else 1.0

    def draw(self, images: np.ndarray, outputs: tf.Tensor, targets: Mapping[str, tf.Tensor]) -> np.ndarray:
        """The picture, its labels and the answer side by side."""
        picture = np.asarray(images[0])
        height, width = picture.shape[:2]
        labels = np.asarray(targets["labels"])[0]
        high, wide = np.asarray(targets["sides"])[0]
        labels = labels[:high, :wide][np.arange(height)[:, None] * high // height, np.arange(width) * wide // width]
        answer = self._task.answer(outputs, tf.constant([height, width]))["class_map"][0].numpy()
        gap = np.full((height, _GAP, 3), 255, np.uint8)
        return np.concatenate([picture, gap, self._over(picture, labels), gap, self._over(picture, answer)], 1)

    def _over(self, picture: np.ndarray, classes: np.ndarray) -> np.ndarray:
        return np.uint8((1 - _SHARE) * picture + _SHARE * self._palette[classes] + 0.5)

    def encode(self, outputs: tf.Tensor, targets: Mapping[str, tf.Tensor]) -> bytes:
        """A label picture at the picture's own size, with the values that the source's label pictures have."""
        answer = self._task.answer(outputs, targets["sides"][0])["class_map"][0].numpy()
        return tf.io.encode_png(self._stored[answer][..., None]).numpy()
