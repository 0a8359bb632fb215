"""Exports of networks with exits: by a policy, or answer by answer until the caller stops."""

from __future__ import annotations

import functools
import math
import os
import time
from typing import TYPE_CHECKING

import numpy as np

from tfres.deploy.runtime.answer import Answer
from tfres.deploy.runtime.exit_times import policy_time
from tfres.deploy.runtime.leaving import leave_by_stages, stage
from tfres.deploy.runtime.refining import REFINEMENTS, refinement
from tfres.policies import Policy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from tfres.deploy.runtime.files import Export
    from tfres.deploy.runtime.refining import Outputs, Refinement

_ADAPTIVE = "serve_adaptive"
_NEVER = 3e38  # where it is infinite the head does not run


class Exits:
    """The signatures of an export with exits.

    Args:
        export: with a default policy, which names the exits and the weights.
    """

    def __init__(self, export: Export) -> None:
        self.exits, self._default = export.policy.exits, export.policy
        self._call = export.backend.call
        self._answer = export.backend.outputs(f"serve_exit{self.exits[-1]}")
        self._by_stages = _ADAPTIVE not in export.backend.signatures

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

    def run(self, policy: Policy, images: np.ndarray) -> Outputs:
        """The task's answer, `exit` and `score`.

        Raises:
            ValueError: the answer does not tell how sure it is.
        """
        thresholds = [float("inf") if value is None else value for value in policy.thresholds]
        return self._adaptive(images, tuple(thresholds), policy.temperatures, policy.score)

    def calls(self, images: np.ndarray) -> dict[tuple[int, int], Callable[[], float]]:
        """For `time`: (pictures, place of an exit) -> function that makes a call and returns its milliseconds.

        All pictures leave at this exit as far as their scores are numbers; it is called with one picture and with all.
        """
        temperatures, found = (1.0,) * len(self.exits), {}

        def call(some: np.ndarray, thresholds: tuple[float, ...]) -> float:
            start = time.perf_counter()
            self._adaptive(some, thresholds, temperatures, self._default.score)
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

    def stages(self, images: np.ndarray, refine: str) -> Iterator[Answer]:
        """An answer per exit; a stage runs when its answer is asked for.

        Raises:
            ValueError: another `refine`, or one that the outputs do not allow.
        """
        if refine not in REFINEMENTS:
            raise ValueError(f"`refine` must be one of {', '.join(REFINEMENTS)}. Received: refine={refine!r}.")
        names = self._answer
        if refine != "last" and not {"logits", "probabilities", "class"} <= {*names}:
            raise ValueError(
                f"`refine` must be last for a network that gives {', '.join(names)}. Received: refine={refine!r}."
            )
        return self._answers({"images": images}, refinement(refine))

    def _answers(self, inputs: Outputs, refined: Refinement) -> Iterator[Answer]:
        taken, before = 0.0, None
        for number in self.exits:
            start = time.perf_counter()
            found, inputs = stage(self._call, number, inputs)
            before = refined(found, before)
            taken += 1000 * (time.perf_counter() - start)
            yield Answer(f"exit{number}", taken, before)

    def _adaptive(
        self, images: np.ndarray, thresholds: tuple[float, ...], temperatures: tuple[float, ...], score: str
    ) -> Outputs:
        if not self._by_stages:
            how = {"thresholds": thresholds, "temperatures": temperatures, "score": score}
            return self._call(_ADAPTIVE, {"images": images, **how})
        if "logits" not in self._answer:
            raise ValueError(
                f"`policy` must be for a network whose answer has logits. Received: one that gives {', '.join(self._answer)}."
            )
        return leave_by_stages(self._call, self.exits, images, thresholds, temperatures, score)
