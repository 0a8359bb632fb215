"""The model that meets a budget: exports made here of a tf.Module each, without network code."""

import copy
import json
import logging
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from tests.deploy import budgets, fakes
from tests.deploy.budgets import PICTURES, SHAPE
from tfres import adapt, table
from tfres.deploy.runtime import AdaptiveModel, Answer, times
from tfres.deploy.runtime.files import open_export
from tfres.errors import ExportError, UsageError

CIRCUMSTANCES = {"export": "x", "shape": [1, 16, 16]}


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    return budgets.make_export(tmp_path_factory.mktemp("exports") / "net", fakes.table("r16", "r12", "r8"), list("abcde"))


@pytest.fixture
def opened(exported, tmp_path):
    return AdaptiveModel(exported, cache=tmp_path / "cache", measure_seconds=0.1)


@pytest.mark.usefixtures("settings_alone")
def test_budgets(opened, exported, monkeypatch):
    measured = opened.measure(SHAPE)
    (kept,) = (opened.cache / "latency").iterdir()
    assert {*json.loads(kept.read_text())["ms"]} == {*measured} == {"r16", "r12", "r8"}
    assert opened.measure() == measured and opened.largest == (16, 16)
    monkeypatch.setattr(times, "taken", lambda *_: pytest.fail("measured again"))
    assert AdaptiveModel(exported, cache=opened.cache).measure(SHAPE) == pytest.approx(measured)
    fastest = min(measured, key=measured.get)
    assert opened.choose(measured[fastest], SHAPE)["setting"] == fastest
    assert opened.predict(PICTURES, budget_ms=1e6).setting == opened.predict(PICTURES).setting == "r16"
    assert opened.predict(PICTURES, setting="r8").setting == "r8"


def test_budgets_that_are_missed(opened):
    fastest = opened.choose(1e-6, SHAPE, on_miss="cheapest")
    assert fastest["ms"] == min(opened._runner.times(SHAPE)[0].values()) > 1e-6
    answer = opened.predict(PICTURES, budget_ms=1e-6, on_miss="cheapest")
    assert answer.ms > 1e-6 and answer.logits.shape == (1, 5)
    for ask in (lambda: opened.predict(PICTURES, budget_ms=1e-6), lambda: opened.choose(1e-6, SHAPE)):
        with pytest.raises(table.BudgetError, match="must be at least .* ms, what r[0-9]* costs. Received: 1e-06 ms"):
            ask()
    assert opened.predict(PICTURES, budget_ms=1e6, on_miss="cheapest").setting == "r16"
    for wrong in ("fastest", None, ["error"]):
        with pytest.raises(ValueError, match="`on_miss` must be one of error, cheapest. Received: on_miss="):
            opened.choose(3, SHAPE, on_miss=wrong)
    for options in ({}, {"setting": "r8"}):
        with pytest.raises(ValueError, match="`on_miss` must come with `budget_ms`. Received: on_miss='cheapest' alone"):
            opened.predict(PICTURES, on_miss="cheapest", **options)
    with pytest.raises(ValueError, match="Give `setting` alone. Received: budget_ms=3"):
        opened.predict(PICTURES, budget_ms=3, setting="r8")


def test_answers(opened):
    answer = opened.predict(PICTURES + 1, setting="r12")
    assert isinstance(answer, Answer) and answer.ms > 0 and opened.names == list("abcde")
    np.testing.assert_array_equal(answer.logits, [[1] * 5])
    np.testing.assert_array_equal(answer.classes, answer.outputs["class"])
    assert answer.probabilities.shape == (1, 5) and copy.copy(answer).setting == "r12"
    with pytest.raises(AttributeError, match="Received: masks"):
        _ = answer.masks


def test_the_tables_own_figure_of_merit(tmp_path):
    path = budgets.make_export(tmp_path / "net", fakes.table("r16", "r12", score="miou"))
    model = AdaptiveModel(path, cache=tmp_path / "cache", measure_seconds=0.1)
    assert model.score == "miou" and model.names is None
    assert model.predict(PICTURES).setting == model.predict(PICTURES, budget_ms=1e6).setting == "r16"


