"""The newest version of a model's folder: loaded before it takes over, so that no request finds none."""

from __future__ import annotations

import contextlib
import gc
import logging
import pathlib
import threading
from typing import TYPE_CHECKING, NamedTuple

from tfres.deploy.runtime.files import GRAPH
from tfres.deploy.server.limits import Refused, shown
from tfres.deploy.server.loaded import Loaded
from tfres.errors import ExportError

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

_LOGGER = logging.getLogger(__name__)
_REMEMBERED = 16


class State(NamedTuple):
    """Of a version, in TensorFlow Serving's words."""

    name: str
    code: str = "OK"
    message: str = ""


class Versions:
    """The versions of a model, of which the newest that can be loaded is served.

    Args:
        path: folder of the model, looked at again and again, or of one version, which is then the only one.
        poll_seconds: between looks.
        making_room: around what loads a version.

    Raises:
        ExportError: no version in it can be loaded.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        poll_seconds: float,
        making_room: Callable[[], contextlib.AbstractContextManager] = contextlib.nullcontext,
    ) -> None:
        self._path = pathlib.Path(path).resolve()
        self._alone = (self._path / GRAPH).is_file()
        if self._alone and not _is_number(self._path.name):
            raise ExportError(f"`path` must be a model's folder (out/NAME) or a version of it. Received: path={path}.")
        self._poll_seconds, self._making_room = poll_seconds, making_room
        self._current: Loaded | None = None
        self._failed, self._states = {}, {}
        self._lock, self._stop = threading.Lock(), threading.Event()
        fault = self.look()
        if self._current is None:
            wanted = "`path` must be the folder of a model with versions (out/NAME), or one of these."
            raise fault or ExportError(f"{wanted} Received: path={path}.")
        self._thread = threading.Thread(target=self._watch, name="versions", daemon=True)
        self._thread.start()

    @property
    def name(self) -> str:
        """Of the model, as its folder says."""
        return self._path.parent.name if self._alone else self._path.name

    def get(self, number: int | None = None) -> Loaded:
        """The version that is served.

        Raises:
            Refused: NOT_FOUND for another number.
        """
        current = self._current
        if number not in (None, current.number):
            raise Refused("NOT_FOUND", f"Version must be {current.number}, the newest. Received: {shown(number)}.")
        return current

    def states(self, number: int | None = None) -> dict[int, State]:
        """Number -> state of the versions seen, the newest first.

        Raises:
            Refused: NOT_FOUND for a number that was never there.
        """
        with self._lock:
            found = dict(sorted(self._states.items(), reverse=True))
        if number is not None and number not in found:
            raise Refused("NOT_FOUND", f"Version must be one of {', '.join(map(str, found))}. Received: {shown(number)}.")
        return found if number is None else {number: found[number]}

    def look(self) -> ExportError | None:
        """Load the newest version if it is not served yet; returns what was wrong with one that could not be loaded.

        One that fails is not tried again before a file of it changes.
        """
        fault, found = None, self._found()
        self._failed = {number: stamp for number, stamp in self._failed.items() if number in dict(found)}
        for number, path in found:
            if self._current is not None and number == self._current.number:
                break
            try:
                stamp = _stamp(path)
            except OSError:  # gone meanwhile
                continue
            if self._failed.get(number) == stamp:
                continue
            self._state(number, State("LOADING"))
            try:
                with self._making_room():
                    loaded = Loaded(path)
                    count = loaded.warm_up()
            except (ExportError, Refused) as error:
                fault = error if isinstance(error, ExportError) else ExportError(f"{path}: {error}")
                self._failed[number] = stamp
                self._state(number, State("END", "INVALID_ARGUMENT", str(fault)))
                _LOGGER.warning("Version %s is not served: %s", number, fault)
                continue
            before, self._current = self._current, loaded
            self._state(number, State("AVAILABLE"))
            _LOGGER.info("Version %s is served, warmed up with %s records.", number, count)
            if before is not None:
                self._state(before.number, State("END"))
            break
        return fault

    def close(self) -> None:
        """Look no more."""
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(self._poll_seconds):
            before = self._current
            try:
                self.look()
            except Exception:  # the version that is served stays
                _LOGGER.exception("Looking for new versions in %s failed.", self._path)
            if before is not self._current:
                before = None
                gc.collect()  # of the version before; requests that still run hold it

    def _found(self) -> list[tuple[int, pathlib.Path]]:
        """Numbers and folders of versions, the newest first; none where the folder cannot be read."""
        if self._alone:
            return [(int(self._path.name), self._path)]
        try:
            places = [place for place in self._path.iterdir() if _is_number(place.name) and place.is_dir()]
        except OSError as error:
            _LOGGER.warning("%s cannot be read: %s.", self._path, error.strerror)
            return []
        return sorted(((int(place.name), place) for place in places), reverse=True)

    def _state(self, number: int, state: State) -> None:
        with self._lock:
            self._states.pop(number, None)
            self._states[number] = state
            served = self._current.number if self._current else None
            while len(self._states) > _REMEMBERED:
                self._states.pop(next(one for one in self._states if one != served))


def _is_number(name: str) -> bool:
    return name.isascii() and name.isdigit() and int(name) < 2**63 and str(int(name)) == name


def _stamp(path: pathlib.Path) -> tuple:
    """What changes when a file of the folder does."""
    status = [(str(place), place.stat()) for place in sorted(path.rglob("*"))]
    return tuple((place, one.st_size, one.st_mtime_ns) for place, one in status)
