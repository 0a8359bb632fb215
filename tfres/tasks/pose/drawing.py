"""Skeletons on pictures, and the cuts in which a network is most wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import tensorflow as tf

from tfres.tasks.pose import heatmaps
from tfres.tasks.pose.frames import MARGIN
from tfres.tasks.pose.skeleton import KEYPOINTS, LIMBS, SIGMAS

if TYPE_CHECKING:
    from tfres.tasks.pose.task import Pose

LEFT, RIGHT, MIDDLE, TRUTH = (255, 160, 0), (0, 160, 255), (80, 220, 80), (255, 255, 255)
_TILE = 192  # pixels, height of a cut in a sheet


def skeletons(picture: np.ndarray, people: np.ndarray, least: float = 0.2, truth: np.ndarray | None = None) -> np.ndarray:
    """A picture with the joints and limbs of people: left orange, right blue, others green.

    Args:
        picture: uint8 RGB `(height, width, 3)`.
        people: `(n, 17, 3)`: x and y in pixels, and the score.
        least: score of joints that are drawn.
        truth: the same, drawn as white rings where the third value is above 0.

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
    for person in np.asarray([] if truth is None else truth, float).reshape(-1, len(KEYPOINTS), 3):
        places = _places(person)
        for joint in np.flatnonzero(person[:, 2] > 0):
            cv2.circle(drawn, places[joint], thick + 2, TRUTH, 1, cv2.LINE_AA)
    return drawn


def worst_cuts(
    task: Pose, batches: Iterable[Mapping[str, Any]], answers: Callable[[Mapping], tf.Tensor], size: Any, count: int
) -> np.ndarray:
    """A sheet of the cuts whose joints are furthest from the annotated ones, the worst first.

    Args:
        task: of the batches.
        batches: of `evaluation_batches`; people without annotated joints are left out.
        answers: function of the inputs by size giving heatmaps.
        size: that is asked for.
        count: of the cuts.

    Returns:
        uint8 RGB, rows of at most eight cuts; over each its similarity to the annotation. White rings are annotated joints.

    Raises:
        ValueError: no annotated person.
    """
    found: list[tuple[float, np.ndarray]] = []
    for batch in batches:
        inputs, targets = task.prepare(batch, [size], training=False)
        images, joints = np.asarray(batch["images"]), np.asarray(targets["joints"])
        outputs = answers(inputs)[: len(images)]
        places, values = (value.numpy() for value in heatmaps.decoded(outputs))
        places *= np.array(images.shape[2:0:-1]) / np.array(outputs.shape[2:0:-1])
        for image, place, value, truth in zip(images, places, values, joints, strict=True):
            if truth[:, 2].any():
                person = np.concatenate([place, value[:, None]], 1)
                found.append((similarity(place, truth, image.shape[:2]), skeletons(image, person, -np.inf, truth)))
        found = sorted(found, key=lambda pair: pair[0])[:count]
    if not found:
        raise ValueError("`batches` must have people with annotated joints. Received: none.")
    tiles = [_tile(image, score) for score, image in found]
    rows = [tiles[start : start + 8] for start in range(0, len(tiles), 8)]
    blank = np.zeros_like(tiles[0])
    width = len(rows[0])
    return np.concatenate([np.concatenate(row + [blank] * (width - len(row)), 1) for row in rows])


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


def _tile(image: np.ndarray, score: float) -> np.ndarray:
    height, width = image.shape[:2]
    tile = cv2.resize(image, (round(_TILE * width / height), _TILE), interpolation=cv2.INTER_LINEAR)
    tile = cv2.copyMakeBorder(tile, 18, 2, 2, 2, cv2.BORDER_CONSTANT, value=(0, 0, 0))
    return cv2.putText(tile, f"{score:.2f}", (4, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.45, TRUTH, 1, cv2.LINE_AA)


def _places(person: np.ndarray) -> list[tuple[int, int]]:
    return [tuple(place) for place in np.round(np.nan_to_num(person[:, :2])).clip(-1e6, 1e6).astype(int).tolist()]


def _colour(*joints: int) -> tuple[int, int, int]:
    """Of a joint, or of a limb between two."""
    sides = {KEYPOINTS[joint].partition("_")[0] for joint in joints} - {"nose"}
    return {frozenset({"left"}): LEFT, frozenset({"right"}): RIGHT}.get(frozenset(sides), MIDDLE)