@pytest.mark.parametrize(
    "images",
    [
        None,
        "picture",
        [[1], [1, 2]],
        PICTURES.astype("f"),
        PICTURES.astype(np.int64),
        PICTURES[0],
        PICTURES[..., :1],
        PICTURES[:0],
        PICTURES[:, :0],
        PICTURES[:, :, :0],
        [PICTURES[0], PICTURES[0, :8]],
        tf.ragged.constant([[[[1]]]], dtype=tf.uint8),
        {"images": 1},
        [10**30],
    ],
)
def test_other_pictures(images, opened):
    for options in ({}, {"setting": "r16"}, {"budget_ms": 1e6}):
        with pytest.raises(ValueError, match=r"`images` must be uint8 \(batch, height, width, 3\).* Received: "):
            opened.predict(images, **options)


@pytest.mark.parametrize("budget", [float("nan"), float("inf"), -1, 0, "12", True, 10**400, [1], np.nan])
def test_budgets_that_are_none(budget, opened):
    with pytest.raises(ValueError, match="`budget_ms` must be a positive number of milliseconds. Received: budget_ms="):
        opened.predict(PICTURES, budget_ms=budget)


@pytest.mark.parametrize("setting", ["r99", "any", "encoded", "ing_default", 16, ""])
def test_settings_that_are_none(setting, opened):
    with pytest.raises(ValueError, match="`setting` must be one of r8, r12, r16. Received: setting="):
        opened.predict(PICTURES, setting=setting)


@pytest.mark.parametrize("shape", [(1, 16), (0, 16, 16), (1, -1, 16), (1, 1.5, 16), "abc", (1, 2, "x"), 3, (1, 2, 3, 4)])
def test_shapes_that_are_none(shape, opened):
    with pytest.raises(ValueError, match=r"`shape` must be \(batch, height, width\), all positive. Received: shape="):
        opened.measure(shape)


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), "2"])
def test_measure_seconds(seconds, exported):
    with pytest.raises(ValueError, match="`measure_seconds` must be a positive number. Received: "):
        AdaptiveModel(exported, measure_seconds=seconds)


def test_times_belong_to_export_machine_devices_threads_and_shape(tmp_path, exported, monkeypatch):
    known = times.circumstances("x", SHAPE)
    assert {"export", "machine", "devices", "threads", "shape"} <= set(known)
    assert times.circumstances("x", SHAPE) == known
    assert times.circumstances("y", SHAPE) != known and times.circumstances("x", (2, 16, 16)) != known
    device = type("Device", (), {"name": "/physical_device:GPU:0", "device_type": "GPU"})
    with monkeypatch.context() as patched:
        patched.setattr(tf.config, "get_visible_devices", lambda: [device])
        patched.setattr(tf.config.experimental, "get_device_details", lambda _: {"device_name": "a card"})
        assert times.circumstances("x", SHAPE)["devices"] == ["/physical_device:GPU:0 a card"]
    with monkeypatch.context() as patched:
        patched.setattr(os, "sched_getaffinity", lambda _: {0})
        assert times.circumstances("x", SHAPE) != known or len(os.sched_getaffinity(0)) == 1
    monkeypatch.setattr(times, "machine", lambda: "another")
    assert times.circumstances("x", SHAPE) != known
    other = budgets.make_export(tmp_path / "net", fakes.table("r16", "r12", "r8"), list("abcde"), value=2.0)
    assert open_export(other).fingerprint != open_export(exported).fingerprint


