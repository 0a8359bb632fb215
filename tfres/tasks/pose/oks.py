"""Object keypoint similarity, and what is made of a picture's people by it."""

from __future__ import annotations

import numpy as np

from tfres.tasks.pose.skeleton import SIGMAS

SOFT_MOST = 20  # people that the soft rule keeps per picture


def similarity(one: np.ndarray, others: np.ndarray, area: float, areas: np.ndarray) -> np.ndarray:
    """Similarity of a person to others: the mean over joints of exp(-d^2 / (2 (2 sigma)^2 a)), `(n,)`.

    Args:
        one: `(joints, 2)` places in the picture.
        others: `(n, joints, 2)`.
        area, areas: of the person and of the others, `(n,)`; a is the mean of two.
    """
    squared = np.sum(np.square(others - one), -1)
    mean = (area + areas)[:, None] / 2 + np.spacing(1)
    return np.exp(-squared / np.square(2 * np.array(SIGMAS)) / mean / 2).mean(-1)


def kept(keypoints: np.ndarray, scores: np.ndarray, areas: np.ndarray, threshold: float, soft: bool = False) -> list[int]:
    """Which people of a picture stay, the best first: each removes those that are more similar to it than the threshold.

    Args:
        keypoints: `(n, joints, 2)`.
        scores, areas: `(n,)`.
        threshold: see above.
        soft: lower the scores of the others by exp(-similarity^2 / threshold) instead; at most 20 people stay.

    Returns:
        indices.
    """
    scores = np.array(scores, np.float64)
    order, found = np.argsort(scores)[::-1], []
    if soft:
        scores = scores[order]
    while len(order) and not (soft and len(found) == SOFT_MOST):
        best, rest = order[0], order[1:]
        found.append(int(best))
        alike = similarity(keypoints[best], keypoints[rest], areas[best], areas[rest])
        if not soft:
            order = rest[alike <= threshold]
            continue
        scores = scores[1:] * np.exp(-np.square(alike) / threshold)
        again = np.argsort(scores)[::-1]
        order, scores = rest[again], scores[again]
    return found


def rescored(values: np.ndarray, boxes: np.ndarray, visible: float) -> np.ndarray:
    """Scores of people: the mean of a person's joint scores above `visible` (0 if none) times the box's score.

    Args:
        values: `(n, joints)`.
        boxes: `(n,)`.
        visible: see above.
    """
    counted = values > visible
    means = np.sum(values * counted, 1) / np.maximum(np.sum(counted, 1), 1)
    return means * boxes
