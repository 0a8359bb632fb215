"""Answers of several exits made one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tfres.deploy.runtime.confidence import log_softmax, margin

if TYPE_CHECKING:
    from collections.abc import Callable

    Outputs = dict[str, np.ndarray]
    Refinement = Callable[[Outputs, Outputs | None], Outputs]  # of an exit's outputs and what was answered before

REFINEMENTS = ("last", "confident", "mean")


def refinement(name: str) -> Refinement:
    """A new one of `REFINEMENTS`; see `AdaptiveModel.iterate`."""
    return {"last": _last, "confident": _confident, "mean": _Mean()}[name]


def _last(outputs: Outputs, before: Outputs | None) -> Outputs:
    return outputs


def _confident(outputs: Outputs, before: Outputs | None) -> Outputs:
    """Per picture the answer with the larger margin between its two best classes; the new one where both are equal."""
    if before is None:
        return outputs
    keeps = _margin(before["logits"]) > _margin(outputs["logits"])
    return {name: np.where(_like(keeps, new), before[name], new) for name, new in outputs.items()}


class _Mean:
    """The classes by the geometric mean of all probabilities so far; `logits` are its logarithms."""

    def __init__(self) -> None:
        self._sum, self._count = 0.0, 0

    def __call__(self, outputs: Outputs, before: Outputs | None) -> Outputs:
        self._sum, self._count = self._sum + log_softmax(outputs["logits"]), self._count + 1
        logits = log_softmax(self._sum / self._count)
        return {**outputs, "logits": logits, "probabilities": np.exp(logits), "class": np.argmax(logits, -1)}


def _margin(logits: np.ndarray) -> np.ndarray:
    """The margin, below all others where a logit is no number."""
    return np.where(np.isfinite(logits).all(-1), margin(logits), -np.inf)


def _like(mask: np.ndarray, array: np.ndarray) -> np.ndarray:
    return mask.reshape([-1] + [1] * (array.ndim - 1))
