"""Temperature scaling (Guo et al. 2017): one number per exit that makes its probabilities honest."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

# Least and largest temperature that is tried.
LOWEST, HIGHEST = 0.05, 20.0
_CHUNK = 2**20  # numbers that are worked on at once
_STEPS = 60


def temperatures(logits: Iterable[Any], labels: Any) -> tuple[float, ...]:
    """`temperature` of every exit.

    Args:
        logits: `(pictures, classes)` for each exit.
        labels: `(pictures,)`.

    Raises:
        ValueError: see `temperature`.
    """
    return tuple(temperature(of_exit, labels) for of_exit in logits)


def temperature(logits: Any, labels: Any, lowest: float = LOWEST, highest: float = HIGHEST) -> float:
    """The temperature T with the least mean negative log-likelihood of `softmax(logits / T)`.

    In 1/T the likelihood has one optimum: its slope, the mean over pictures of `sum_c p_c z_c - z_label`, never falls. The
    zero of the slope is found by Newton's steps inside a bracket.

    Args:
        logits: `(pictures, classes)`, of any floating point; computed in float64, a few rows at a time.
        labels: `(pictures,)`, whole numbers from 0.
        lowest, highest: bounds; returned where the optimum lies beyond (all pictures right, or worse than guessing). Where all
            temperatures are equally good the result is 1, or the bound next to it.

    Raises:
        ValueError: no picture, other shapes, logits that are not finite, labels that are no classes, bounds that are none.
    """
    logits, labels = np.asarray(logits), np.asarray(labels)
    if logits.ndim != 2 or not logits.size or logits.dtype.kind not in "fiu":
        raise ValueError(
            "`logits` must be an array of numbers (pictures, classes) with at least one of each. "
            f"Received: {logits.dtype} of shape {logits.shape}."
        )
    pictures, classes = logits.shape
    if labels.shape != (pictures,) or labels.dtype.kind not in "iu" or labels.min() < 0 or labels.max() >= classes:
        raise ValueError(
            f"`labels` must be {pictures} whole numbers from 0 to {classes - 1}, one per picture. "
            f"Received: {labels.dtype} of shape {labels.shape}{f' up to {labels.max()}' if labels.size else ''}."
        )
    if not 0 < lowest < highest < np.inf:
        raise ValueError(f"`lowest` must be positive and below `highest`. Received: lowest={lowest}, highest={highest}.")
    strange = sum(int((~np.isfinite(rows)).any(1).sum()) for rows, _ in _chunks(logits, labels))
    if strange:
        raise ValueError(f"`logits` must be finite. Received: NaN or infinity for {strange} of {pictures} pictures.")
    low, high = 1 / highest, 1 / lowest
    slopes = [_slope(logits, labels, inverse)[0] for inverse in (low, high)]
    inverse = min(max(1.0, low), high)
    if slopes[0] == slopes[1] == 0:  # all temperatures are equally good
        return 1 / inverse
    if slopes[0] >= 0:
        return float(highest)
    if slopes[1] <= 0:
        return float(lowest)
    for _ in range(_STEPS):
        slope, curvature = _slope(logits, labels, inverse)
        low, high = (inverse, high) if slope < 0 else (low, inverse)
        step = inverse - slope / curvature if curvature > 0 else 0.0
        following = step if low < step < high else (low * high) ** 0.5
        if abs(following - inverse) <= 1e-9 * inverse:
            break
        inverse = following
    return 1 / inverse


def negative_log_likelihood(logits: Any, labels: Any, temperature: float = 1.0) -> float:
    """Mean negative log-likelihood of `softmax(logits / temperature)` in nats.

    Args:
        logits: `(pictures, classes)`.
        labels: `(pictures,)`.
        temperature: positive.
    """
    logits, labels = np.asarray(logits), np.asarray(labels)
    total = 0.0
    for rows, right in _chunks(logits, labels):
        rows = _from_largest(rows) / temperature
        total += (np.log(np.exp(rows).sum(1)) - rows[np.arange(len(rows)), right]).sum()
    return float(total / len(logits))


def _slope(logits: np.ndarray, labels: np.ndarray, inverse: float) -> tuple[float, float]:
    """First and second derivative of the mean negative log-likelihood with respect to 1/T."""
    slope = curvature = 0.0
    for rows, right in _chunks(logits, labels):
        rows = _from_largest(rows)
        weights = np.exp(inverse * rows)
        weights /= weights.sum(1, keepdims=True)
        means = np.einsum("nc,nc->n", weights, rows)
        slope += (means - rows[np.arange(len(rows)), right]).sum()
        curvature += (np.einsum("nc,nc,nc->n", weights, rows, rows) - means**2).sum()
    return slope / len(logits), curvature / len(logits)


def _from_largest(rows: np.ndarray) -> np.ndarray:
    """Logits as distances from the largest of their picture, in float64."""
    rows = rows.astype(np.float64)
    return rows - rows.max(1, keepdims=True)


def _chunks(logits: np.ndarray, labels: np.ndarray) -> Iterable[tuple[np.ndarray, np.ndarray]]:
    rows = max(1, _CHUNK // logits.shape[1])
    for start in range(0, len(logits), rows):
        yield logits[start : start + rows], labels[start : start + rows]
