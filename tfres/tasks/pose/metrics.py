"""COCO's keypoint metrics: people of a picture that are too alike are dropped, pycocotools does the rest."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfres.errors import DataError
from tfres.tasks.pose import frames, heatmaps, oks
from tfres.tasks.pose.skeleton import COUNT, SIGMAS

FIGURES = ("ap", "ap50", "ap75", "ap_medium", "ap_large", "ar", "ar50", "ar75", "ar_medium", "ar_large")
_FACTS = 3  # numbers of a person before the keypoints: picture, area, score of the box


class NonFiniteHeatmaps(DataError, ArithmeticError):
    """A network's heatmaps are infinite or not numbers, so that no keypoints can be told."""


class KeypointPrecision:
    """COCO's average precision (`ap`) and its companions; see `tfres.tasks.Metrics`.

    Args:
        truth: pictures and annotations in COCO's layout.
        visible: joints with a larger value count for a person's score.
        threshold, soft: see `oks.kept`.
    """

    def __init__(
        self,
        truth: Mapping[str, Any],
        visible: float = 0.2,
        threshold: float = 0.9,
        soft: bool = False,
    ) -> None:
        self._truth = truth
        self._visible, self._threshold, self._soft = visible, threshold, soft
        self._people: list[np.ndarray] = []

    def measure(self, outputs: tf.Tensor, targets: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """The people of a batch, float64 `(batch, 3 + 3 * joints)`: picture, area, box's score; x, y, value per joint.

        Args:
            outputs: heatmaps `(batch, height, width, joints)`.
            targets: `frame` float32 `(batch, 4)` (centre, extent), `score` float32 `(batch,)`, `picture` int64 `(batch,)`.
        """
        maps, frame = tf.cast(outputs, tf.float32), tf.cast(targets["frame"], tf.float64)
        places, values = heatmaps.decoded(maps)
        places = frames.from_cut(tf.cast(places, tf.float64), tf.shape(maps)[1:3], frame[:, :2], frame[:, 2:])
        finite = tf.reduce_all(tf.math.is_finite(maps), [1, 2, 3])[:, None]
        joints = tf.concat([places, tf.cast(values[..., None], tf.float64)], -1)
        joints = tf.where(finite, tf.reshape(joints, [-1, 3 * COUNT]), np.nan)
        facts = (targets["picture"], frame[:, 2] * frame[:, 3], targets["score"])
        return tf.concat([tf.stack([tf.cast(fact, tf.float64) for fact in facts], -1), joints], -1)

    def add(self, measured: np.ndarray | tf.Tensor) -> None:
        """Adds what `measure` gave."""
        self._people.append(np.asarray(measured))

    def update(self, outputs: tf.Tensor, targets: Mapping[str, tf.Tensor]) -> None:
        """Adds one batch, see `measure`."""
        self.add(self.measure(outputs, targets))

    def people(self) -> list[dict[str, Any]]:
        """All that are found, in COCO's layout of results: `image_id`, `category_id`, `keypoints` (51 numbers), `score`.

        Raises:
            DataError: no person. NonFiniteHeatmaps: outputs that are infinite or not numbers.
        """
        if not any(map(len, self._people)):
            raise DataError("Average precision needs at least one person. Received: none.")
        table = np.concatenate(self._people)
        wrong = int(np.count_nonzero(~np.isfinite(table).all(1)))
        if wrong:
            raise NonFiniteHeatmaps(
                f"Heatmaps must be finite numbers. Received: infinite or not-a-number ones for {wrong} of {len(table)} cuts."
            )
        pictures, areas, boxes = table[:, :_FACTS].T
        joints = table[:, _FACTS:].reshape(-1, COUNT, 3)
        scores, found = oks.rescored(joints[..., 2], boxes, self._visible), []
        for picture in dict.fromkeys(pictures.tolist()):
            here = np.flatnonzero(pictures == picture)
            stay = here[oks.kept(joints[here, :, :2], scores[here], areas[here], self._threshold, self._soft)]
            for i in stay:
                answer = {"keypoints": joints[i].ravel().tolist(), "score": float(scores[i])}
                found.append({"image_id": int(picture), "category_id": 1, **answer})
        return found

    def result(self) -> dict[str, float]:
        """`FIGURES` of all people so far, without those of a size that no annotated person has.

        Raises:
            DataError: see `people`.
        """
        return average_precision(self._truth, self.people())


def average_precision(truth: Mapping[str, Any], results: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """`FIGURES` by pycocotools.

    Args:
        truth: pictures and annotations in COCO's layout.
        results: people, see `KeypointPrecision.people`.

    Raises:
        DataError: the annotations hold no person with keypoints.
    """
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        known = COCO()
        known.dataset = {name: truth[name] for name in ("images", "annotations", "categories")}
        known.createIndex()
        found = known.loadRes([dict(result) for result in results]) if results else COCO()
        judged = COCOeval(known, found, "keypoints")
        judged.params.kpt_oks_sigmas = np.array(SIGMAS)
        judged.params.imgIds = sorted(known.imgs)
        judged.params.catIds = sorted(known.cats)
        judged.evaluate()
        judged.accumulate()
        judged.summarize()
    figures = {name: float(value) for name, value in zip(FIGURES, judged.stats, strict=True)}
    if figures["ap"] < 0:
        raise DataError("Average precision needs annotated people with keypoints. Received: none.")
    return {name: value for name, value in figures.items() if value >= 0}
