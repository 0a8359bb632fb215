"""What is known about the times of an export: of every shape of pictures, and between processes."""

from __future__ import annotations

import collections
import threading
import time
from typing import TYPE_CHECKING

from tfres.deploy.runtime import times as timing
from tfres.deploy.runtime.estimates import Estimates

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Callable, Mapping

    Shape = tuple[int, int, int]

SHAPES = 64  # that are remembered; the one not used for longest goes first
SECONDS = 30.0  # between two times of writing what was learnt


class Memory:
    """The estimates of each shape. Several threads may use it; files are written by a thread of their own.

    Args:
        cache: folder.
        known: shape -> the circumstances that its times depend on, see `times.circumstances`.
        costs: shape -> multiply-adds of a call, positive, by the name of what is timed.
    """

    def __init__(
        self, cache: pathlib.Path, known: Callable[[Shape], dict], costs: Callable[[Shape], Mapping[str, float]]
    ) -> None:
        self._cache, self._circumstances, self._costs = cache, known, costs
        self._shapes, self._kept = collections.OrderedDict(), {}
        self._lock, self._writing = threading.RLock(), threading.RLock()  # see `Estimates`
        self._due = time.monotonic() + SECONDS

    def of(self, shape: Shape) -> Estimates:
        """Those of a shape: of this process, from the cache, or new ones that expect what another shape takes."""
        with self._lock:
            if shape in self._shapes:
                self._shapes.move_to_end(shape)
                return self._shapes[shape]
        found = Estimates(self._costs(shape), self._prior(shape))
        state = timing.read(self._cache, self._circumstances(shape), found)
        if state is not None:
            found.restore(state)
        return self.put(shape, found, anew=False)

    def new(self, shape: Shape) -> Estimates:
        """Estimates of nothing, for `put`."""
        return Estimates(self._costs(shape))

    def put(self, shape: Shape, estimates: Estimates, anew: bool = True) -> Estimates:
        """Remember them, in place of those that are there if `anew`; returns what is there then."""
        with self._lock:
            if anew or shape not in self._shapes:
                self._shapes[shape] = estimates
                self._kept[shape] = 0
            self._shapes.move_to_end(shape)
            if len(self._shapes) > SHAPES:
                del self._kept[self._shapes.popitem(last=False)[0]]
            return self._shapes[shape]

    def save_when_due(self) -> None:
        """Write what was learnt since, if that is long ago; it takes no time of the caller."""
        with self._lock:
            if time.monotonic() < self._due:
                return
            self._due = time.monotonic() + SECONDS
        threading.Thread(target=self.save, name="tfres times").start()

    def save(self) -> None:
        """Write what was learnt since it was written."""
        with self._writing:
            with self._lock:
                learnt = [(shape, one, one.changes) for shape, one in self._shapes.items() if one.changes != self._kept[shape]]
            for shape, estimates, changes in learnt:
                if not timing.write(self._cache, self._circumstances(shape), estimates.state()):
                    self._due = float("inf")  # once is enough for the log
                    return
                with self._lock:
                    if self._shapes.get(shape) is estimates:
                        self._kept[shape] = changes

    def _prior(self, shape: Shape) -> dict[str, float] | None:
        """What is known best of another shape, in proportion to the costs of a call."""
        with self._lock:
            views = [(other, estimates.view()) for other, estimates in self._shapes.items()]
        costs = self._costs(shape)
        views = [(other, view) for other, view in views if {*view.typical} == {*costs} and len(view.measured) > 1]
        if not views:
            return None
        other, view = max(views, key=lambda one: len(one[1].measured))
        before = self._costs(other)
        return {name: ms * costs[name] / before[name] for name, ms in view.typical.items()}
