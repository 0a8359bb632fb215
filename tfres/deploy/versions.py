"""Numbered folders of a model as TF Serving wants them, each added whole or not at all."""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
import tempfile
import time
from typing import TYPE_CHECKING

from tfres.errors import ExportError
from tfres.files import checked_name

if TYPE_CHECKING:
    from collections.abc import Callable

_TEMPORARY, _FILES, _DAY = ".export-", ".tflite", 24 * 3600


def version_parent(out: str | os.PathLike, name: str) -> pathlib.Path:
    """Folder of a model's versions.

    Raises:
        UsageError: a name that is none.
    """
    return pathlib.Path(out) / checked_name("name", name)


def add_version(parent: pathlib.Path, write: Callable[[pathlib.Path], None], suffix: str = "") -> pathlib.Path:
    """Let `write` fill a folder (or a file) beside the versions, then give it the next free number as its name.

    Several processes may do so at the same time: none takes another's number.

    Args:
        parent: folder of the model, made if need be.
        write: makes and fills the folder or file whose path it is given.
        suffix: of a file, such as ".tflite"; model servers see folders only.

    Returns:
        path of the version.

    Raises:
        ExportError: `parent` cannot be a folder. OSError: it cannot be written, such as on a full disk; nothing is left then.
    """
    try:
        parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ExportError(f"`out` must be a folder. Received: {error.filename} ({error.strerror}).") from None
    _remove_old(parent)
    try:
        with tempfile.TemporaryDirectory(prefix=_TEMPORARY, dir=parent) as temporary:
            made = pathlib.Path(temporary) / "version"
            write(made)
            for place in (made, *made.rglob("*")):  # on the disk before it has its name
                if place.is_file():
                    with open(place, "rb") as file:
                        os.fsync(file.fileno())
            return _numbered(made, parent, suffix)
    except OSError as error:
        raise OSError(f"The export to {parent} cannot be written: {error}.") from None


def _numbered(made: pathlib.Path, parent: pathlib.Path, suffix: str) -> pathlib.Path:
    """Give the folder or file the next number in `parent`, in whatever form that has its versions.

    A number belongs to the process that made the folder which claims it; where there is a version of it by then, another is
    taken.
    """
    claimed = 0
    while True:
        names = [path.name.removesuffix(_FILES) for path in parent.iterdir()]
        versions = [int(name) for name in names if name.isascii() and name.isdigit()]
        number = max([claimed, *versions]) + 1
        claim = parent / f"{_TEMPORARY}{number}"
        try:
            claim.mkdir()
        except FileExistsError:
            claimed = number
            continue
        try:
            if not any(os.path.lexists(parent / f"{number}{kind}") for kind in ("", _FILES)):
                return made.rename(parent / f"{number}{suffix}")
        finally:
            claim.rmdir()


def _remove_old(parent: pathlib.Path) -> None:
    """What exports that were killed left behind: temporary folders that nobody has touched for a day."""
    for folder in parent.glob(f"{_TEMPORARY}*"):
        with contextlib.suppress(OSError):
            if time.time() - folder.stat().st_mtime > _DAY:
                shutil.rmtree(folder)
