"""Skeletons on pictures, and people as files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

import cv2
import numpy as np
import tensorflow as tf

from tfres.tasks.pose import heatmaps, oks
from tfres.tasks.pose.frames import MARGIN
from tfres.tasks.pose.metrics import KeypointPrecision
from tfres.tasks.pose.skeleton import KEYPOINTS, LIMBS, SIGMAS

if TYPE_CHECKING:
    from tfres.tasks.pose.source import Source
    from tfres.tasks.pose.task import Pose

LEFT, RIGHT, MIDDLE = (255, 160, 0), (0, 160, 255), (80, 220, 80)


def skeletons(picture: np.ndarray, people: np.ndarray, least: float = 0.2) -> np.ndarray:
    """A picture with the joints and limbs of people: left orange, right blue, others green.

    Args:
        picture: uint8 RGB `(height, width, 3)`.
        people: `(n, 17, 3)`: x and y in pixels, and the score.
        least: score of joints that are drawn.

    Returns:
        a new uint8 RGB picture.
    """
    drawn = np.ascontiguousarray(picture).copy()
    thick = max(1, round(max(drawn.shape[:2]) / 200))
    for person in np.asarray(people, float).reshape(-1, len(KEYPOINTS), 3):
        places, shown = _places(person), np.isfinite(person).all(1) & (person[:, 2] >= least)
        for a, b in LIMBS:
            if shown[a] and shown[b]:
                cv2.line(drawn, places[a], places[b], _colour(a, b), thick, cv2.LINE_AA)
        for joint in np.flatnonzero(shown):
            cv2.circle(drawn, places[joint], thick + 1, _colour(joint), -1, cv2.LINE_AA)
    return drawn


class Skeletons:
    """How answers are drawn and written, see `tfres.tasks.Drawing`; an answer is a person's.

    Args:
        task: whose answers.
        source: whose validation people.
    """

    ending = ".json"

    def __init__(self, task: Pose, source: Source) -> None:
        self.names = source.validation.names
        self._task = task

    def judge(self, outputs: tf.Tensor, targets: Mapping[str, tf.Tensor]) -> float:
        """Similarity to the annotated joints, see `similarity`; 1 where there are none."""
        truth, (height, width) = np.asarray(targets["joints"][0]), self._task.data.crop_sides
        return similarity(self._person(outputs, height, width)[:, :2], truth, (height, width)) if truth[:, 2].any() else 1.0

    def draw(self, images: np.ndarray, outputs: tf.Tensor, targets: Mapping[str, tf.Tensor]) -> np.ndarray:
        """The cut with the joints that were found, beside it with the annotated ones."""
        image, truth = images[0], np.asarray(targets["joints"])
        found = skeletons(image, self._person(outputs, *image.shape[:2])[None], -np.inf)
        return np.concatenate([found, skeletons(image, truth, 0.5)], 1)

    def encode(self, outputs: tf.Tensor, targets: Mapping[str, tf.Tensor]) -> bytes:
        """The person in COCO's layout of results, before people of a picture are compared."""
        (row,) = np.asarray(KeypointPrecision({}).measure(outputs, targets))
        picture, _, box = row[:3]
        found = row[3:].reshape(-1, 3)
        score = float(oks.rescored(found[None, :, 2], np.array([box]), self._task.data.visible)[0])
        answer = {"image_id": int(picture), "category_id": 1, "keypoints": row[3:].tolist(), "score": score}
        return json.dumps(answer).encode()

    def _person(self, outputs: tf.Tensor, height: int, width: int) -> np.ndarray:
        """Joints `(17, 3)` in a cut of these sides."""
        places, values = (value.numpy() for value in heatmaps.decoded(outputs))
        factors = np.array([width, height]) / np.array(outputs.shape[2:0:-1])
        return np.concatenate([places[0] * factors, values[0, :, None]], 1)


def similarity(places: np.ndarray, truth: np.ndarray, sides: tuple[int, int]) -> float:
    """Similarity of joints to the annotated ones, in a cut of which the person fills 1/1.25^2.

    Args:
        places: `(17, 2)`.
        truth: `(17, 3)`; joints whose third value is 0 do not count.
        sides: height and width of the cut.
    """
    area = sides[0] * sides[1] / MARGIN**2
    squared = np.sum(np.square(places - truth[:, :2]), 1) / (2 * np.square(2 * np.array(SIGMAS)) * area)
    return float(np.exp(-squared)[truth[:, 2] > 0].mean())


def _places(person: np.ndarray) -> list[tuple[int, int]]:
    return [tuple(place) for place in np.round(np.nan_to_num(person[:, :2])).clip(-1e6, 1e6).astype(int).tolist()]


def _colour(*joints: int) -> tuple[int, int, int]:
    """Of a joint, or of a limb between two."""
    sides = {KEYPOINTS[joint].partition("_")[0] for joint in joints} - {"nose"}
    return {frozenset({"left"}): LEFT, frozenset({"right"}): RIGHT}.get(frozenset(sides), MIDDLE)
