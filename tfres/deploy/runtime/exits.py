"""Exports of networks with exits: by a policy, or answer by answer until the caller stops."""

from __future__ import annotations

import functools
import math
import os
import time
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

from tfres.deploy.runtime.answer import Answer
from tfres.deploy.runtime.exit_times import policy_time
from tfres.policies import Policy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from tfres.deploy.runtime.files import Export

    Outputs = dict[str, np.ndarray]
    Refinement = Callable[[Outputs, Outputs | None], Outputs]  # of an exit's outputs and what was answered before

_NEVER = 3e38  # where it is infinite the head does not run
REFINEMENTS = ("last", "confident", "mean")
_STATE = "state_"


class Exits:
    """The signatures of an export with exits.

    Args:
        export: with a default policy, which names the exits and the weights.
    """

    def __init__(self, export: Export) -> None:
        self.exits, self._default = export.policy.exits, export.policy
        self._signatures = export.loaded.signatures

    def policy(self, given: Policy | Mapping | str | os.PathLike) -> Policy:
        """A policy for this network.

        Args:
            given: the policy, its fields, or the path of its file.

        Raises:
            PolicyError: it is none, or for other exits or weights.
        """
        if isinstance(given, (str, os.PathLike)):
            given = Policy.read(given)
        elif not isinstance(given, Policy):
            given = Policy.from_dict(given, "`policy`")
        given.check_for(self.exits, self._default.network)
        return given

    def run(self, policy: Policy, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """What `serve_adaptive` gives."""
        thresholds = [float("inf") if value is None else value for value in policy.thresholds]
        return self._adaptive(images, tuple(thresholds), policy.temperatures, policy.score)

    def calls(self, images: tf.Tensor) -> dict[tuple[int, int], Callable[[], float]]:
        """For `time`: (pictures, place of an exit) -> function that makes a call and returns its milliseconds.

        All pictures leave at this exit as far as their scores are numbers; it is called with one picture and with all.
        """
        temperatures, found = (1.0,) * len(self.exits), {}

        def call(some: tf.Tensor, thresholds: tuple[float, ...]) -> float:
            start = time.perf_counter()
            for value in self._adaptive(some, thresholds, temperatures, self._default.score).values():
                value.numpy()
            return 1000 * (time.perf_counter() - start)

        for some in (images[:1], images):
            for place in range(len(self.exits)):
                thresholds = tuple(-math.inf if at == place else _NEVER for at in range(len(self.exits) - 1))
                found[some.shape[0], place] = functools.partial(call, some, thresholds)
        return found

    def time(self, policy: Policy, taken: Mapping[tuple[int, int], Sequence[float]], batch: int) -> float:
        """Milliseconds of a policy from those that `calls` took; where its shares are not known, as if none left early."""
        places = range(len(self.exits))
        shares = policy.shares or [float(place == places[-1]) for place in places]
        return policy_time(shares, [taken[1, place] for place in places], [taken[batch, place] for place in places], batch)

    def stages(self, images: tf.Tensor, refine: str) -> Iterator[Answer]:
        """An answer per exit; a stage runs when its answer is asked for.

        Raises:
            ValueError: another `refine`, or one that the outputs do not allow.
        """
        if refine not in REFINEMENTS:
            raise ValueError(f"`refine` must be one of {', '.join(REFINEMENTS)}. Received: refine={refine!r}.")
        names = [*self._signatures[f"serve_stage{self.exits[-1]}"].structured_outputs]
        if refine != "last" and not {"logits", "probabilities", "class"} <= {*names}:
            raise ValueError(
                f"`refine` must be last for a network that gives {', '.join(names)}. Received: refine={refine!r}."
            )
        return self._answers({"images": images}, {"last": _last, "confident": _confident, "mean": _Mean()}[refine])

    def _answers(
        self, inputs: dict[str, tf.Tensor], refined: Callable[[Outputs, Outputs | None], Outputs]
    ) -> Iterator[Answer]:
        taken, before = 0.0, None
        for number in self.exits:
            start = time.perf_counter()
            found = self._signatures[f"serve_stage{number}"](**inputs)
            inputs = {name: found.pop(name) for name in [*found] if name.startswith(_STATE)}
            before = refined({name: value.numpy() for name, value in found.items()}, before)
            taken += 1000 * (time.perf_counter() - start)
            yield Answer(f"exit{number}", taken, before)

    def _adaptive(
        self, images: tf.Tensor, thresholds: tuple[float, ...], temperatures: tuple[float, ...], score: str
    ) -> dict[str, tf.Tensor]:
        how = _tensors(thresholds, temperatures, score)
        return self._signatures["serve_adaptive"](images=images, **how)


@functools.lru_cache(256)
def _tensors(thresholds: tuple[float, ...], temperatures: tuple[float, ...], score: str) -> dict[str, tf.Tensor]:
    return {
        "thresholds": tf.constant(thresholds, tf.float32),
        "temperatures": tf.constant(temperatures, tf.float32),
        "score": tf.constant(score),
    }


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
        self._sum, self._count = self._sum + _log_softmax(outputs["logits"]), self._count + 1
        logits = _log_softmax(self._sum / self._count)
        return {**outputs, "logits": logits, "probabilities": np.exp(logits), "class": np.argmax(logits, -1)}


def _margin(logits: np.ndarray) -> np.ndarray:
    """Difference of the two largest log-probabilities, not a number nowhere."""
    best = np.sort(logits, -1)[..., -2:]
    margin = best[..., -1] - best[..., 0]
    return np.where(np.isfinite(logits).all(-1), margin, -np.inf)


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def _like(mask: np.ndarray, array: np.ndarray) -> np.ndarray:
    return mask.reshape([-1] + [1] * (array.ndim - 1))