def _kept(ms=(), ratios=(), **more):
    return json.dumps({**CIRCUMSTANCES, "ms": dict(ms), "ratios": ratios and dict(ratios), **more}).encode()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe\x00binary",
        b"text",
        b"[1]",
        b"{}",
        b'{"ms": 3}',
        b"[" * 100_000,
        b'{"ms": {"a": [1.0]}}',
        _kept(),
        _kept(ms={"c": [1.0]}),
        _kept(ms={"a": 1.0}),
        _kept(ms={"a": []}),
        _kept(ms={"a": [1.0], "b": ["fast"]}),
        _kept(ms={"a": [float("nan")]}),
        _kept(ms={"a": [-1.0]}),
        _kept(ms={"a": [True]}),
        _kept(ms={"a": [1.0]}, ratios=None),
        _kept(ms={"a": [1.0]}, ratios={"a": [0.0]}),
        _kept(ms={"a": [1.0]}, export="y"),
        _kept(ms={"a": [1.0]}, more=1),
    ],
)
def test_a_cache_file_that_cannot_be_used(content, tmp_path, caplog):
    state = {"ms": {"a": [1.0, 2.0], "b": [2.0]}, "ratios": {"a": [1.0], "b": []}}
    assert times.read(tmp_path, CIRCUMSTANCES, "abc") is None and not caplog.records
    assert times.write(tmp_path, CIRCUMSTANCES, state)
    assert times.read(tmp_path, CIRCUMSTANCES, "abc") == state and not caplog.records
    (place,) = (tmp_path / "latency").iterdir()
    place.write_bytes(content)
    assert times.read(tmp_path, CIRCUMSTANCES, "ab") is None
    (record,) = caplog.records
    assert str(place) in record.getMessage() and "measured again" in record.getMessage()
    assert times.write(tmp_path, CIRCUMSTANCES, state) and times.read(tmp_path, CIRCUMSTANCES, "ab")


def _blocked(folder, kind):
    """A cache that cannot be written, or read."""
    if kind == "file":
        folder.write_text("")
    elif kind == "latency is a file":
        folder.mkdir()
        (folder / "latency").write_text("")
    elif kind == "broken link":
        folder.symlink_to("nowhere/at/all")
    else:
        folder.mkdir()
        (folder / "latency").mkdir()
        place = times._place(folder, times.circumstances("f", SHAPE))
        if kind == "folder":
            (place / "x").mkdir(parents=True)
        elif kind == "pipe":
            os.mkfifo(place)
        elif kind == "link to itself":
            place.symlink_to(place.name)


@pytest.mark.parametrize("kind", ["file", "latency is a file", "broken link", "folder", "pipe", "link to itself"])
def test_a_cache_that_cannot_be_used_costs_a_line_in_the_log(kind, exported, tmp_path, caplog, monkeypatch):
    _blocked(tmp_path / "cache", kind)
    model = AdaptiveModel(exported, cache=tmp_path / "cache", measure_seconds=0.05)
    fixed = times.circumstances("f", SHAPE)
    monkeypatch.setattr(times, "circumstances", lambda *_: fixed)
    with caplog.at_level(logging.WARNING):
        assert set(model.measure(SHAPE)) == {"r16", "r12", "r8"}
    if kind in {"file", "latency is a file", "folder"}:
        assert any("cannot be written" in record.getMessage() for record in caplog.records)
    assert model.predict(PICTURES, budget_ms=1e6).setting == "r16"


def test_no_home(monkeypatch):
    monkeypatch.delenv("TFRES_CACHE", raising=False)
    monkeypatch.setattr("pathlib.Path.home", lambda: (_ for _ in ()).throw(RuntimeError("no home")))
    assert times.default_cache().name == "tfres"
    monkeypatch.setenv("TFRES_CACHE", "/x/y")
    assert str(times.default_cache()) == "/x/y"


# Exports that are none, or are damaged.


@pytest.mark.parametrize("path", [None, 3, "nowhere", "", "a\0b", "x" * 5000])
def test_no_export(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        ExportError, match=r"`path` must be the folder of an export \(out/NAME/VERSION\) or its .tflite file. Received: path="
    ):
        AdaptiveModel(path)


FILES = (
    "saved_model.pb",
    "fingerprint.pb",
    "variables/variables.index",
    "variables/variables.data-00000-of-00001",
    "assets/table.json",
    "assets/classes.json",
)


