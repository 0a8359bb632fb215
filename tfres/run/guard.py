"""What keeps a run's folder from being taken for another's, and other folders from being taken for a run's."""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
from typing import TYPE_CHECKING

from tfres.errors import RunError
from tfres.files import is_temporary
from tfres.run.checkpoint_files import remove_parts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_SHOWN = 5


def without_link(path: str | os.PathLike) -> pathlib.Path:
    """The path; of a link to a folder beside it (such as `runs/latest`), that folder's.

    Raises:
        RunError: no text, or a link that leads nowhere.
    """
    if not isinstance(path, (str, os.PathLike)) or not str(path) or "\0" in str(path):
        raise RunError(f"`run` must be the path of a folder. Received: run={path!r}.")
    path = pathlib.Path(path)
    if path.is_symlink():
        target = os.readlink(path)
        if not path.exists():
            raise RunError(f"`run` must be the folder of a run. Received: run={path}, a link to {target}, which is not there.")
        if pathlib.Path(target).name == target and target not in ("", ".", ".."):
            return without_link(path.with_name(target))
    return path


def content(folder: pathlib.Path) -> list[str]:
    """Names in a folder, without temporary files of ours."""
    return sorted(path.name for path in folder.iterdir() if not is_temporary(path))


def described(folder: pathlib.Path) -> str:
    """What is at a path, for an error."""
    if not folder.exists():
        return "which is not there"
    if not folder.is_dir():
        return "which is a file"
    names = content(folder)
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"which holds {', '.join(names[:_SHOWN])}{more}" if names else "which is empty"


def temporaries(folder: pathlib.Path, names: Iterable[str]) -> list[pathlib.Path]:
    """Temporary files that the writing of these files left in a folder."""
    known = re.compile(rf"\.({'|'.join(map(re.escape, names))})\.[a-z0-9_]{{8}}\.tmp")
    return [path for path in folder.iterdir() if known.fullmatch(path.name) and path.is_file() and not path.is_symlink()]


def check_removable(path: pathlib.Path) -> None:
    """Refuse to remove or rename places that no run can be.

    Raises:
        RunError: a link, a mount point, the current folder, home, the root, or a folder that one of those is in.
    """
    why = None
    whole = path.resolve()
    if path.is_symlink():
        why = f"a link to {os.readlink(path)}"
    elif not path.is_dir():
        why = "no folder"
    elif os.path.ismount(path):
        why = "a mount point"
    else:
        for place, name in ((pathlib.Path.cwd(), "the current folder"), (pathlib.Path.home().resolve(), "the home folder")):
            if whole == place or whole in place.parents:
                why = f"{name} or above it"
    if why:
        raise RunError(f"`run` must be a folder of its own to be deleted or backed up. Received: run={path}, {why}.")


def unused(path: pathlib.Path) -> pathlib.Path:
    """The path, or it with the first number behind that makes it new."""
    number, candidate = 1, path
    while candidate.exists() or candidate.is_symlink():
        number += 1
        candidate = path.with_name(f"{path.name}-{number}")
    return candidate


def remove_from(folder: pathlib.Path, is_ours: Callable[[pathlib.Path], object]) -> None:
    """Remove our files from a folder inside a run, and the folder when it is empty then; links are not followed."""
    if not folder.is_dir() or folder.is_symlink():
        return
    for path in list(folder.iterdir()):
        if path.is_dir() and not path.is_symlink():
            remove_parts(path)
        elif is_ours(path):
            path.unlink()
    with contextlib.suppress(OSError):
        folder.rmdir()
