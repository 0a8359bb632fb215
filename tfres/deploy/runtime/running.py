"""Runs the settings of an export, and learns from every call how long they take."""

from __future__ import annotations

import collections
import functools
import itertools
import threading
import time
from typing import TYPE_CHECKING

import numpy as np

from tfres.deploy.runtime import times as timing
from tfres.deploy.runtime.answer import Answer
from tfres.deploy.runtime.estimates import MARGIN, RECENT
from tfres.deploy.runtime.files import PREFIX
from tfres.deploy.runtime.memory import Memory

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Callable, Mapping, Sequence

    from tfres.deploy.runtime.exits import Exits
    from tfres.deploy.runtime.files import Export
    from tfres.deploy.runtime.memory import Shape
    from tfres.policies import Policy

BESIDES, ENOUGH = 31, 9  # calls that tell what is spent beside settings; how many say enough
STEP, MOST = 0.05, 0.5  # shares of a time by which too short ones are lengthened, and at most
AGAIN = 1.0  # seconds before a shape whose budgets are missed is asked again


class Runner:
    """Settings as functions of pictures, and their times. Several threads may use it: no call waits for another.

    Args:
        export: that was opened.
        exits: its exits, or None.
        policies: setting -> the policy that it is a name of.
        macs: setting -> multiply-adds per picture, of those whose times are asked for.
        cache: folder of times.
    """

    def __init__(
        self,
        export: Export,
        exits: Exits | None,
        policies: Mapping[str, Policy],
        macs: Mapping[str, float],
        cache: pathlib.Path,
    ) -> None:
        self._backend, self._exits, self._policies, self._macs = export.backend, exits, policies, macs
        self._plain = [setting for setting in macs if setting not in policies]
        self._by_policy = [setting for setting in macs if setting in policies]
        self._cheapest = min(macs, key=macs.get)
        host = functools.cache(export.backend.host)
        self.memory = Memory(cache, lambda shape: timing.circumstances(export.fingerprint, shape, host()), self._costs)
        self._measuring = threading.Lock()
        self._besides, self._spare = collections.deque(maxlen=BESIDES), 0.0

    def run(self, setting: str, images: np.ndarray, policy: Policy | None = None) -> Answer:
        """Call a setting, or a policy, and learn from it."""
        policy = policy or self._policies.get(setting)
        known, ready = self.memory.of(images.shape[:3]), self._ready(setting, images.shape, policy)
        answer = self._call(setting, images, policy)
        if policy:
            if ready and self._by_policy:
                self._exits.learn(known, answer.outputs["exit"], answer.ms)
        elif setting in known:
            known.add(setting, answer.ms) if ready else known.add_cold(setting, answer.ms)
        self.memory.save_when_due()
        return answer

    def first(self, images: np.ndarray) -> Answer | None:
        """Where nothing is known of a shape: the answer of the cheapest setting, called until its time is known."""
        known, answer = self.memory.of(images.shape[:3]), None
        for _ in range(3):  # one makes things ready
            if known.view().measured:
                break
            answer = self.run(self._cheapest, images)
        return answer

    def again(self, setting: str, images: np.ndarray) -> bool:
        """Look whether the machine became faster meanwhile, by a few calls; not more often than once in `AGAIN` seconds.

        Returns:
            whether that was done.
        """
        known, now = self.memory.of(images.shape[:3]), time.monotonic()
        if now - known.asked < AGAIN:
            return False
        known.asked = now
        for _ in range(RECENT):
            self.run(setting, images)
        return True

    def times(self, shape: Shape) -> tuple[dict[str, float], dict[str, float]]:
        """What is known of a shape.

        Returns:
            setting -> milliseconds that 95 % of the calls with a budget do not exceed; and the same for cautious use: guesses
            with a margin, and with what a first call takes longer.
        """
        known, besides = self.memory.of(shape), sorted(self._besides)
        view, careful = known.view(), {}
        beside = besides[9 * (len(besides) - 1) // 10] if besides else 0.0  # of nine in ten
        times = {setting: view.times[setting] for setting in self._plain}
        measured = view.measured
        for setting in self._by_policy:
            times[setting] = self._exits.time(self._policies[setting], known, shape[0])
            if self._exits.is_measured(view, shape[0]):
                measured |= {setting}
        for setting, ms in times.items():
            ms *= 1 + self._spare
            ready = self._ready(setting, (*shape, 3), self._policies.get(setting))
            careful[setting] = ms * (1 if setting in measured else MARGIN) + (0 if ready else view.cold) + beside
            times[setting] = ms + beside
        return times, careful

    def measure(self, shape: Shape, seconds: float, anew: bool) -> None:
        """Call all settings, within about so many seconds if they were not all called yet or `anew`.

        All are ready afterwards, as far as this thread is concerned.
        """
        images = np.zeros([*shape, 3], np.uint8)
        with self._measuring:
            known = self.memory.of(shape)
            if anew or not {*known} <= known.view().measured:
                taken, known = timing.taken(self._calls(images), seconds), self.memory.new(shape)
                for values in itertools.zip_longest(*taken.values()):
                    for name, ms in zip(taken, values, strict=True):
                        if ms is not None:
                            known.add(name, ms)
                self.memory.put(shape, known)
                self.memory.save()
        waiting = [name for name in self._macs if not self._ready(name, images.shape, self._policies.get(name))]
        for name, call in self._calls(images).items() if waiting else ():
            if name in waiting or name not in self._macs:
                call()

    @property
    def knows_besides(self) -> bool:
        """Whether it is known what a call with a budget takes beside its setting."""
        return len(self._besides) >= ENOUGH

    def judge(self, besides: float, kept: bool) -> None:
        """Learn from a call with a budget.

        Args:
            besides: milliseconds that it took beside its setting: checks, the choice, learning.
            kept: whether the whole call took no longer than `times` said. If not, the next ones are said to take longer by
                95 % of `STEP`, else shorter by 5 % of it: in the long run 95 % keep what was said, however times vary
                (adaptive conformal inference, Gibbs and Candes 2021), unless `MOST` is reached.
        """
        self._besides.append(besides)
        self._spare = min(max(self._spare + STEP * (timing.QUANTILE - 1 if kept else timing.QUANTILE), 0.0), MOST)

    def _calls(self, images: np.ndarray) -> dict[str, Callable[[], float]]:
        """What is timed -> a function that calls it, without learning from that, and returns its milliseconds."""
        calls = {setting: functools.partial(self._ms, setting, images) for setting in self._plain}
        return calls | (self._exits.calls(images) if self._by_policy else {})

    def _call(self, setting: str, images: np.ndarray, policy: Policy | None) -> Answer:
        start = time.perf_counter()
        call = functools.partial(self._backend.call, f"{PREFIX}{setting}", {"images": images})
        outputs = self._exits.run(policy, images) if policy else call()
        return Answer(setting, 1000 * (time.perf_counter() - start), outputs)

    def _ms(self, setting: str, images: np.ndarray) -> float:
        return self._call(setting, images, None).ms

    def _ready(self, setting: str, shape: Sequence[int], policy: Policy | None) -> bool:
        return self._exits.ready(shape) if policy else self._backend.ready(f"{PREFIX}{setting}", shape)

    def _costs(self, shape: Shape) -> dict[str, float]:
        costs = {setting: max(self._macs[setting] * shape[0], 1.0) for setting in self._plain}
        if self._by_policy:
            macs = {name: max(value, 1.0) for name, value in self._macs.items()}
            costs |= self._exits.costs(macs, shape[0])
        return costs
