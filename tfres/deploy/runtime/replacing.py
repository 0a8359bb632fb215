"""Another query table in an export that is there: whole or not at all, and sealed."""

from __future__ import annotations

import os
import pathlib
import tempfile
from typing import TYPE_CHECKING

from tfres import table as tables
from tfres.deploy.runtime import attached, files
from tfres.errors import ExportError
from tfres.files import atomic_path, read_json, write_json

if TYPE_CHECKING:
    from collections.abc import Callable

_TEMPORARY = ".table-"


def replace_table(path: str | os.PathLike, change: Callable[[dict | None], dict], fingerprint: str | None = None) -> None:
    """Replace the query table of an export.

    At every moment the export is whole: with the old table or with the new one, whatever happens to this process. (Who loads
    it in that very moment may be told that a file is another one.)

    Args:
        path: folder of the version or `.tflite` file.
        change: from the table, or None, to the new one.
        fingerprint: of the export as it was read; None for whatever it is.

    Raises:
        ExportError: no export, or another one than the fingerprint's. ValueError: the new table is none. OSError: it cannot be
            written. Nothing is changed then.
    """
    if attached.is_attached(path):
        _in_file(pathlib.Path(path), change, fingerprint)
    else:
        _in_folder(files.checked_folder(path), change, fingerprint)


def _in_file(path: pathlib.Path, change: Callable[[dict | None], dict], fingerprint: str | None) -> None:
    model, documents, found = attached.read_attached(path)
    _check(path, found, fingerprint)
    table = change(documents.get(attached.TABLE))
    tables.check(table)
    content = attached.attach(model, {**documents, attached.TABLE: table})
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def _in_folder(folder: pathlib.Path, change: Callable[[dict | None], dict], fingerprint: str | None) -> None:
    digests = files.read_digests(folder)
    _check(folder, files.fingerprint(digests), fingerprint)
    place = folder / files.TABLE
    table = change(read_json(place, ExportError) if files.TABLE in digests else None)
    tables.check(table)
    (folder / files.TABLE).parent.mkdir(exist_ok=True)
    # Beside the versions: what a process that was killed leaves there is no file of the export.
    with tempfile.TemporaryDirectory(prefix=_TEMPORARY, dir=folder.parent) as temporary:
        made = pathlib.Path(temporary) / "table.json"
        write_json(made, table)
        new = {**digests, files.TABLE: files.digest(made)}
        both = {name: [*dict.fromkeys([digests.get(name), digest])] for name, digest in new.items()}
        seals = [pathlib.Path(temporary) / name for name in ("between.json", "after.json")]
        write_json(seals[0], {name: one if len(one) > 1 else one[0] for name, one in both.items()})
        write_json(seals[1], new)
        seals[0].replace(folder / files.SEAL)
        made.replace(place)
        seals[1].replace(folder / files.SEAL)


def _check(path: pathlib.Path, found: str, fingerprint: str | None) -> None:
    if fingerprint not in (None, found):
        raise ExportError(f"{path} must be the export that was measured. Received: it was changed since.")
