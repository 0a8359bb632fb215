"""Exports of networks with exits: by a policy, or answer by answer until the caller stops."""

from __future__ import annotations

import functools
import math
import os
import time
from typing import TYPE_CHECKING

import numpy as np

from tfres.deploy.runtime.answer import Answer
from tfres.deploy.runtime.exit_times import batch_time, policy_time
from tfres.deploy.runtime.leaving import leave_by_stages, stage
from tfres.deploy.runtime.refining import REFINEMENTS, refinement
from tfres.policies import Policy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from tfres.deploy.runtime.estimates import Estimates, View
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
        self._call, self._ready = export.backend.call, export.backend.ready
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

    def ready(self, shape: Sequence[int]) -> bool:
        """Whether a policy's next call for pictures of this shape need not make things ready first."""
        return self._ready(f"serve_stage{self.exits[0]}" if self._by_stages else _ADAPTIVE, shape)

    def costs(self, macs: Mapping[str, float], batch: int) -> dict[str, float]:
        """What policies' times are made of: calls of one picture, and of the batch, that leaves at one exit.

        Args:
            macs: setting -> multiply-adds per picture; an exit without is taken for the costliest setting.
            batch: pictures.

        Returns:
            name -> multiply-adds of the call.
        """
        each = [macs.get(f"exit{number}", max(macs.values())) for number in self.exits]
        one, several = self._names(batch)
        return {**dict(zip(one, each, strict=True)), **{name: batch * cost for name, cost in zip(several, each, strict=True)}}

    def calls(self, images: np.ndarray) -> dict[str, Callable[[], float]]:
        """The same names -> function that makes such a call and returns its milliseconds.

        The pictures leave at the exit as far as their scores are numbers.
        """
        temperatures, found = (1.0,) * len(self.exits), {}

        def call(some: np.ndarray, thresholds: tuple[float, ...]) -> float:
            start = time.perf_counter()
            self._adaptive(some, thresholds, temperatures, self._default.score)
            return 1000 * (time.perf_counter() - start)

        for names, some in zip(self._names(len(images)), (images[:1], images), strict=True):
            for place, name in enumerate(names):
                thresholds = tuple(-math.inf if at == place else _NEVER for at in range(len(self.exits) - 1))
                found[name] = functools.partial(call, some, thresholds)
        return found

    def time(self, policy: Policy, known: Estimates, batch: int) -> float:
        """Milliseconds that 95 % of a policy's calls do not exceed; without known shares, as if none left early."""
        shares = policy.shares or [float(number == self.exits[-1]) for number in self.exits]
        one, several = ([known.samples(name) for name in names] for names in self._names(batch))
        return policy_time(shares, one, several, batch)

    def is_measured(self, view: View, batch: int) -> bool:
        """Whether all that policies' times are made of was called."""
        return all({*names} <= view.measured for names in self._names(batch))

    def learn(self, known: Estimates, left: np.ndarray, ms: float) -> None:
        """Add a call of a policy.

        Where all pictures left at one exit it is such a call; else it counts for each exit in proportion to what is known.

        Args:
            known: of the shape.
            left: number of the exit of each picture.
            ms: that it took.
        """
        one, several = self._names(len(left))
        places = sorted({self.exits.index(number) for number in left.tolist()})
        typical, part = known.view().typical, {places[-1]: ms}
        if len(places) > 1 and math.isfinite(typical[several[0]]):
            reached = [int(np.sum(left >= number)) for number in self.exits]
            expected = batch_time(reached, [typical[name] for name in one], [typical[name] for name in several])
            part = {place: typical[several[place]] * ms / expected for place in places}
        for place, value in part.items():
            known.add(several[place], value)

    def _names(self, batch: int) -> tuple[list[str], list[str]]:
        several = [f"all at exit{number}" for number in self.exits]
        return (several if batch == 1 else [f"one at exit{number}" for number in self.exits]), several

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
