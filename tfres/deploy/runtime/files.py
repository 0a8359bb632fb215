"""The files of an export, read at one place: each fault is one `ExportError` in one line that names the file."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
import pathlib
import reprlib
from typing import TYPE_CHECKING

import tensorflow as tf

from tfres.errors import ExportError

if TYPE_CHECKING:
    from collections.abc import Callable

TABLE, CLASSES = "assets/table.json", "assets/classes.json"
SEAL = "assets.extra/files.json"  # SavedModel's own place for what servers do not read
_GRAPH, _VARIABLES = "saved_model.pb", "variables/variables"
_PREFIX = "serve_"


@dataclasses.dataclass(frozen=True, eq=False)
class Export:
    """An export that was read.

    Args:
        path: folder of the version.
        loaded: what TensorFlow made of it; it holds the variables.
        signatures: printed form of the setting -> its signature, a callable of `images=`.
        table: query table, or None.
        classes: their names, or None.
        fingerprint: digest of all files.
    """

    path: pathlib.Path
    loaded: object
    signatures: dict[str, Callable[..., dict]]
    table: dict | None
    classes: list[str] | None
    fingerprint: str


def open_export(path: str | os.PathLike) -> Export:
    """Read and check the folder of an export's version.

    Raises:
        ExportError: it is none, or one of its files is missing, damaged or another export's.
    """
    try:
        folder = pathlib.Path(path)
        known = (folder / _GRAPH).is_file()
    except (TypeError, ValueError, OSError):
        known = False
    if not known:
        raise ExportError(f"`path` must be the folder of an export (out/NAME/VERSION). Received: path={path}.")
    digests = _digests(folder)
    _check_seal(folder, digests)
    table = check_table(_read_json(folder / TABLE), folder / TABLE) if TABLE in digests else None
    classes = check_classes(_read_json(folder / CLASSES), folder / CLASSES) if CLASSES in digests else None
    try:
        loaded = tf.saved_model.load(str(folder))
        signatures = {name.removeprefix(_PREFIX): call for name, call in loaded.signatures.items() if _takes_pictures(call)}
    except Exception as error:  # TensorFlow's loader has no error of its own: damage shows as any kind
        raise ExportError(f"{_culprit(folder)} must be a file of an export. Received: {_first_line(error)}") from None
    if not signatures:
        raise ExportError(f"{folder / _GRAPH} must have a signature {_PREFIX}SETTING of uint8 pictures. Received: none.")
    fingerprint = hashlib.sha256(json.dumps(digests).encode()).hexdigest()
    return Export(folder, loaded, signatures, table, classes, fingerprint)


def seal(folder: pathlib.Path) -> None:
    """Write down the digests of an export's files, by which damage and mix-ups are found when it is read."""
    digests = _digests(folder)
    (folder / SEAL).parent.mkdir(exist_ok=True)
    (folder / SEAL).write_text(json.dumps(digests, indent=1) + "\n")


def check_table(table: object, place: str | os.PathLike = "`table`") -> dict:
    """A query table whose figures are numbers.

    Args:
        table: what should be one.
        place: its name in messages.

    Raises:
        ExportError: it is none; the setting and the field are named.
    """
    rows = table.get("rows") if isinstance(table, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) and isinstance(row.get("setting"), str) for row in rows):
        raise ExportError(f'{place} must be a query table, rows with a "setting" each. Received: {reprlib.repr(table)}.')
    score = table.get("score", "top1")
    if not isinstance(score, str):
        raise ExportError(f"`score` in {place} must be the name of a figure. Received: score={score!r}.")
    names = [row["setting"] for row in rows]
    if len(set(names)) < len(names):
        raise ExportError(f"{place} must have one row per setting. Received: {', '.join(names)}.")
    for row in rows:
        for field, value in row.items():
            figure = field in (score, "macs", "ms") or isinstance(value, float)
            if figure and value is not None and not is_finite(value):
                raise ExportError(
                    f"`{field}` of setting {row['setting']} in {place} must be a finite number. "
                    f"Received: {field}={reprlib.repr(value)}."
                )
        if row.get("resolution") is not None and not _is_size(row["resolution"]):
            raise ExportError(
                f"`resolution` of setting {row['setting']} in {place} must be a side or [height, width] in pixels. "
                f"Received: resolution={reprlib.repr(row['resolution'])}."
            )
    return table


