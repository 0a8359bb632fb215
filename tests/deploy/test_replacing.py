"""Another query table in an export: whole or not at all, and sealed."""

import json
import os
import pathlib
import shutil

import pytest

from tests.deploy import fakes
from tfres.deploy import export_litert, export_savedmodel
from tfres.deploy.runtime.files import SEAL, open_export
from tfres.deploy.runtime.replacing import replace_table
from tfres.errors import ExportError


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    out = tmp_path_factory.mktemp("exports")
    for export in (export_savedmodel, export_litert):
        export(fakes.Network(), fakes.Task(), out, "net", table=fakes.table("r16", "r12"))
    export_savedmodel(fakes.Network(), fakes.Task(), out, "net")
    return out / "net"


@pytest.fixture(params=["1", "2.tflite", "3"])
def path(request, made, tmp_path):
    whole = made / request.param
    return pathlib.Path((shutil.copytree if whole.is_dir() else shutil.copy)(whole, tmp_path / request.param))


def _new(table):
    return {**(table or {"rows": []}), "note": "new"}


def test_the_table_is_another_and_the_export_whole(path):
    before = open_export(path)
    replace_table(path, _new, before.fingerprint)
    after = open_export(path)
    assert after.table == _new(before.table) and after.fingerprint != before.fingerprint
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    if path.is_dir():
        assert all(isinstance(digest, str) for digest in json.loads((path / SEAL).read_text()).values())


@pytest.mark.parametrize("step", range(4))
def test_whatever_happens_meanwhile(step, path, monkeypatch):
    """After any number of renames, the process being gone, there is a whole export: the old one, then the new one."""
    before, left, replace = open_export(path), iter(range(step)), os.replace

    def replaced(source, target, *_, **__):
        inside = pathlib.Path(target).is_relative_to(path)
        if inside and next(left, None) is None:
            raise OSError(28, "No space left on device", str(target))
        return replace(source, target)

    monkeypatch.setattr(pathlib.Path, "replace", replaced)
    renames = 3 if path.is_dir() else 1
    if step < renames:
        with pytest.raises(OSError, match="No space left"):
            replace_table(path, _new)
    else:
        replace_table(path, _new)
    monkeypatch.undo()
    table = open_export(path).table
    assert table == (before.table if step < min(renames, 2) else _new(before.table))
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    replace_table(path, lambda table: {**_new(table), "note": "newest"})  # goes on from there
    assert open_export(path).table["note"] == "newest"


@pytest.mark.parametrize(
    ("change", "kind"), [(lambda _: {"rows": 3}, ValueError), (lambda table: {**_new(table), "x": float("nan")}, ValueError)]
)
def test_what_is_no_table(change, kind, path):
    before = open_export(path).fingerprint
    with pytest.raises(kind):
        replace_table(path, change)
    assert open_export(path).fingerprint == before


def test_another_export(path):
    with pytest.raises(ExportError, match="must be the export that was measured. Received: it was changed since"):
        replace_table(path, _new, "0" * 64)
    with pytest.raises(ExportError, match="must be the folder of an export"):
        replace_table(path.parent, _new)


def test_two_digests_are_for_two_tables_only(made, tmp_path):
    """A file that is neither of the two is damaged all the same."""
    folder = pathlib.Path(shutil.copytree(made / "1", tmp_path / "1"))
    seal = json.loads((folder / SEAL).read_text())
    (folder / SEAL).write_text(json.dumps({**seal, "assets/table.json": ["0", "1"]}))
    with pytest.raises(ExportError, match=r"table.json must be the file that was exported. Received: another"):
        open_export(folder)
