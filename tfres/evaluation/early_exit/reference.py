"""The published rule: a geometric prior of exit shares, thresholds by its quotas (Huang et al. 2018, Yang et al. 2020)."""

from __future__ import annotations

from typing import Any

import numpy as np

from tfres.evaluation.early_exit.outcomes import check_scores

# The family: q below 1 favours early exits, 1 is uniform, above 1 favours late ones.
STEPS = tuple(step / 20 for step in range(1, 40))
# Thresholds of an exit where nobody leaves and of the last, where all do.
NEVER, ALWAYS = 1e8, -1e8


def prior_shares(q: float, exits: int) -> np.ndarray:
    """The shares that the rule aims at: `q^k / sum_i q^i` for k = 1...exits, in float32.

    Args:
        q: positive and finite.
        exits: how many there are.

    Raises:
        ValueError: q is not positive and finite, or there is no exit.
    """
    if not (np.isfinite(q) and q > 0):
        raise ValueError(f"`q` must be positive and finite. Received: q={q}.")
    if exits < 1:
        raise ValueError(f"`exits` must be at least 1. Received: exits={exits}.")
    powers = np.exp(np.log(np.float32(q)) * np.arange(1, exits + 1, dtype=np.float32))
    return powers / powers.sum()


def reference_thresholds(scores: Any, q: float) -> np.ndarray:
    """Thresholds of the published rule on these pictures, in the precision of the scores.

    Exits in order: of the n_k = floor(n * share) pictures with the highest scores among those that did not leave yet, the
    lowest score. All pictures with at least that score leave, ties among them. `NEVER` where n_k is 0 or fewer are left.

    Args:
        scores: `(exits, pictures)`; the publication's are the largest probabilities in float32.
        q: see `prior_shares`.

    Returns:
        `(exits,)`; the last is `ALWAYS`. `policy_thresholds` makes those of a policy of it.

    Raises:
        ValueError: see `check_scores` and `prior_shares`.
    """
    scores = check_scores(scores)
    return _thresholds(scores, _orders(scores), q)


def reference_family(scores: Any, steps: tuple[float, ...] = STEPS) -> dict[float, np.ndarray]:
    """`reference_thresholds` by q, for many of them.

    Raises:
        ValueError: see `reference_thresholds`.
    """
    scores = check_scores(scores)
    orders = _orders(scores)
    return {q: _thresholds(scores, orders, q) for q in steps}


def policy_thresholds(thresholds: np.ndarray) -> tuple[float | None, ...]:
    """The thresholds as a policy has them: one for every exit but the last, None for `NEVER`."""
    never = thresholds.dtype.type(NEVER)
    return tuple(None if value == never else float(value) for value in thresholds[:-1])


def _orders(scores: np.ndarray) -> np.ndarray:
    """Pictures by falling score, for every exit but the last."""
    return np.argsort(-scores[:-1], axis=1, kind="stable")


def _thresholds(scores: np.ndarray, orders: np.ndarray, q: float) -> np.ndarray:
    exits, pictures = scores.shape
    quotas = np.floor(np.float32(pictures) * prior_shares(q, exits)).astype(int)
    found = np.full(exits, NEVER, scores.dtype)
    found[-1] = ALWAYS
    left = np.ones(pictures, bool)
    for index, order in enumerate(orders):
        remaining = order[left[order]]
        if 0 < quotas[index] <= len(remaining):
            found[index] = scores[index, remaining[quotas[index] - 1]]
            left &= scores[index] < found[index]
    return found
