"""How good scores are, in two senses that should not be taken for each other: honest probabilities, and ranking."""

from __future__ import annotations

from typing import Any

import numpy as np


def calibration_error(probabilities: Any, hits: Any, bins: int = 15) -> float:
    """The expected calibration error (ECE): how far the probability of the answer is from being right so often.

    `sum_b n_b / n * |mean probability in b - part of hits in b|` over bins `((b - 1) / bins, b / bins]`.

    Args:
        probabilities: `(pictures,)`, of the answer, 0 to 1.
        hits: `(pictures,)` of bool, whether the answer is right.
        bins: of equal width.

    Raises:
        ValueError: no picture, other shapes, probabilities outside of 0 to 1 (NaN among them), no bin.
    """
    probabilities, hits = _checked("probabilities", probabilities, hits)
    if probabilities.min() < 0 or probabilities.max() > 1 + 1e-6:  # rounding of a softmax
        raise ValueError(
            "`probabilities` must be from 0 to 1. "
            f"Received: values from {probabilities.min():.4g} to {probabilities.max():.4g}."
        )
    if bins < 1:
        raise ValueError(f"`bins` must be at least 1. Received: bins={bins}.")
    places = np.clip(np.ceil(probabilities * bins).astype(int) - 1, 0, bins - 1)
    gaps = np.bincount(places, probabilities - hits, bins)
    return float(np.abs(gaps).sum() / len(hits))


def auroc(scores: Any, hits: Any) -> float | None:
    """Area under the ROC curve of "the answer is right" by score.

    The probability that a right answer has a higher score than a wrong one, ties counting half:
    `(sum of the ranks of hits - h (h + 1) / 2) / (h * (n - h))`, h of n answers being right, equal scores having their mean
    rank. 0.5 is guessing.

    Args:
        scores: `(pictures,)`.
        hits: `(pictures,)` of bool.

    Returns:
        0 to 1; None where all answers are right, or all wrong.

    Raises:
        ValueError: no picture, other shapes, or NaN.
    """
    scores, hits = _checked("scores", scores, hits)
    right = int(hits.sum())
    wrong = len(hits) - right
    if not right or not wrong:
        return None
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    return float((ranks[hits].sum() - right * (right + 1) / 2) / (right * wrong))


def _checked(name: str, values: Any, hits: Any) -> tuple[np.ndarray, np.ndarray]:
    values, hits = np.asarray(values), np.asarray(hits)
    if values.ndim != 1 or not values.size or values.dtype.kind not in "fiu":
        raise ValueError(
            f"`{name}` must be numbers, one per picture, at least one. Received: {values.dtype} of shape {values.shape}."
        )
    if hits.shape != values.shape or hits.dtype != bool:
        raise ValueError(
            f"`hits` must be an array of bool like `{name}`, {values.shape}. Received: {hits.dtype} of shape {hits.shape}."
        )
    values = values.astype(np.float64)
    if np.isnan(values).any():
        raise ValueError(
            f"`{name}` must not be NaN. Received: NaN for {np.count_nonzero(np.isnan(values))} of {len(values)} pictures."
        )
    return values, hits
