"""Documents behind a model: read whole, or refused in one line."""

import zipfile

import pytest

from tfres.deploy.runtime.attached import attach, is_attached, read_attached
from tfres.errors import ExportError

MODEL = b"\x20\0\0\0TFL3" + bytes(range(256))
DOCUMENTS = {"table.json": {"rows": []}, "classes.json": ["a"], "policy.json": None}


@pytest.fixture
def path(tmp_path):
    place = tmp_path / "1.tflite"
    place.write_bytes(attach(MODEL, DOCUMENTS))
    return place


def _rewritten(path, **texts):
    """The file with other documents behind the model; None leaves one out."""
    with zipfile.ZipFile(path) as behind:
        known = {name: behind.read(name) for name in behind.namelist()}
    path.write_bytes(MODEL)
    with zipfile.ZipFile(path, "a") as behind:
        for name, text in {**known, **{name.replace("_", "."): text for name, text in texts.items()}}.items():
            if text is not None:
                behind.writestr(name, text)


def test_what_was_attached_is_read(path):
    found = read_attached(path)
    assert found.model == MODEL and found.documents == {"table.json": {"rows": []}, "classes.json": ["a"]}
    assert found.fingerprint == read_attached(path).fingerprint


def test_a_fingerprint_is_of_all(path, tmp_path):
    other = tmp_path / "2.tflite"
    other.write_bytes(attach(MODEL, {**DOCUMENTS, "classes.json": ["b"]}))
    assert read_attached(other).fingerprint != read_attached(path).fingerprint


@pytest.mark.parametrize("length", [0, 4, 8, 100, len(MODEL), len(MODEL) + 10, -200, -23, -22, -1])
def test_a_file_that_is_cut_off(length, path):
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(ExportError, match=r"1\.tflite must (be a .tflite file|have the documents)") as caught:
        read_attached(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("place", [3, 5, 20, len(MODEL) - 1, len(MODEL) + 40, -30, -300])
def test_a_byte_that_is_another(place, path):
    content = bytearray(path.read_bytes())
    content[place] ^= 255
    path.write_bytes(content)
    with pytest.raises(ExportError, match=r"1\.tflite") as caught:
        read_attached(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"table_json": '{"rows": [1]}'}, "must hold the document table.json that was exported. Received: another"),
        ({"classes_json": None}, "must hold the document classes.json that was exported. Received: none"),
        ({"policy_json": "{}"}, "must hold the document policy.json that was exported. Received: another"),
        ({"seal_json": None}, "must have seal.json behind the model"),
        ({"seal_json": ""}, "seal.json must be a JSON document"),
        ({"seal_json": "[]"}, "seal.json must hold a mapping"),
        ({"seal_json": b"\xff\xfe"}, "seal.json must be text in UTF-8"),
        ({"seal_json": "{}"}, "must hold the model that was exported"),
    ],
)
def test_documents_of_another_file(changes, message, path):
    _rewritten(path, **changes)
    with pytest.raises(ExportError, match=message):
        read_attached(path)


def test_more_behind_the_model_does_not_matter(path):
    with zipfile.ZipFile(path, "a") as behind:
        behind.writestr("notes.txt", "x")
    assert read_attached(path).model == MODEL


def test_other_files(tmp_path):
    place = tmp_path / "x.tflite"
    with pytest.raises(ExportError, match="x.tflite is missing"):
        read_attached(place)
    with zipfile.ZipFile(place, "w") as behind:
        behind.writestr("seal.json", "{}")
    with pytest.raises(ExportError, match="must be a .tflite file"):
        read_attached(place)
    assert is_attached(place) and not is_attached(tmp_path) and not is_attached(None)
