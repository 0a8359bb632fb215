"""`calibrated.npz`: what is private to settings that were calibrated after training, for one checkpoint."""

from __future__ import annotations

import json
import logging
import pathlib
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np

from tfres.errors import RunError, first_line
from tfres.files import atomic_path
from tfres.settings import Private, Setting

if TYPE_CHECKING:
    from collections.abc import Mapping

logger = logging.getLogger(__name__)


def parsed(values: Mapping[Setting | int | str, Private]) -> dict[Setting, Private]:
    """The mapping by settings."""
    return {Setting.parse(key): private for key, private in values.items()}


def write(path: pathlib.Path, checkpoint: str, values: Mapping[Setting, Private]) -> None:
    """Write what is private to settings. Entries: `SETTING:variable` -> array, `SETTING:` -> options as JSON.

    Raises:
        ValueError: values that are not finite numbers, or options that JSON does not hold; nothing is written.
    """
    arrays = {}
    for setting, private in values.items():
        for name, value in private.values.items():
            arrays[f"{setting}:{name}"] = _finite(np.asarray(value), f"`{name}` of {setting}", ValueError)
        arrays[f"{setting}:"] = np.array(json.dumps(private.options, allow_nan=False))
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, checkpoint=np.array(checkpoint), **arrays)


def read(path: pathlib.Path, checkpoint: str) -> dict[Setting, Private]:
    """Setting -> `Private`; empty, with a warning, where the file is for another checkpoint.

    Raises:
        RunError: a damaged or foreign file, or values that are not finite numbers.
    """
    arrays = _arrays(path)
    made_for = arrays.pop("checkpoint", None)
    if made_for is None or made_for.shape or made_for.dtype.kind != "U":
        raise RunError(f"{path} must name the checkpoint that it was calibrated for; it is not a file of tfres.")
    if str(made_for) != checkpoint:
        logger.warning("%s is for checkpoint %s, not %s: not used.", path, made_for, checkpoint)
        return {}
    found: dict[Setting, Private] = {}
    for key, array in arrays.items():
        text, colon, name = key.partition(":")
        try:
            private = found.setdefault(Setting.parse(text if colon else ""), Private({}, {}))
        except ValueError as error:
            raise RunError(f"{path} has an entry that is none of tfres: {key[:80]!r}.") from error
        if name:
            private.values[name] = _finite(array, f"`{name}` of {text} in {path}", RunError)
        else:
            private.options.update(_options(path, array))
    return found


def _arrays(path: pathlib.Path) -> dict[str, np.ndarray]:
    """All arrays of the file, none of them by pickle or larger than the file."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
                raise ValueError("it is compressed")
            if sum(entry.file_size for entry in entries) > path.stat().st_size:
                raise ValueError("its entries are larger than the file")
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except FileNotFoundError as error:
        raise RunError(f"{path} is missing.") from error
    except (
        OSError,
        zipfile.BadZipFile,
        ValueError,
        EOFError,
        KeyError,
        MemoryError,
        NotImplementedError,
        SyntaxError,
    ) as error:
        told = f"{path} must be an archive of arrays that tfres wrote: {first_line(error)}."
        raise RunError(f"{told} Remove it and calibrate again.") from error


def _options(path: pathlib.Path, array: np.ndarray) -> dict[str, Any]:
    try:
        options = json.loads(str(array)) if array.dtype.kind == "U" and not array.shape else None
    except (ValueError, RecursionError):
        options = None
    if not isinstance(options, dict):
        raise RunError(f"{path} has options of a setting that are no mapping: {str(array)[:80]!r}.")
    return options


def _finite(array: np.ndarray, name: str, kind: type[Exception]) -> np.ndarray:
    if array.dtype.kind not in "fiu" or not np.isfinite(array).all():
        raise kind(f"{name} must hold finite numbers only.")
    return array