def check_classes(classes: object, place: str | os.PathLike = "`classes`") -> list[str]:
    """Names of classes.

    Raises:
        ExportError: not a list of texts.
    """
    if not isinstance(classes, (list, tuple)) or not classes or not all(isinstance(name, str) for name in classes):
        raise ExportError(f"{place} must be a list of names. Received: {reprlib.repr(classes)}.")
    return list(classes)


def is_finite(value: object) -> bool:
    """Whether it is a number that is neither infinite nor NaN."""
    try:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:  # a whole number beyond all floats
        return False


def _is_size(value: object) -> bool:
    sides = value if isinstance(value, list) else [value] * 2
    return len(sides) == 2 and all(isinstance(side, int) and not isinstance(side, bool) and side > 0 for side in sides)


def _digests(folder: pathlib.Path) -> dict[str, str]:
    """Name of each file of the export, its list of digests aside -> SHA-256."""
    places = [*folder.glob("*.pb"), *(place for room in ("variables", "assets") for place in (folder / room).glob("*"))]
    digests = {}
    for place in sorted(places):
        if place.is_file():  # no pipe, which would never end
            try:
                with open(place, "rb") as file:
                    digests[place.relative_to(folder).as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
            except OSError as error:
                raise ExportError(f"{place} must be readable. Received: {error.strerror}.") from None
    return digests


def _check_seal(folder: pathlib.Path, digests: dict[str, str]) -> None:
    """Compare the files with what was exported; an export without the list, another tool's, is taken as it is."""
    place = folder / SEAL
    if not place.exists():
        return
    exported = _read_json(place)
    if not isinstance(exported, dict) or _GRAPH not in exported:
        raise ExportError(f"{place} must name the files of the export. Received: {reprlib.repr(exported)}.")
    for name, digest in exported.items():
        if name not in digests:
            raise ExportError(f"{folder / name} must be there, it is a file of the export. Received: none.")
        if digests[name] != digest:
            raise ExportError(f"{folder / name} must be the file that was exported. Received: another or a damaged one.")


def _read_json(place: pathlib.Path) -> object:
    if not place.is_file():
        raise ExportError(f"{place} must be a JSON file. Received: something else.")
    try:
        return json.loads(place.read_text(encoding="utf-8"))
    except OSError as error:
        raise ExportError(f"{place} must be readable. Received: {error.strerror}.") from None
    except (ValueError, RecursionError) as error:
        raise ExportError(f"{place} must be a JSON file. Received: {_first_line(error)}") from None


def _takes_pictures(call: Callable[..., dict]) -> bool:
    specs = call.structured_input_signature[1]
    return [*specs] == ["images"] and specs["images"].dtype == tf.uint8


def _culprit(folder: pathlib.Path) -> pathlib.Path:
    """Which file of an export keeps it from being loaded: the variables if they cannot be read, else the graph."""
    try:
        reader = tf.train.load_checkpoint(str(folder / _VARIABLES))
        for name in reader.get_variable_to_shape_map():
            reader.get_tensor(name)
    except Exception:  # see `open_export`
        from tensorflow.core.protobuf import saved_model_pb2

        try:
            saved_model_pb2.SavedModel.FromString((folder / _GRAPH).read_bytes())
        except Exception:  # protobuf's errors differ between its implementations
            return folder / _GRAPH
        return folder / _VARIABLES
    return folder / _GRAPH


def _first_line(error: BaseException) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:200]
