"""Requests that wait to be run: few at a time, several of the same version, signature and shape together if wanted."""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import dataclasses
import logging
import os
import threading
import time
from typing import TYPE_CHECKING

import numpy as np

from tfres.deploy.server.limits import Limits, Refused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tfres.deploy.server.loaded import Signature
    from tfres.deploy.server.tensors import Arrays

_LOGGER = logging.getLogger(__name__)


@dataclasses.dataclass(eq=False)
class _Task:
    """A request."""

    signature: Signature
    inputs: Arrays
    due: float
    future: concurrent.futures.Future = dataclasses.field(default_factory=concurrent.futures.Future)

    @property
    def rows(self) -> int:
        return len(next(iter(self.inputs.values())))


class Queue:
    """Runs requests in a few threads, as many as there are processors.

    A signature belongs to one version, so that versions are never mixed. What is run together is of one shape: pictures are
    not padded, which would change the answer. Where a batch fails its requests are run alone: one bad picture spoils no other.

    Args:
        limits: of the server.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._groups: dict[object, collections.deque[_Task]] = {}  # in the order in which their first requests came
        self._count, self._running, self._resting, self._closed = 0, 0, 0, False
        self._changed = threading.Condition()
        workers = len(os.sched_getaffinity(0))
        self._threads = [threading.Thread(target=self._work, name=f"run-{i}", daemon=True) for i in range(workers)]
        for thread in self._threads:
            thread.start()

    @property
    def running(self) -> int:
        """How many threads run something."""
        return self._running

    def run(self, signature: Signature, inputs: Arrays, seconds: float) -> Arrays:
        """The outputs for a request's checked inputs.

        Raises:
            Refused: UNAVAILABLE where too many wait, DEADLINE_EXCEEDED after so many seconds, or what the run refuses.
        """
        wait = self._limits.batch_seconds
        merges = wait > 0 and signature.merges
        task = _Task(signature, inputs, time.monotonic() + (wait if merges else 0))
        key = (signature, *(array.shape[1:] for array in inputs.values())) if merges else task
        with self._changed:
            if self._closed or self._count >= self._limits.waiting:
                why = "The server stops." if self._closed else f"{self._limits.waiting} requests wait already."
                raise Refused("UNAVAILABLE", why)
            self._groups.setdefault(key, collections.deque()).append(task)
            self._count += 1
            self._changed.notify()
        try:
            return task.future.result(min(seconds, self._limits.seconds))
        except TimeoutError:
            task.future.cancel()
            self._forget(key, task)
            raise Refused("DEADLINE_EXCEEDED", "The request was not answered in time.") from None

    @contextlib.contextmanager
    def resting(self) -> Iterator[None]:
        """One thread fewer runs requests while the block lasts, but for the last: something else needs a processor."""
        with self._changed:
            self._resting += 1
        try:
            yield
        finally:
            with self._changed:
                self._resting -= 1
                self._changed.notify_all()

    def close(self) -> None:
        """Take no more requests, and wait for those that were taken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _forget(self, key: object, task: _Task) -> None:
        """Make room where a request that nobody waits for any more is still waiting."""
        with self._changed:
            group = self._groups.get(key, ())
            if task in group:
                group.remove(task)
                self._count -= 1
                if not group:
                    del self._groups[key]

    def _work(self) -> None:
        while tasks := self._next():
            tasks = [task for task in tasks if task.future.set_running_or_notify_cancel()]
            if len(tasks) < 2 or not self._together(tasks):
                for task in tasks:
                    _finish(task)
            with self._changed:
                self._running -= 1
                self._changed.notify_all()

    def _next(self) -> list[_Task]:
        """The requests to run next; none when there will be no more."""
        with self._changed:
            while True:
                now, free = time.monotonic(), self._running < max(len(self._threads) - self._resting, 1)
                for key, group in self._groups.items() if free else ():
                    full = sum(task.rows for task in group) >= self._limits.pictures if len(group) > 1 else False
                    if self._closed or full or group[0].due <= now:
                        return self._taken(key, group)
                if self._closed and not self._groups:
                    return []
                wakes = free and self._groups
                self._changed.wait(min(group[0].due for group in self._groups.values()) - now if wakes else None)

    def _taken(self, key: object, group: collections.deque[_Task]) -> list[_Task]:
        """The oldest of a group, and as many after it as a batch has room for."""
        tasks = [group.popleft()]
        rows = 0 if isinstance(key, _Task) else tasks[0].rows
        while group and rows + group[0].rows <= self._limits.pictures:
            tasks.append(group.popleft())
            rows += tasks[-1].rows
        if not group:
            del self._groups[key]
        self._count -= len(tasks)
        self._running += 1
        return tasks

    def _together(self, tasks: list[_Task]) -> bool:
        """Run requests as one; returns whether that went well."""
        (name,) = tasks[0].inputs
        rows = [task.rows for task in tasks]
        try:
            outputs = tasks[0].signature.run({name: np.concatenate([task.inputs[name] for task in tasks])})
            if any(output.shape[:1] != (sum(rows),) for output in outputs.values()):
                return False
        except Exception:  # each alone says what is wrong with it
            return False
        ends = np.cumsum(rows)
        for task, end in zip(tasks, ends, strict=True):
            task.future.set_result({key: output[end - task.rows : end] for key, output in outputs.items()})
        return True


def _finish(task: _Task) -> None:
    try:
        task.future.set_result(task.signature.run(task.inputs))
    except Refused as refused:
        task.future.set_exception(refused)
    except Exception:
        _LOGGER.exception("A request for %s failed.", task.signature.name)
        task.future.set_exception(Refused("INTERNAL", "The request could not be run; the server's log says why."))
