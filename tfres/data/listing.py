"""Picture files of a folder, each looked at before anything opens it."""

from __future__ import annotations

import errno
import os
import pathlib
import stat

ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".gif")
_KINDS = (
    (stat.S_ISDIR, "is a folder"),
    (stat.S_ISFIFO, "is a pipe"),
    (stat.S_ISSOCK, "is a socket"),
    (stat.S_ISCHR, "is a device"),
    (stat.S_ISBLK, "is a device"),
)
_CIRCLE = "is a link that leads in a circle"

Faults = list[tuple[str, str]]


def file_fault(path: str | pathlib.Path) -> str | None:
    """Why a path is no file that can be read, without opening it (a pipe would wait for ever); None when it is one."""
    try:
        os.fspath(path).encode()
        info = os.stat(path)
    except UnicodeEncodeError:
        return "has a name that is not UTF-8"
    except FileNotFoundError:
        return "is a link to nothing" if os.path.islink(path) else "is not there (any more)"
    except OSError as error:
        return _CIRCLE if error.errno == errno.ELOOP else (error.strerror or str(error))
    for is_kind, text in _KINDS:
        if is_kind(info.st_mode):
            return text
    if not info.st_size:
        return "is empty"
    return None if os.access(path, os.R_OK) else "may not be read (no permission)"


def printable(path: str | pathlib.Path) -> str:
    """The path as text that can be printed and logged, whatever bytes are in it."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def folders(root: pathlib.Path, faults: Faults) -> list[str]:
    """Names of the folders in `root`, sorted; links to nothing and names that are not UTF-8 are added to the faults."""
    names = []
    for entry in _entries(root, faults):
        if entry.is_dir():
            fault = file_fault(entry.path)
            if fault == "is a folder":
                names.append(entry.name)
            else:
                faults.append((printable(entry.path), fault))
        elif entry.is_symlink() and not os.path.exists(entry.path):
            faults.append((printable(entry.path), file_fault(entry.path)))
    return sorted(names)


def pictures(root: pathlib.Path, faults: Faults) -> list[str]:
    """Paths below `root` that are named like pictures, sorted; those that cannot be read are added to the faults instead."""
    found: list[str] = []
    _gather(root, found, faults, (os.path.realpath(root),))
    return [str(path) for path in sorted(map(pathlib.Path, found))]


def _gather(root: pathlib.Path | str, found: list[str], faults: Faults, above: tuple[str, ...]) -> None:
    for entry in _entries(root, faults):
        if os.path.splitext(entry.name)[1].lower() in ENDINGS:
            fault = file_fault(entry.path)
            if fault is None:
                found.append(entry.path)
            else:
                faults.append((printable(entry.path), fault))
        elif entry.is_dir():
            real = os.path.realpath(entry.path)
            if real in above:
                faults.append((printable(entry.path), _CIRCLE))
            else:
                _gather(entry.path, found, faults, (*above, real))
        elif entry.is_symlink() and not os.path.exists(entry.path):
            faults.append((printable(entry.path), file_fault(entry.path)))


def _entries(root: pathlib.Path | str, faults: Faults) -> list[os.DirEntry]:
    try:
        with os.scandir(root) as entries:
            return list(entries)
    except OSError as error:
        faults.append((printable(root), error.strerror or str(error)))
        return []