def _damage(place, kind):
    """Make a file of an export another one."""
    data = place.read_bytes()
    if kind in ("missing", "folder", "pipe"):
        place.unlink()
        if kind == "folder":
            place.mkdir()
        elif kind == "pipe":
            os.mkfifo(place)
    else:
        flipped = bytes([data[len(data) // 2] ^ 255])
        place.write_bytes(
            {
                "empty": b"",
                "short": data[: len(data) // 2],
                "two bytes less": data[:-2],
                "text": b"this is no such file",
                "binary": bytes(range(256)) * 4,
                "longer": data + b"\x01",
                "one byte other": data[: len(data) // 2] + flipped + data[len(data) // 2 + 1 :],
            }[kind]
        )


KINDS = ("missing", "folder", "pipe", "empty", "short", "two bytes less", "text", "binary", "longer", "one byte other")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", [*FILES, "assets.extra/files.json"])
def test_damaged_files_are_named(name, kind, exported, tmp_path):
    path = tmp_path / "1"
    shutil.copytree(exported, path)
    if (name, kind) == ("assets.extra/files.json", "missing"):
        (path / name).unlink()
        assert AdaptiveModel(path).rows  # an export of another tool
        return
    _damage(path / name, kind)
    with pytest.raises(ExportError) as caught:
        AdaptiveModel(path)
    assert "\n" not in str(caught.value)
    if name == "saved_model.pb" and kind in ("missing", "folder", "pipe"):
        assert "`path` must be the folder of an export" in str(caught.value)
    elif (name, kind) == ("assets.extra/files.json", "one byte other"):
        assert str(path) in str(caught.value)
    else:
        assert str(path / name) in str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", FILES)
def test_damaged_files_without_digests(name, kind, exported, tmp_path):
    """Of another tool's export: one line that names a file, or an export that can be called. Never anything else."""
    path = tmp_path / "1"
    shutil.copytree(exported, path)
    (path / "assets.extra" / "files.json").unlink()
    _damage(path / name, kind)
    try:
        model = AdaptiveModel(path, cache=tmp_path / "cache")
    except ExportError as error:
        assert "\n" not in str(error) and str(tmp_path) in str(error)
    else:
        assert name in ("fingerprint.pb", "assets/classes.json") or kind in ("longer", "one byte other"), (name, kind)
        assert model.predict(PICTURES).logits.shape == (1, 5)


@pytest.mark.parametrize(
    "name", ["new.txt", "variables/more.data", "assets.extra/other", "assets/deep/in/it.json", ".hidden", "1/files.json"]
)
def test_files_that_were_added_are_named(name, exported, tmp_path):
    path = tmp_path / "1"
    shutil.copytree(exported, path)
    (path / name).parent.mkdir(parents=True, exist_ok=True)
    (path / name).write_text("{}")
    with pytest.raises(ExportError, match=f"{path / name} must not be there, it is no file of the export. Received: a file."):
        AdaptiveModel(path)
    (path / "assets.extra" / "files.json").unlink()
    assert AdaptiveModel(path).rows  # of another tool, which says nothing about its files


def test_folders_elsewhere_are_no_part_of_an_export(exported, tmp_path):
    path = tmp_path / "1"
    shutil.copytree(exported, path)
    (path / "more").symlink_to(tmp_path)
    with pytest.raises(ExportError, match=f"{path / 'more'} must be an ordinary file. Received: something else."):
        AdaptiveModel(path)


@pytest.mark.parametrize("name", FILES)
def test_files_of_another_export(name, exported, tmp_path):
    other = budgets.make_export(tmp_path / "other", fakes.table("r20", "r10"), list("vwxyz"), value=3.0)
    path = tmp_path / "1"
    shutil.copytree(exported, path)
    shutil.copy(other / name, path / name)
    with pytest.raises(ExportError, match="must be the file that was exported. Received: another") as caught:
        AdaptiveModel(path)
    # The index of variables of equal names and shapes differs in checksums only; the data do in any case.
    assert str(path / name) in str(caught.value)


@pytest.mark.parametrize(
    ("known", "message"),
    [
        (None, "must have a setting with top1, macs and a signature: evaluate before export"),
        ({"rows": []}, "evaluate before export"),
        ({"rows": [{"setting": "r16", "macs": 1}]}, "evaluate before export"),
        (fakes.table("r99"), "evaluate before export"),
        ([], "must hold a mapping"),
        ({}, "a list of `rows`"),
        ({"rows": {}}, "a list of `rows`"),
        ({"rows": [3]}, "Row 0 must be a mapping"),
        ({"rows": [{"setting": "r16", "top1": "high", "macs": 1}]}, "`top1` of the row r16 must be a finite number"),
        ({"rows": [{"setting": "r16", "top1": True, "macs": 1}]}, "`top1` of the row r16 must be a finite number"),
        ({"rows": [{"setting": "r16", "top1": float("nan"), "macs": 1}]}, "NaN is not a finite number"),
        ({"rows": [{"setting": "r16", "top1": 0.5, "macs": -1}]}, "`macs` of the row r16 must be a finite number, not neg"),
        ({"rows": [{"setting": "r16", "top1": 0.5, "macs": [1]}]}, "`macs` of the row r16 must be a finite number"),
        ({"rows": [{"setting": "r16", "top1": 1, "macs": 1, "resolution": "x"}]}, "`resolution` of the row r16 in .* must"),
        ({"rows": [{"setting": "r16", "top1": 1, "macs": 1, "resolution": [1]}]}, "`resolution` of the row r16 in .* must"),
        ({"rows": [], "score": 3}, "evaluate before export"),
        ({"rows": [{"setting": "r16", "macs": 1}], "score": 3}, "`score` of a table must be the name"),
    ],
)
def test_foreign_tables(known, message, exported, tmp_path):
    path = tmp_path / "1"
    shutil.copytree(exported, path)
    (path / "assets.extra" / "files.json").unlink()
    place = path / "assets" / "table.json"
    place.unlink() if known is None else place.write_text(json.dumps(known))
    with pytest.raises(ExportError, match=message) as caught:
        AdaptiveModel(path)
    assert "table.json" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("classes", [{}, {"a": 1}, [1, 2], [], "abc", [None], 3])
def test_foreign_classes(classes, exported, tmp_path):
    path = tmp_path / "1"
    shutil.copytree(exported, path)
    (path / "assets.extra" / "files.json").unlink()
    (path / "assets" / "classes.json").write_text(json.dumps(classes))
    with pytest.raises(ExportError, match="classes.json must "):
        AdaptiveModel(path)


def test_a_model_of_another_kind(tmp_path):
    root = tf.Module()
    root.double = tf.function(lambda x: {"y": 2 * x}, input_signature=[tf.TensorSpec([], tf.float32, "x")])
    tf.saved_model.save(root, str(tmp_path / "1"), {"serve_r16": root.double.get_concrete_function()})
    with pytest.raises(ExportError, match="saved_model.pb must have a signature serve_SETTING of uint8 pictures"):
        AdaptiveModel(tmp_path / "1")


def test_serving_needs_no_more_than_tensorflow(exported):
    code = """
import sys
import numpy as np
from tfres.deploy.runtime import AdaptiveModel
print(AdaptiveModel(sys.argv[1]).predict(np.zeros([1, 16, 16, 3], np.uint8)).setting)
loaded = {name.split(".")[0] for name in sys.modules}
assert not loaded & {"keras_cv", "cv2", "tensorpack", "tensorflow_model_optimization", "matplotlib"}, loaded
rooms = {name.split(".")[1] for name in sys.modules if name.startswith("tfres.")}
assert not rooms & {"models", "layers", "evaluation", "engines", "objectives", "data", "tasks", "families", "recipe"}, rooms
"""
    command = [sys.executable, "-c", code, str(exported)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_demo(exported, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("TFRES_CACHE", str(tmp_path / "cache"))
    out = tmp_path / "demo"
    assert adapt.main([str(exported), "--calls", "12", "--out", str(out), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    written = json.loads((tmp_path / "demo.json").read_text())
    assert printed["calls"] == len(written["rows"]) == 12 and 0 <= printed["within_budget"] <= 1
    assert (tmp_path / "demo.png").stat().st_size > 1000
    assert adapt.main([str(exported), "--calls", "3", "--out", str(out)]) == 0
    assert "of 3 calls within budget" in capsys.readouterr().out
    for option, value in (("calls", "0"), ("batch", "-1"), ("periods", "-2")):
        with pytest.raises(SystemExit) as ended:
            adapt.main([str(exported), f"--{option}={value}"])
        assert ended.value.code == 2 and f"--{option}: must be a positive" in capsys.readouterr().err
    with pytest.raises(UsageError, match="must be the folder of an export"):
        adapt.main([str(tmp_path)])
