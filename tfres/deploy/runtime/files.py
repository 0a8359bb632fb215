"""The files of an export, read at one place: each fault is one `ExportError` in one line that names the file."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import pathlib
import reprlib
from typing import TYPE_CHECKING

from tfres import table as tables
from tfres.deploy.runtime import attached
from tfres.errors import ExportError
from tfres.files import read_json, write_json
from tfres.policies import Policy, PolicyError

if TYPE_CHECKING:
    from tfres.deploy.runtime.backend import Backend

TABLE, CLASSES, POLICY = "assets/table.json", "assets/classes.json", "assets/policy.json"
CARD = attached.CARD
# SavedModel's own place for what its loader does not read.
SEAL, WARMUP = "assets.extra/files.json", "assets.extra/tf_serving_warmup_requests"
GRAPH, PREFIX = "saved_model.pb", "serve_"


@dataclasses.dataclass(frozen=True, eq=False)
class Export:
    """An export that was read.

    Args:
        path: folder of the version, or the `.tflite` file.
        backend: runs the signatures.
        table: query table, or None.
        table_place: where the table is, for messages.
        classes: their names, or None.
        policy: default of early exit, or None without that; it names the network's exits and weights.
        fingerprint: digest of all files.
    """

    path: pathlib.Path
    backend: Backend
    table: dict | None
    table_place: str
    classes: list[str] | None
    policy: Policy | None
    fingerprint: str

    @property
    def settings(self) -> set[str]:
        """What signatures of pictures are of, such as the printed forms of settings."""
        names = [name for name in self.backend.signatures if self.backend.takes_pictures(name)]
        return {name.removeprefix(PREFIX) for name in names}


def open_export(path: str | os.PathLike, threads: int | None = None) -> Export:
    """Read and check the folder of an export's version, which loads TensorFlow, or a `.tflite` file, which does not.

    Args:
        path: of the folder or file.
        threads: that one operation may use; None for all cores, and for what TensorFlow was told.

    Raises:
        ExportError: it is none, or one of its files is missing, damaged, another export's or was added; or TensorFlow is
            already running with another number of threads.
    """
    return _open_file(path, threads) if attached.is_attached(path) else _open_folder(path, threads)


def _open_file(path: str | os.PathLike, threads: int | None) -> Export:
    model, documents, fingerprint = attached.read_attached(path)
    places = {name: f"{path}: {name}" for name in (attached.TABLE, attached.CLASSES, attached.POLICY)}
    table, classes = documents.get(attached.TABLE), documents.get(attached.CLASSES)
    policy = documents.get(attached.POLICY)
    if table is not None:
        tables.checked(table, places[attached.TABLE], ExportError)
    if classes is not None:
        check_classes(classes, places[attached.CLASSES])
    if policy is not None:
        policy = _policy(policy, places[attached.POLICY])
    from tfres.deploy.runtime.litert import LiteRTBackend

    backend = LiteRTBackend(model, path, threads)
    export = Export(pathlib.Path(path), backend, table, places[attached.TABLE], classes, policy, fingerprint)
    return _with_signatures(export, str(path))


def _open_folder(path: str | os.PathLike, threads: int | None) -> Export:
    folder = checked_folder(path)
    digests = read_digests(folder)
    table = tables.read(folder / TABLE, ExportError) if _is_there(folder / TABLE) else None
    classes, policy = None, None
    if _is_there(folder / CLASSES):
        classes = check_classes(read_json(folder / CLASSES, ExportError, holds=list), str(folder / CLASSES))
    if _is_there(folder / POLICY):
        policy = _policy(read_json(folder / POLICY, ExportError), str(folder / POLICY))
    from tfres.deploy.runtime.savedmodel import SavedModelBackend

    backend = SavedModelBackend(folder, threads)
    export = Export(folder, backend, table, str(folder / TABLE), classes, policy, fingerprint(digests))
    return _with_signatures(export, str(folder / GRAPH))


def _with_signatures(export: Export, place: str) -> Export:
    if not export.settings:
        raise ExportError(f"{place} must have a signature {PREFIX}SETTING of uint8 pictures. Received: none.")
    return export


def seal(folder: pathlib.Path) -> None:
    """Write down the digests of an export's files, by which damage and mix-ups are found when it is read."""
    write_json(folder / SEAL, _digests(folder))


def checked_folder(path: object) -> pathlib.Path:
    """The path of a folder that looks like an export's.

    Raises:
        ExportError: another one.
    """
    try:
        folder = pathlib.Path(path)
        known = (folder / GRAPH).is_file()
    except (TypeError, ValueError, OSError):
        known = False
    if not known:
        raise ExportError(
            f"`path` must be the folder of an export (out/NAME/VERSION) or its {attached.SUFFIX} file. Received: path={path}."
        )
    return folder


def read_digests(folder: pathlib.Path) -> dict[str, str]:
    """Name of each file of an export, its list of digests aside -> SHA-256; they are those of the list, if there is one.

    Raises:
        ExportError: a file is missing, damaged, another export's or was added.
    """
    digests = _digests(folder)
    _check_seal(folder, digests)
    return digests


def fingerprint(digests: dict[str, str]) -> str:
    """Digest of all files of an export."""
    return hashlib.sha256(json.dumps(digests).encode()).hexdigest()


def digest(place: pathlib.Path) -> str:
    """SHA-256 of a file."""
    with open(place, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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
            digests[place.relative_to(folder).as_posix()] = digest(place)
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
    if GRAPH not in exported:
        raise ExportError(f"{place} must name the files of the export. Received: {reprlib.repr(exported)}.")
    for name, known in exported.items():
        if digests.get(name) in (known if isinstance(known, list) else [known]):  # two while a table is replaced
            continue
        if name not in digests:
            raise ExportError(f"{folder / name} must be there, it is a file of the export. Received: none.")
        raise ExportError(f"{folder / name} must be the file that was exported. Received: another or a damaged one.")
    for name in digests:
        if name not in exported:
            raise ExportError(f"{folder / name} must not be there, it is no file of the export. Received: a file.")


def _policy(values: object, place: str) -> Policy:
    try:
        return Policy.from_dict(values, place)
    except PolicyError as error:
        raise ExportError(str(error)) from error


def _is_there(place: pathlib.Path) -> bool:
    """Whether there is anything of this name, also what cannot be read."""
    return os.path.lexists(place)
