"""Files that are written whole or not at all, and files that are read with care."""

from __future__ import annotations

import contextlib
import json
import math
import os
import pathlib
import re
import stat
import tempfile
import time
from typing import TYPE_CHECKING, Any, NoReturn

from tfres.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

# Bytes of the longest text file that is read, and how deep its lists and mappings may be nested.
LARGEST_TEXT = 64 * 2**20
DEEPEST = 100
_TEMPORARY = re.compile(r"\..+\.[a-z0-9_]{8}\.tmp")


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """A temporary path beside `path`, renamed onto it when the block ends well and removed when it does not.

    Raises:
        OSError: the folder cannot be written or the disk is full; the error names `path`, not the temporary one.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = None
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
        os.close(handle)
        temporary = pathlib.Path(name)
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        ours = error.filename is None or str(error.filename).startswith(str(path.parent / f".{path.name}."))
        if error.errno is None or not ours:
            raise
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def is_temporary(path: str | os.PathLike) -> bool:
    """Whether a path has the name of a temporary file of `atomic_path`, such as a killed program leaves."""
    return _TEMPORARY.fullmatch(pathlib.Path(path).name) is not None


def write_text(path: str | os.PathLike, text: str) -> None:
    """Write `text` to `path` in UTF-8, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_bytes(path: str | os.PathLike, data: bytes) -> None:
    """Write bytes, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def write_json(path: str | os.PathLike, value: Any) -> None:
    """Write a JSON document, whole or not at all.

    Raises:
        ValueError: it holds a number that is not finite, or what JSON cannot hold; nothing is written.
    """
    try:
        text = json.dumps(value, indent=1, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path} must hold finite numbers, texts, lists and mappings only: {error}.") from error
    write_text(path, text + "\n")


def read_text(path: str | os.PathLike, kind: type[Exception], largest: int = LARGEST_TEXT) -> str:
    """The text of a UTF-8 file.

    Args:
        path: of the file.
        kind: class of the error that is raised.
        largest: bytes that it may have.

    Raises:
        kind: no such file, no ordinary file (a folder, a pipe), too large, or not UTF-8.
    """
    data = read_bytes(path, kind, largest)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise kind(f"{path} must be text in UTF-8; byte {error.start} is not.") from error
    if "\0" in text:
        raise kind(f"{path} must be text in UTF-8; it holds a zero byte.")
    return text


def read_bytes(path: str | os.PathLike, kind: type[Exception], largest: int) -> bytes:
    """The content of an ordinary file; see `read_text` for arguments and errors."""
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise kind(f"{path} is missing.") from error
    except (OSError, ValueError) as error:
        raise kind(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}.") from error
    if not stat.S_ISREG(status.st_mode):
        raise kind(f"{path} must be an ordinary file; it is {'a folder' if stat.S_ISDIR(status.st_mode) else 'none'}.")
    if status.st_size > largest:
        raise kind(f"{path} must have at most {largest} bytes. Received: {status.st_size}.")
    try:
        return pathlib.Path(path).read_bytes()
    except OSError as error:
        raise kind(f"{path} cannot be read: {error.strerror}.") from error


def read_json(path: str | os.PathLike, kind: type[Exception], holds: type = dict) -> Any:
    """The content of a JSON file: every key at most once, every number finite.

    Args:
        path: of the file.
        kind: class of the error that is raised, such as `RunError`.
        holds: type of the whole: dict or list.

    Raises:
        kind: see `read_text`; not JSON, or JSON of another kind.
    """
    return parse_json(read_text(path, kind), str(path), kind, holds)


def parse_json(text: str, path: str, kind: type[Exception], holds: type = dict) -> Any:
    """The content of a JSON text; `path` tells where it is from. See `read_json`."""
    if not text.strip():
        raise kind(f"{path} must be a JSON document; it is empty.")
    if _depth(text) > DEEPEST:
        raise kind(f"{path} must nest lists and mappings at most {DEEPEST} deep.")
    try:
        value = json.loads(text, object_pairs_hook=distinct, parse_constant=_not_finite, parse_float=_finite)
    except ValueError as error:
        raise kind(f"{path} must be a JSON document: {error}.") from error
    if not isinstance(value, holds):
        words = {dict: "a mapping", list: "a list"}
        raise kind(f"{path} must hold {words.get(holds, holds.__name__)}. Received: {type(value).__name__}.")
    return value


def checked_name(option: str, text: object) -> str:
    """`text`, where it can be one part of a path: no separator, nothing that leads elsewhere.

    Args:
        option: what is told in the error, such as "name".
        text: letters, digits, spaces inside and `. , _ + = @ -`, not starting with a dot or a dash; at most 150 bytes.

    Raises:
        UsageError: anything else.
    """
    good = isinstance(text, str) and re.fullmatch(r"[\w,+=@]([\w.,+=@ -]*[\w.,+=@-])?", text)
    if not good or len(text.encode("utf-8", "replace")) > 150:
        shown = repr(text) if len(repr(text)) < 200 else f"{repr(text)[:200]}..."
        raise UsageError(
            f"`{option}` must be a name of letters, digits and . , _ + = @ - that does not start with a dot or dash. "
            f"Received: {option}={shown}."
        )
    return text


def replace_link(link: str | os.PathLike, target: str) -> None:
    """Point the symbolic link `link` at `target`, without a moment where it is missing."""
    link = pathlib.Path(link)
    temporary = link.with_name(f".{link.name}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)
    try:
        temporary.symlink_to(target)
        temporary.replace(link)
    finally:
        temporary.unlink(missing_ok=True)


def remove_stale_links(link: str | os.PathLike, seconds: float = 60.0) -> None:
    """Remove what a killed `replace_link` left: temporary links that are older than `seconds`."""
    link = pathlib.Path(link)
    for path in link.parent.glob(f".{link.name}.*.tmp"):
        with contextlib.suppress(FileNotFoundError):
            if path.is_symlink() and time.time() - path.lstat().st_mtime > seconds:
                path.unlink()


def _depth(text: str) -> int:
    depth = deepest = 0
    for match in re.finditer(r'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]', text):
        if match[0][0] != '"':
            depth += 1 if match[0] in "[{" else -1
            deepest = max(deepest, depth)
    return deepest


def distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A mapping of a JSON document from its pairs (`object_pairs_hook`).

    Raises:
        ValueError: a key stands twice.
    """
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key {next(name for name in names if names.count(name) > 1)!r} stands twice")
    return found


def _not_finite(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a finite number")


def _finite(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _not_finite(text[:40])
