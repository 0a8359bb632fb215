"""How long settings take for one shape of pictures: learnt call by call, guessed from their costs before that."""

from __future__ import annotations

import collections
import itertools
import threading
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tfres.deploy.runtime.times import QUANTILE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

MARGIN = 1.25  # what a guess may be short of, by cautious use
WINDOW = 31  # calls of a setting whose median is its typical time
TRUSTED = 4  # three calls, the first counts as two
RECENT = 5  # calls of any setting whose median tells how fast the machine is now
RATIOS = 60  # calls that tell how much times vary: of a setting, and of all together
ENOUGH = 20  # of them; with fewer times vary by `WIDE` at least
WIDE = 1.1
STEP = 1.15  # the machine became so much slower or faster: a change, no variation
COLD = 5  # first calls whose median is what the next one takes longer


class View(NamedTuple):
    """What is known at one moment.

    typical: name -> milliseconds that half of its calls take at most. times: the same of 95 %. measured: names that were
    called, others are guessed. cold: milliseconds that a first call takes longer.
    """

    typical: dict[str, float]
    times: dict[str, float]
    measured: frozenset[str]
    cold: float


class Estimates:
    """Times of the settings of one export for one shape of pictures, in bounded memory. Several threads may use it.

    A call takes `typical * speed * variation`. What is typical is the median of a setting's first calls, each divided by the
    speed then, until that of its last ones is another by far: smaller steps would add up, away from settings that are not
    called. The speed is the median, over the last calls of all settings, of what they took of what is typical: so a machine
    that becomes slower or faster is followed for all settings at once, and two disturbed calls in five change nothing. The
    variation is the 95 % quantile of what calls took of what was expected; where the speed changed meanwhile, of what would
    have been expected afterwards.

    A setting without calls is guessed: between its neighbours in cost in proportion to the costs, below all that were called
    as the cheapest of them, above as in proportion to the cost. With `prior` in place of costs: as the prior, plus what
    settings that were called took longer than theirs, interpolated by cost.

    A first call may have been a disturbance. It counts as two, so that it takes a change of the machine to be one; until a
    setting was called three times, it takes no longer than a careful guess from those that were.

    Args:
        costs: name -> multiply-adds of a call, positive.
        prior: name -> ms as expected from another shape.
    """

    def __init__(self, costs: Mapping[str, float], prior: Mapping[str, float] | None = None) -> None:
        self._names = sorted(costs, key=costs.get)
        self._place = {name: place for place, name in enumerate(self._names)}
        self._costs = np.array([float(costs[name]) for name in self._names])
        self._prior = prior and np.array([prior[name] for name in self._names])
        self._windows = {name: collections.deque(maxlen=WINDOW) for name in self._names}
        self._ratios = {name: collections.deque(maxlen=RATIOS) for name in self._names}
        self._all, self._variations = collections.deque(maxlen=RATIOS), {"": WIDE}
        self._base, self._speed = np.full(len(self._names), np.nan), 1.0
        self._recent = collections.deque([("", 1.0)] * (RECENT + RECENT // 2 + 1), RECENT + RECENT // 2 + 1)
        self._cold = collections.deque(maxlen=COLD)
        self._lock, self._view = threading.RLock(), None  # a model that is collected saves, in any thread
        self.changes = 0  # how many calls were added
        self.asked = float("-inf")  # when `Runner.again` did so

    def __contains__(self, name: str) -> bool:
        return name in self._place

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def add(self, name: str, ms: float) -> None:
        """A call that was made."""
        with self._lock:
            place, window = self._place[name], self._windows[name]
            if window:
                self._follow(name, ms / float(self._base[place]))
            full = len(window) == WINDOW
            window.extend([ms / self._speed] * (1 if window else 2))
            found = _median(window)
            if not full:
                self._base[place] = found
            elif not 1 / STEP < found / self._base[place] < STEP:
                self._base[place] = found
                self._ratios[name].clear()
                self._variations.pop(name, None)
            self._view = None
            self.changes += 1

    def add_cold(self, name: str, ms: float) -> None:
        """A call that made things ready first: it says nothing about the next ones of this setting."""
        view = self.view()
        if view.measured:
            with self._lock:
                self._cold.append(max(ms - view.typical[name], 0.0))
                self._view = None

    def view(self) -> View:
        """What is known now; without any calls all times are infinite."""
        with self._lock:
            if self._view is None:
                self._view = self._seen()
            return self._view

    def samples(self, name: str) -> list[float]:
        """Milliseconds of calls of a setting, as they vary now."""
        typical = self.view().typical[name]
        with self._lock:
            known = self._ratios[name] if name in self._variations else self._all
            return [typical * ratio for ratio in known] if len(known) >= ENOUGH else [typical * self._variations[""]]

    def state(self) -> dict[str, dict[str, list[float]]]:
        """What was learnt, JSON-able, for `restore`."""
        with self._lock:
            ms = {}
            for name, window in self._windows.items():
                if window:
                    now, middle = float(self._base[self._place[name]]) * self._speed, _median(window)
                    ms[name] = [value / middle * now for value in window]  # the median becomes `now` to the last bit
            return {"ms": ms, "ratios": {name: [*self._ratios[name]] for name in ms}}

    def restore(self, state: Mapping[str, Mapping[str, Sequence[float]]]) -> None:
        """Start from what was learnt before."""
        with self._lock:
            for name, values in state["ms"].items():
                self._windows[name].extend(values)
                self._base[self._place[name]] = _median(self._windows[name])
            names, ratios = state["ratios"].keys(), state["ratios"].values()
            for values in itertools.zip_longest(*ratios):  # in turn, as the last calls of all are kept together
                for name, value in zip(names, values, strict=True):
                    if value is not None:
                        self._vary(name, value)

    def _follow(self, name: str, speed: float) -> None:
        """A call took so much of what is typical: how fast is the machine, and how much do times vary?"""
        self._recent.append((name, speed))
        speeds = [value for _, value in self._recent]
        self._speed = _median(speeds[-RECENT:])
        middle, value = self._recent[-1 - RECENT // 2]
        if middle:
            before = _median(speeds[:RECENT])
            changed = max(self._speed / before, before / self._speed) > STEP
            self._vary(middle, value / (self._speed if changed else before))

    def _vary(self, name: str, ratio: float) -> None:
        for key, ratios in (("", self._all), (name, self._ratios[name])):
            ratios.append(ratio)
            if not key or len(ratios) >= ENOUGH:
                self._variations[key] = _variation(ratios)

    def _seen(self) -> View:
        measured = ~np.isnan(self._base)
        if not measured.any():
            nothing = dict.fromkeys(self._names, float("inf"))
            return View(nothing, nothing, frozenset(), 0.0)
        trusted = np.array([len(self._windows[name]) >= TRUSTED for name in self._names])
        guessed = self._guessed(trusted if trusted.any() else measured, self._base)
        typical = np.where(trusted, self._base, np.fmin(self._base, MARGIN * guessed))
        typical = np.where(measured, typical, self._guessed(measured, typical))
        typical = dict(zip(self._names, (typical * self._speed).tolist(), strict=True))
        times = {name: ms * self._variations.get(name, self._variations[""]) for name, ms in typical.items()}
        called = frozenset(name for name, one in zip(self._names, measured, strict=True) if one)
        return View(typical, times, called, _median(self._cold) if self._cold else 0.0)

    def _guessed(self, known: np.ndarray, typical: np.ndarray) -> np.ndarray:
        costs, taken = self._costs[known], typical[known]
        if self._prior is None:
            taken = np.maximum.accumulate(taken)
            prior = taken[-1] / costs[-1] * np.maximum(self._costs, costs[0])
        else:
            prior = self._prior
        return np.maximum(prior + np.interp(self._costs, costs, taken - prior[known]), taken.min())


def _median(values: Sequence[float]) -> float:
    """The lower one of an even number: a disturbance makes calls longer."""
    return sorted(values)[(len(values) - 1) // 2]


def _variation(ratios: Sequence[float]) -> float:
    """What 95 % of the ratios do not exceed, and never the largest: that may be a disturbance."""
    count = len(ratios)
    found = sorted(ratios)[min(int(QUANTILE * count), max(count - 2, 0))]
    return found if count >= ENOUGH else max(found, WIDE)
