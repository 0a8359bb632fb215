"""What thresholds do to pictures whose scores are known: accuracy, mean cost, shares of exits.

Scores are `(exits, pictures)`, hits `(exits, pictures)` of bool, costs one number per exit: what a picture that leaves there
costs in all, so for multiply-adds the sum up to that exit.
"""

from __future__ import annotations

import dataclasses
import fractions
import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What thresholds do to a set of pictures.

    Args:
        accuracy: part of the pictures that are right at their exit, 0 to 1.
        cost: mean over the pictures, in the unit of the costs.
        shares: part of the pictures that leave at each exit.
    """

    accuracy: float
    cost: float
    shares: tuple[float, ...]


def check_scores(scores: Any) -> np.ndarray:
    """The scores as an array of floating point.

    Args:
        scores: `(exits, pictures)`.

    Raises:
        ValueError: no exit or no picture, no numbers, or not finite; names the exit and how many pictures.
    """
    scores = np.asarray(scores)
    if scores.ndim != 2 or scores.dtype.kind not in "fiu":
        raise ValueError(
            f"`scores` must be an array of numbers (exits, pictures). Received: {scores.dtype} of shape {scores.shape}."
        )
    if not scores.size:
        raise ValueError(f"`scores` must have at least one exit and one picture. Received: shape {scores.shape}.")
    if scores.dtype not in (np.float32, np.float64):
        scores = scores.astype(np.float32 if scores.dtype.kind == "f" and scores.itemsize < 4 else np.float64)
    strange = np.count_nonzero(~np.isfinite(scores), axis=1)
    if strange.any():
        first = int(np.argmax(strange > 0))
        raise ValueError(
            f"`scores` must be finite. Received: NaN or infinity for {strange[first]} of {scores.shape[1]} pictures at the "
            f"{_ordinal(first + 1)} of {len(scores)} exits."
        )
    return scores


def check_outcomes(scores: Any, hits: Any, costs: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores, hits and costs that belong together, as arrays.

    Raises:
        ValueError: see `check_scores`; hits of another shape or not bool; costs not one finite number, 0 or more, per exit.
    """
    scores, hits = check_scores(scores), np.asarray(hits)
    if hits.shape != scores.shape or hits.dtype != bool:
        raise ValueError(
            f"`hits` must be an array of bool like `scores`, {scores.shape}. Received: {hits.dtype} of shape {hits.shape}."
        )
    values = np.asarray(costs)
    good = values.shape == (len(scores),) and values.dtype.kind in "fiu" and np.isfinite(values).all() and (values >= 0).all()
    if not good:
        raise ValueError(f"`costs` must be {len(scores)} finite numbers, not negative, one per exit. Received: costs={costs}.")
    return scores, hits, values.astype(np.float64)


def taken(scores: Any, thresholds: Sequence[float | None]) -> np.ndarray:
    """Index of the exit at which each picture leaves: the first whose score is at least its threshold, else the last.

    Args:
        scores: `(exits, pictures)`. Thresholds are compared in their precision, as served graphs do.
        thresholds: one for every exit but the last; None where nobody leaves.

    Returns:
        `(pictures,)`, indices from 0.

    Raises:
        ValueError: see `check_scores`; another number of thresholds, or a threshold that is NaN.
    """
    scores = check_scores(scores)
    found = np.full(scores.shape[1], len(scores) - 1)
    for index, threshold in reversed(list(enumerate(_checked_thresholds(thresholds, len(scores))))):
        if threshold is not None:
            found[scores[index] >= _as_type(threshold, scores.dtype)] = index
    return found


def outcome(scores: Any, hits: Any, costs: Any, thresholds: Sequence[float | None]) -> Outcome:
    """What thresholds do to these pictures.

    Args:
        scores: `(exits, pictures)`.
        hits: `(exits, pictures)`, whether the answer of an exit is right.
        costs: one per exit; they need not ascend.
        thresholds: see `taken`.

    Raises:
        ValueError: see `check_outcomes` and `taken`.
    """
    scores, hits, costs = check_outcomes(scores, hits, costs)
    exits, pictures = scores.shape
    at = taken(scores, thresholds)
    counts = np.bincount(at, minlength=exits)
    right = int(hits[at, np.arange(pictures)].sum())
    return Outcome(right / pictures, mean_cost(counts, costs), tuple((counts / pictures).tolist()))


def mean_cost(counts: Sequence[int], costs: Sequence[float]) -> float:
    """The mean of the costs, each so many times, rounded once: a budget that is met exactly is not exceeded by rounding."""
    counts = [int(count) for count in counts]
    total = sum(count * fractions.Fraction(float(cost)) for count, cost in zip(counts, costs, strict=True) if count)
    return float(total / sum(counts))


def intervals(
    scores: Any,
    hits: Any,
    costs: Any,
    thresholds: Sequence[float | None],
    level: float = 0.95,
    repeats: int = 2000,
    seed: int = 0,
) -> dict[str, tuple[float, float]]:
    """Percentile intervals of the bootstrap over pictures; thresholds stay as they are.

    A picture counts by its exit and whether it is right, so that drawing pictures is drawing from as many kinds as there are
    exits, twice: little memory for any number of pictures.

    Args:
        scores, hits, costs, thresholds: see `outcome`.
        level: part of the bootstrap's values inside, between 0 and 1.
        repeats: sets of pictures that are drawn.
        seed: equal seeds give equal intervals.

    Returns:
        {"accuracy": (low, high), "cost": (low, high)}.

    Raises:
        ValueError: see `outcome`; a level or number that makes no interval.
    """
    scores, hits, costs = check_outcomes(scores, hits, costs)
    if not 0 < level < 1:
        raise ValueError(f"`level` must be between 0 and 1. Received: level={level}.")
    if repeats < 1:
        raise ValueError(f"`repeats` must be at least 1. Received: repeats={repeats}.")
    exits, pictures = scores.shape
    at = taken(scores, thresholds)
    kinds = np.bincount(2 * at + hits[at, np.arange(pictures)], minlength=2 * exits)
    drawn = np.random.default_rng(seed).multinomial(pictures, kinds / pictures, size=repeats).reshape(repeats, exits, 2)
    values = {"accuracy": drawn[:, :, 1].sum(1) / pictures, "cost": drawn.sum(2) @ costs / pictures}
    ends = ((1 - level) / 2, (1 + level) / 2)
    return {name: tuple(np.quantile(value, ends).tolist()) for name, value in values.items()}


def _checked_thresholds(thresholds: Sequence[float | None], exits: int) -> list[float | None]:
    values = list(thresholds)
    if len(values) != exits - 1:
        raise ValueError(
            f"`thresholds` must be {exits - 1}, one for every exit but the last of {exits}. Received: {len(values)} of them."
        )
    if any(value is not None and math.isnan(value) for value in values):
        raise ValueError(f"`thresholds` must not be NaN; None is for never. Received: thresholds={values}.")
    return values


def _as_type(value: float, dtype: np.dtype) -> np.floating:
    with np.errstate(over="ignore"):
        return dtype.type(value)


def _ordinal(number: int) -> str:
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10 if number % 100 not in (11, 12, 13) else 0, "th")
    return f"{number}{ending}"
