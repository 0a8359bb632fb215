"""The files of checkpoints by name: which are there, which are listed, which are ours. No TensorFlow."""

from __future__ import annotations

import pathlib
import re
import stat
from typing import TYPE_CHECKING

from tfres.errors import CheckpointError
from tfres.files import read_text
from tfres.run.checkpoint_index import check_index

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

PREFIX = "model"
# TensorFlow's file that lists the checkpoints of a folder, the newest first and last.
LIST = "checkpoint"
_DATA = r"data-(\d{5})-of-(\d{5})"
_FILE = re.compile(rf"{PREFIX}-(\d{{1,18}})\.(index|{_DATA})")
_TEMPORARY = re.compile(
    rf"{PREFIX}-\d{{1,18}}\.(index|{_DATA})\.tempstate\d+|{LIST}\.tmp[0-9a-f]+|\.{LIST}\.[a-z0-9_]{{8}}\.tmp"
)
_PARTS_FOLDER = re.compile(rf"{PREFIX}-\d{{1,18}}_temp(_[0-9a-f]+)?")
_PART = re.compile(rf"part-\d{{5}}-of-\d{{5}}\.(index|{_DATA})(\.tempstate\d+)?")
_ENTRY = re.compile(r'(\w+): (?:"((?:[^"\\]|\\.)*)"|[-+.\w]+)')


def found(folder: str | os.PathLike) -> dict[int, pathlib.Path]:
    """Step -> prefix of the checkpoints of ours in a folder that have an index, in the order of steps."""
    return {step: prefix for step, prefix in begun(folder).items() if prefix.with_name(f"{prefix.name}.index").is_file()}


def begun(folder: str | os.PathLike) -> dict[int, pathlib.Path]:
    """Step -> prefix of the checkpoints of ours in a folder that have any file, in the order of steps."""
    folder = pathlib.Path(folder)
    matches = [_FILE.fullmatch(path.name) for path in folder.iterdir()] if folder.is_dir() else []
    return {step: folder / f"{PREFIX}-{step}" for step in sorted({int(match[1]) for match in matches if match})}


def step_of(prefix: pathlib.Path) -> int | None:
    """Step of a checkpoint of ours by its name; None for another's."""
    match = re.fullmatch(rf"{PREFIX}-(\d{{1,18}})", prefix.name)
    return int(match[1]) if match else None


def listed(folder: pathlib.Path) -> list[pathlib.Path] | None:
    """Prefixes that the list of a folder names, the newest last; None where there is no list.

    Raises:
        CheckpointError: it is empty, binary or no list of checkpoints.
    """
    path = folder / LIST
    if not path.exists():
        return None
    text = read_text(path, CheckpointError, 2**20)
    newest, others = None, []
    for number, line in enumerate(text.splitlines(), 1):
        match = _ENTRY.fullmatch(line.strip())
        if line.strip() and match is None:
            raise CheckpointError(f"{path}, line {number} is no line of a list of checkpoints. {_REMEDY}")
        if match and match[2] is not None:
            name = _unescaped(match[2])
            if match[1] == "model_checkpoint_path":
                newest = folder / name
            elif match[1] == "all_model_checkpoint_paths":
                others.append(folder / name)
    if newest is None:
        raise CheckpointError(
            f"{path} must name the newest checkpoint; it is {'no list' if text.strip() else 'empty'}. {_REMEDY}"
        )
    return [*(other for other in others if other != newest), newest]


_REMEDY = "Remove the file: the list is then made anew from the checkpoints that are there."


def list_of(names: Sequence[str]) -> str:
    """Content of the list of these checkpoints, the newest last."""
    return "".join(
        f'{key}: "{name}"\n'
        for key, name in [("model_checkpoint_path", names[-1]), *(("all_model_checkpoint_paths", name) for name in names)]
    )


def has_all_files(prefix: str | os.PathLike) -> bool:
    """Whether index and every part of the data are there."""
    prefix = pathlib.Path(prefix)
    pattern = re.compile(re.escape(prefix.name) + rf"\.{_DATA}")
    folder = prefix.parent
    matches = [pattern.fullmatch(path.name) for path in folder.iterdir()] if folder.is_dir() else []
    parts = {(int(match[1]), int(match[2])) for match in matches if match}
    count = max((total for _, total in parts), default=0)
    whole = count > 0 and {(number, count) for number in range(count)} <= parts
    return whole and prefix.with_name(f"{prefix.name}.index").is_file()


def check_files(prefix: str | os.PathLike) -> None:
    """Refuse what TensorFlow need not be asked about: files that are missing, cut, of another kind or do not go together.

    Raises:
        CheckpointError: names the file.
    """
    prefix = pathlib.Path(prefix)
    index = prefix.with_name(f"{prefix.name}.index")
    try:
        if not stat.S_ISREG(index.stat().st_mode):
            raise CheckpointError(f"Checkpoint {prefix} cannot be read: {index} must be an ordinary file.")
        if not has_all_files(prefix):
            raise CheckpointError(f"Checkpoint {prefix} cannot be read: files of its data (.data-00000-of-...) are missing.")
        for path in [path for path in prefix.parent.iterdir() if path.name.startswith(f"{prefix.name}.data-")]:
            if not stat.S_ISREG(path.stat().st_mode):
                raise CheckpointError(f"Checkpoint {prefix} cannot be read: {path} must be an ordinary file.")
        check_index(prefix)
    except OSError as error:
        raise CheckpointError(f"Checkpoint {prefix} cannot be read: {error.filename or index}: {error.strerror}.") from error
    except CheckpointError:
        raise
    except ValueError as error:
        raise CheckpointError(f"Checkpoint {prefix} cannot be read: {error}.") from error


def is_ours(path: pathlib.Path) -> bool:
    """Whether a file of a run's folder of checkpoints is one that training writes."""
    return path.name == LIST or bool(_FILE.fullmatch(path.name) or _TEMPORARY.fullmatch(path.name))


def remove(prefix: pathlib.Path) -> None:
    """Remove the files of one checkpoint of ours."""
    for path in list(prefix.parent.iterdir()):
        match = _FILE.fullmatch(path.name)
        if match and f"{PREFIX}-{match[1]}" == prefix.name:
            path.unlink()


def remove_temporaries(folder: pathlib.Path) -> None:
    """Remove temporary files of a killed saver."""
    for path in list(folder.iterdir()):
        if path.is_dir() and not path.is_symlink():
            remove_parts(path)
        elif _TEMPORARY.fullmatch(path.name):
            path.unlink(missing_ok=True)


def remove_parts(folder: pathlib.Path) -> None:
    """Remove a folder of a killed saver with the parts in it; whatever else it holds stays."""
    if not _PARTS_FOLDER.fullmatch(folder.name):
        return
    for path in list(folder.iterdir()):
        if _PART.fullmatch(path.name) and path.is_file():
            path.unlink()
    if not any(folder.iterdir()):
        folder.rmdir()


def _unescaped(text: str) -> str:
    """A quoted text of TensorFlow's lists: names that are not ASCII stand there byte by byte."""
    plain = {"n": b"\n", "t": b"\t", "r": b"\r"}
    parts = re.findall(r"\\([0-7]{1,3})|\\x([0-9a-fA-F]{1,2})|\\(.)|([^\\]+)", text)
    data = b"".join(
        bytes([int(octal, 8) & 255]) if octal
        else bytes([int(hexadecimal, 16)]) if hexadecimal
        else plain.get(single, single.encode()) if single
        else rest.encode()
        for octal, hexadecimal, single, rest in parts
    )  # fmt: skip
    return data.decode("utf-8", "surrogateescape")
