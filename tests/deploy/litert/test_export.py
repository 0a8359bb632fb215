"""What a LiteRT file holds and how it is written, with a network of one convolution."""

import json
import os
import pathlib
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import tensorflow as tf

from tests.deploy import fakes
from tests.deploy.litert.files import opened, pictures
from tfres.deploy import export_litert, export_savedmodel
from tfres.deploy.forms import export
from tfres.deploy.runtime.attached import read_attached
from tfres.errors import ExportError, UsageError

PICTURES = [np.zeros([1, 16, 16, 3], np.uint8)]
SNAPPED = {"rows": [{"setting": "r16", "top1": 0.5, "form": "snapped"}]}


def _export(folder, network=None, task=None, name="net", **options):
    return export_litert(network or fakes.AnySideNetwork(), task or fakes.Task(), folder, name, **options)


def test_signatures_give_the_networks_outputs(tmp_path, rng):
    network, task, images = fakes.AnySideNetwork(), fakes.Task(), pictures(rng, 2, 18, 20)
    signatures = opened(_export(tmp_path, network))
    assert {*signatures} == {"serve_r16", "serve_r12", "serve_any"}
    for setting in network.settings:
        expected = network.run(task.resized(images, network.input_size(setting)), network.at(setting))
        np.testing.assert_allclose(signatures[f"serve_{setting}"](images=images)["logits"], expected, rtol=1e-5, atol=1e-6)
    expected = network.run(task.normalised(images[:, :14, :14]), network.shares(14))
    found = signatures["serve_any"](images=images[:, :14, :14])
    np.testing.assert_allclose(found["logits"], expected, rtol=1e-4, atol=1e-6)


def test_documents_are_behind_the_model(tmp_path):
    known = fakes.table("r16", "r12")
    with zipfile.ZipFile(_export(tmp_path, table=known, classes=tuple("abcde"))) as behind:
        assert {*behind.namelist()} == {"README.md", "table.json", "classes.json", "seal.json"}
        assert json.loads(behind.read("table.json")) == known and json.loads(behind.read("classes.json")) == list("abcde")
    with zipfile.ZipFile(_export(tmp_path)) as behind:
        assert {*behind.namelist()} == {"README.md", "seal.json"}


def test_the_card_is_behind_the_model(tmp_path):
    about = {"Data": "some pictures", "Licence": "CC BY 4.0"}
    path = _export(tmp_path, table=fakes.table("r16", "r12"), classes=list("abcde"), precision="float16", about=about)
    with zipfile.ZipFile(path) as behind:
        text = behind.read("README.md").decode()
    for part in (
        "# net\n",
        "- Data: some pictures\n",
        "- Form: LiteRT file, float16\n",
        "5 classes (`classes.json`)",
        "- Licence of the weights: CC BY 4.0",
        "| r16 | 16 x 16 | 0.2000 |",
        "The whole table is in `table.json`.",
        "| `serve_any` | `images` uint8 (?, ?, ?, 3) | `class` int64 (?), `logits` float32 (?, 5), ",
        'net.get_signature_runner("serve_r16")(images=pictures)  # class, logits, probabilities',
    ):
        assert part in text, part
    assert "saved_model" not in text and "assets" not in text
    assert read_attached(path).documents["README.md"] == text


def test_files_and_folders_are_versions_of_one_model(tmp_path):
    assert _export(tmp_path).name == "1.tflite"
    assert export_savedmodel(fakes.Network(), fakes.Task(), tmp_path, "net").name == "2"
    assert _export(tmp_path, settings=[12]).name == "3.tflite"
    assert {path.name for path in (tmp_path / "net").iterdir()} == {"1.tflite", "2", "3.tflite"}


@pytest.mark.parametrize("first", [export_litert, export_savedmodel])
def test_a_version_taken_meanwhile_is_not_touched(first, tmp_path, monkeypatch):
    first = first(fakes.Network(), fakes.Task(), tmp_path, "net")
    listed, seen = pathlib.Path.iterdir, []
    files = {path: path.read_bytes() for path in [first, *first.rglob("*")] if path.is_file()}

    def late(self):  # the first look does not see version 1
        seen.append(self)
        return iter(()) if len(seen) == 1 else listed(self)

    monkeypatch.setattr(pathlib.Path, "iterdir", late)
    assert _export(tmp_path).name == "2.tflite" and len(seen) == 2
    assert {path: path.read_bytes() for path in files} == files
    assert {path.name for path in listed(tmp_path / "net")} == {first.name, "2.tflite"}


