"""The files of an export, read at one place: each fault is one `ExportError` in one line that names the file."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import pathlib
import reprlib
from typing import TYPE_CHECKING

import tensorflow as tf

from tfres import table as tables
from tfres.errors import ExportError
from tfres.files import read_json, write_json
from tfres.policies import Policy, PolicyError

if TYPE_CHECKING:
    from collections.abc import Callable

TABLE, CLASSES, POLICY = "assets/table.json", "assets/classes.json", "assets/policy.json"
CARD = "README.md"
# SavedModel's own place for what its loader does not read.
SEAL, WARMUP = "assets.extra/files.json", "assets.extra/tf_serving_warmup_requests"
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
        policy: default of `serve_adaptive`, or None without that; it names the network's exits and weights.
        fingerprint: digest of all files.
    """

    path: pathlib.Path
    loaded: object
    signatures: dict[str, Callable[..., dict]]
    table: dict | None
    classes: list[str] | None
    policy: Policy | None
    fingerprint: str


def open_export(path: str | os.PathLike) -> Export:
    """Read and check the folder of an export's version.

    Raises:
        ExportError: it is none, or one of its files is missing, damaged, another export's or was added.
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
    table = tables.read(folder / TABLE, ExportError) if _is_there(folder / TABLE) else None
    classes = None
    if _is_there(folder / CLASSES):
        classes = check_classes(read_json(folder / CLASSES, ExportError, holds=list), str(folder / CLASSES))
    policy = _policy(folder / POLICY) if _is_there(folder / POLICY) else None
    try:
        loaded = tf.saved_model.load(str(folder))
        signatures = {name.removeprefix(_PREFIX): call for name, call in loaded.signatures.items() if _takes_pictures(call)}
    except Exception as error:  # TensorFlow's loader has no error of its own: damage shows as any kind
        raise ExportError(f"{_culprit(folder)} must be a file of an export. Received: {_first_line(error)}") from None
    if not signatures:
        raise ExportError(f"{folder / _GRAPH} must have a signature {_PREFIX}SETTING of uint8 pictures. Received: none.")
    fingerprint = hashlib.sha256(json.dumps(digests).encode()).hexdigest()
    return Export(folder, loaded, signatures, table, classes, policy, fingerprint)


def seal(folder: pathlib.Path) -> None:
    """Write down the digests of an export's files, by which damage and mix-ups are found when it is read."""
    write_json(folder / SEAL, _digests(folder))


def check_classes(classes: object, place: str = "`classes`") -> list[str]:
    """Names of classes.

    Raises:
        ExportError: not a list of texts.
    """
    if not isinstance(classes, (list, tuple)) or not classes or not all(isinstance(name, str) for name in classes):
        raise ExportError(f"{place} must be a list of names. Received: {reprlib.repr(classes)}.")
    return list(classes)


def _digests(folder: pathlib.Path) -> dict[str, str]:
    """Name of each file of the export, its list of digests aside -> SHA-256."""
    digests = {}
    for place in sorted({*_places(folder)} - {folder / SEAL}):
        if not place.is_file():  # such as a pipe, which would never end
            raise ExportError(f"{place} must be an ordinary file. Received: something else.")
        try:
            with open(place, "rb") as file:
                digests[place.relative_to(folder).as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise ExportError(f"{place} must be readable. Received: {error.strerror}.") from None
    return digests


def _places(folder: pathlib.Path) -> list[pathlib.Path]:
    """All that lies in a folder and in the folders in it, but these."""
    found = []
    try:
        for place in folder.iterdir():
            if place.is_dir() and not place.is_symlink():
                found += _places(place)
            else:
                found.append(place)
    except OSError as error:
        raise ExportError(f"{folder} must be readable. Received: {error.strerror}.") from None
    return found


def _check_seal(folder: pathlib.Path, digests: dict[str, str]) -> None:
    """Compare the files with what was exported; an export without the list, another tool's, is taken as it is."""
    place = folder / SEAL
    if not _is_there(place):
        return
    exported = read_json(place, ExportError)
    if _GRAPH not in exported:
        raise ExportError(f"{place} must name the files of the export. Received: {reprlib.repr(exported)}.")
    for name, digest in exported.items():
        if name not in digests:
            raise ExportError(f"{folder / name} must be there, it is a file of the export. Received: none.")
        if digests[name] != digest:
            raise ExportError(f"{folder / name} must be the file that was exported. Received: another or a damaged one.")
    for name in digests:
        if name not in exported:
            raise ExportError(f"{folder / name} must not be there, it is no file of the export. Received: a file.")


def _policy(place: pathlib.Path) -> Policy:
    try:
        return Policy.from_dict(read_json(place, ExportError), str(place))
    except PolicyError as error:
        raise ExportError(str(error)) from error


def _is_there(place: pathlib.Path) -> bool:
    """Whether there is anything of this name, also what cannot be read."""
    return os.path.lexists(place)


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
