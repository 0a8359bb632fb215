"""What a `.tflite` file of ours has behind the model: a zip with documents, as TensorFlow Lite's own metadata."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pathlib
import zipfile
from typing import TYPE_CHECKING, Any, NamedTuple

from tfres.errors import ExportError, first_line
from tfres.files import LARGEST_TEXT, parse_json, read_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping

CARD, TABLE, CLASSES, POLICY, SEAL = "README.md", "table.json", "classes.json", "policy.json", "seal.json"
SUFFIX = ".tflite"
_HOLDS = {CARD: str, TABLE: dict, CLASSES: list, POLICY: dict}
_MODEL, _MAGIC, _LARGEST = "model", b"TFL3", 2**31  # a FlatBuffer is no larger


class Attached(NamedTuple):
    """A file that was read.

    model: its bytes without the zip. documents: name -> content of those that are there. fingerprint: digest of all.
    """

    model: bytes
    documents: dict[str, Any]
    fingerprint: str


def attach(model: bytes, documents: Mapping[str, Any]) -> bytes:
    """The model with documents behind it, and a seal by which damage and mix-ups are found.

    Args:
        model: content of a `.tflite` file.
        documents: name -> what JSON can hold, or of the card a text; None for none.
    """
    texts = {
        name: value if _HOLDS.get(name) is str else json.dumps(value, indent=1, allow_nan=False)
        for name, value in documents.items()
        if value is not None
    }
    seal = {_MODEL: _digest(model), **{name: _digest(text.encode()) for name, text in texts.items()}}
    file = io.BytesIO(model)
    with zipfile.ZipFile(file, "a") as behind:
        for name, text in {**texts, SEAL: json.dumps(seal, indent=1)}.items():
            behind.writestr(zipfile.ZipInfo(name), text, zipfile.ZIP_DEFLATED)
    return file.getvalue()


def read_attached(path: str | os.PathLike) -> Attached:
    """Read and check a file of `attach`.

    Raises:
        ExportError: it is none, it is cut off or damaged, or a document is another file's.
    """
    content = read_bytes(path, ExportError, _LARGEST)
    if content[4:8] != _MAGIC:
        raise ExportError(f"{path} must be a {SUFFIX} file. Received: one of another kind.")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as behind:
            entries = {entry.filename: entry for entry in behind.infolist()}
            if not entries or SEAL not in entries:
                raise ExportError(f"{path} must have {SEAL} behind the model, as exports have. Received: none.")
            large = [name for name, entry in entries.items() if entry.file_size > LARGEST_TEXT]
            if large:
                raise ExportError(f"{path}: {large[0]} must have at most {LARGEST_TEXT} bytes. Received: more.")
            start = min(entry.header_offset for entry in entries.values())
            texts = {name: behind.read(name) for name in (*_HOLDS, SEAL) if name in entries}
    except ExportError:
        raise
    except Exception as error:  # zipfile's errors of damaged archives are of many kinds
        wanted = f"{path} must have the documents of an export behind the model, whole."
        raise ExportError(f"{wanted} Received: {first_line(error)}") from None
    model = content[:start]
    _check_seal(path, parse_json(_decoded(path, SEAL, texts.pop(SEAL)), f"{path}: {SEAL}", ExportError), model, texts)
    documents = {name: _decoded(path, name, text) for name, text in texts.items()}
    for name, text in documents.items():
        if _HOLDS[name] is not str:
            documents[name] = parse_json(text, f"{path}: {name}", ExportError, _HOLDS[name])
    return Attached(model, documents, _digest(content))


def is_attached(path: object) -> bool:
    """Whether a path is that of a file, not of a folder."""
    try:
        return pathlib.Path(path).suffix == SUFFIX and not os.path.isdir(path)
    except (TypeError, ValueError, OSError):
        return False


def _check_seal(path: str | os.PathLike, seal: dict, model: bytes, texts: Mapping[str, bytes]) -> None:
    found = {_MODEL: _digest(model), **{name: _digest(text) for name, text in texts.items()}}
    for name in {**seal, **found}:
        if seal.get(name) != found.get(name):
            what = f"{path} must hold the {name if name == _MODEL else f'document {name}'} that was exported"
            raise ExportError(f"{what}. Received: {'another or a damaged one' if name in found else 'none'}.")


def _decoded(path: str | os.PathLike, name: str, text: bytes) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError:
        raise ExportError(f"{path}: {name} must be text in UTF-8.") from None


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