def test_a_number_that_another_process_is_at_is_left_to_it(tmp_path):
    (tmp_path / "net" / ".export-1").mkdir(parents=True)
    assert _export(tmp_path).name == "2.tflite"
    assert {path.name for path in (tmp_path / "net").iterdir()} == {".export-1", "2.tflite"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": "int4"}, "`precision` must be one of float, float16, int8, int8-full. Received: precision='int4'"),
        ({"precision": None}, "`precision` must be one of float, float16, int8, int8-full. Received: precision=None"),
        ({"settings": [50]}, "`setting` must be one of r16, r12"),
        ({"settings": []}, "`settings` must name a setting"),
        ({"classes": [1, 2]}, "`classes` must be a list of names"),
        ({"about": {"Data": 1}}, "`about` must be a mapping of headings to texts"),
        ({"table": []}, "`table` must be a mapping with a list of `rows`"),
        ({"table": {"rows": [{"setting": "r16", "top1": float("nan")}]}}, "`top1` of the row r16 must be a finite number"),
        (
            {"table": SNAPPED},
            "`table` must have the top1 of the network itself, .* that of the snapped network in the row r16",
        ),
        ({"precision": "int8", "table": SNAPPED}, "`table` must have the top1 of the network itself"),
        ({"calibration": PICTURES}, "`calibration` is for precision int8-full only. Received: some with precision float"),
        ({"precision": "int8-full"}, "`calibration` must give batches of pictures, .* Received: None"),
        ({"precision": "int8-full", "calibration": []}, "`calibration` must give batches of pictures, .*Received: \\[\\]"),
        ({"precision": "int8-full", "calibration": [PICTURES[0][0]]}, "`calibration` must give batches of pictures"),
        ({"precision": "int8-full", "calibration": [PICTURES[0][:0]]}, "`calibration` must give batches of pictures"),
        ({"precision": "int8-full", "calibration": [PICTURES[0] / 1]}, "`calibration` must give batches of pictures"),
        ({"precision": "int8-full", "calibration": [{16: PICTURES[0]}]}, "or a mapping of the sizes 16, 12 to such"),
        ({"name": "a/b"}, "`name` must be a name of letters"),
    ],
)
def test_wrong_arguments_write_nothing(options, message, tmp_path):
    with pytest.raises(ValueError, match=message) as caught:
        _export(tmp_path, **options)
    assert "\n" not in str(caught.value) and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"form": "onnx"}, "`form` must be one of shared, separate, litert. Received: form='onnx'"),
        ({"precision": "int8"}, "`precision` is for form litert only. Received: precision=int8, form=shared"),
        ({"form": "litert", "packed": True}, "`packed` is for forms shared and separate. Received: packed=True, form=litert"),
    ],
)
def test_forms_that_are_refused(options, message, tmp_path):
    with pytest.raises(ExportError, match=message):
        export(fakes.Network(), fakes.Task(), tmp_path, "net", **options)
    assert list(tmp_path.iterdir()) == []


def test_forms(tmp_path):
    assert export(fakes.Network(), fakes.Task(), tmp_path, "net", form="litert", precision="float16").suffix == ".tflite"
    assert (export(fakes.Network(), fakes.Task(), tmp_path, "net") / "saved_model.pb").is_file()


def test_a_network_that_litert_cannot_express(tmp_path):
    class Strange(fakes.Network):
        def run(self, images, at):
            outputs = super().run(images, at)
            return tf.linalg.det(tf.stack([outputs] * 5, 1))[:, None] * outputs

        def materialize(self, setting):
            return self

    with pytest.raises(ExportError, match="LiteRT must have all operations.*: MatrixDeterminant.") as caught:
        _export(tmp_path, Strange([16]))
    assert "\n" not in str(caught.value) and list(tmp_path.iterdir()) == []


def test_out_is_a_file(tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(UsageError, match="`out` must be a folder. Received: .*out"):
        _export(tmp_path / "out")


_FULL = """
import os, resource, sys
from tests.deploy import fakes
from tfres.deploy import versions, export_litert
def limit():
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
limited = versions.add_version
def add_version(*args):
    limit()
    return limited(*args)
from tfres.deploy.litert import export
export.add_version = add_version
if sys.argv[2] == "conversion":
    limit()
try:
    export_litert(fakes.Network([16]), fakes.Task(), sys.argv[1], "net")
except OSError as error:
    print(error)
"""


@pytest.mark.parametrize("during", ["conversion", "writing"])
def test_a_full_disk_is_one_line_and_leaves_nothing(during, tmp_path):
    root = str(pathlib.Path(__file__).parents[3])
    command = [sys.executable, "-c", _FULL, str(tmp_path), during]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=root, env={**os.environ})
    assert done.returncode == 0, done.stderr
    lines = done.stdout.strip().splitlines()
    assert len(lines) == 1 and "cannot be written" in lines[0]
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
