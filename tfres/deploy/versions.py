"""Numbered folders of a model as TF Serving wants them, each added whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import pathlib
import shutil
import tempfile
import time
from typing import TYPE_CHECKING

from tfres.errors import ExportError

if TYPE_CHECKING:
    from collections.abc import Callable

_TEMPORARY, _DAY = ".export-", 24 * 3600


def add_version(parent: pathlib.Path, write: Callable[[pathlib.Path], None]) -> pathlib.Path:
    """Let `write` fill a folder beside the versions, then rename it to the next free number.

    Several processes may do so at the same time: none takes another's number.

    Args:
        parent: folder of the model, made if need be.
        write: makes and fills the folder whose path it is given.

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
            folder = pathlib.Path(temporary) / "version"
            write(folder)
            for place in folder.rglob("*"):  # on the disk before it has its name
                if place.is_file():
                    with open(place, "rb") as file:
                        os.fsync(file.fileno())
            return _numbered(folder, parent)
    except OSError as error:
        raise OSError(f"The export to {parent} cannot be written: {error}.") from None


def _numbered(folder: pathlib.Path, parent: pathlib.Path) -> pathlib.Path:
    """Rename the folder to the next number in `parent`."""
    while True:
        versions = [int(path.name) for path in parent.iterdir() if path.name.isascii() and path.name.isdigit()]
        target = parent / str(max(versions, default=0) + 1)
        try:
            os.rename(folder, target)  # fails where another process was faster: a version is never empty
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR) or not target.exists():
                raise
        else:
            return target


def _remove_old(parent: pathlib.Path) -> None:
    """What exports that were killed left behind: temporary folders that nobody has touched for a day."""
    for folder in parent.glob(f"{_TEMPORARY}*"):
        with contextlib.suppress(OSError):
            if time.time() - folder.stat().st_mtime > _DAY:
                shutil.rmtree(folder)
