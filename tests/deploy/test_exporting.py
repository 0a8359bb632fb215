"""What an export holds and how it is written, with a network of one convolution."""

import json
import multiprocessing
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from tests.data.pictures import declaring
from tests.deploy import fakes
from tfres.deploy import AdaptiveModel, export_savedmodel
from tfres.errors import ExportError, UsageError


def _export(folder, network=None, task=None, name="net", **options):
    return export_savedmodel(network or fakes.AnySideNetwork(), task or fakes.Task(), folder, name, **options)


def _opened(path):
    loaded = tf.saved_model.load(str(path))
    return loaded, loaded.signatures


def _pictures(rng, *shape):
    return rng.integers(0, 256, shape).astype(np.uint8)


def test_signatures_give_the_networks_outputs(tmp_path, rng):
    network, task, pictures = fakes.AnySideNetwork(), fakes.Task(), _pictures(rng, 2, 18, 20, 3)
    loaded, signatures = _opened(_export(tmp_path, network))
    assert set(signatures) == {"serve_r16", "serve_r12", "serve_any", "serve_encoded", "serving_default"}
    for setting in network.settings:
        expected = network.run(task.resized(pictures, network.input_size(setting)), network.at(setting))
        for name in (f"serve_{setting}", *(["serving_default"] if setting == network.settings[0] else [])):
            found = signatures[name](images=pictures)
            np.testing.assert_allclose(found["logits"], expected, rtol=1e-5, atol=1e-6)
            np.testing.assert_array_equal(found["class"], np.argmax(expected, 1))
    picture = _pictures(rng, 1, 14, 14, 3)
    expected = network.run(task.normalised(picture), network.shares(14))
    np.testing.assert_allclose(signatures["serve_any"](images=picture)["logits"], expected, rtol=1e-4, atol=1e-6)
    assert loaded


def test_encoded_pictures_are_cut_as_the_task_evaluates(tmp_path, rng):
    network, task = fakes.AnySideNetwork(), fakes.Task()
    encoded = [tf.io.encode_png(_pictures(rng, *size, 3)).numpy() for size in ((16, 16), (40, 30), (9, 11))]
    _, signatures = _opened(_export(tmp_path, network))
    cut = tf.stack([task.evaluation_picture(one, (16, 16)) for one in encoded])
    expected = network.run(task.normalised(cut), network.at(network.settings[0]))
    found = signatures["serve_encoded"](encoded=tf.constant(encoded))["logits"]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_a_network_without_shares_or_of_other_axes_has_no_serve_any(tmp_path):
    _, signatures = _opened(_export(tmp_path, fakes.Network()))
    assert "serve_any" not in signatures
    _, signatures = _opened(_export(tmp_path, settings=[16, 12]))
    assert "serve_any" not in signatures
    _, signatures = _opened(_export(tmp_path, fakes.AnySideNetwork(("r16-w1", "r16-w0.5"))))
    assert set(signatures) == {"serve_r16-w1", "serve_r16-w0.5", "serve_encoded", "serving_default"}


def test_separate_networks_equal_the_shared_one(tmp_path, rng):
    pictures = _pictures(rng, 1, 16, 16, 3)
    _, shared = _opened(_export(tmp_path))
    _, separate = _opened(_export(tmp_path, form="separate"))
    assert set(shared) - set(separate) == {"serve_any"}
    for name in ("serve_r16", "serve_r12"):
        np.testing.assert_array_equal(separate[name](images=pictures)["logits"], shared[name](images=pictures)["logits"])


def test_half_precision_networks_answer_in_float32(tmp_path, rng):
    _, signatures = _opened(_export(tmp_path, fakes.Network(compute_dtype="float16")))
    assert signatures["serve_r16"](images=_pictures(rng, 1, 16, 16, 3))["logits"].dtype == tf.float32


def test_an_empty_batch_has_an_empty_answer(tmp_path):
    _, signatures = _opened(_export(tmp_path))
    for name in ("serve_r16", "serve_any"):
        found = signatures[name](images=tf.zeros([0, 16, 16, 3], tf.uint8))
        assert {key: tuple(value.shape) for key, value in found.items()} == {
            "logits": (0, 5),
            "probabilities": (0, 5),
            "class": (0,),
        }
    assert signatures["serve_encoded"](encoded=tf.zeros([0], tf.string))["logits"].shape == (0, 5)


def test_encoded_pictures_that_are_refused(tmp_path):
    """By their headers: nothing of the size that they declare is made."""
    _, signatures = _opened(_export(tmp_path))
    picture = tf.zeros([8, 8, 3], tf.uint8)
    for encode in (tf.io.encode_png, tf.io.encode_jpeg):
        content = encode(picture).numpy()
        large = declaring(content, 60000, 60000)
        for batch in ([large], [content, large]):
            with pytest.raises(tf.errors.InvalidArgumentError, match="sides that are not from 1 to 16384 pixels.*60000"):
                signatures["serve_encoded"](encoded=tf.constant(batch))
    for other in (b"GIF89a" + bytes(30), b"BM" + bytes(60), b"", b"x"):
        with pytest.raises(tf.errors.InvalidArgumentError, match="`encoded` must be JPEG or PNG pictures"):
            signatures["serve_encoded"](encoded=tf.constant([other]))


def test_pictures_that_signatures_refuse(tmp_path):
    _, signatures = _opened(_export(tmp_path))
    for shape in ((1, 0, 16, 3), (1, 16, 0, 3), (0, 0, 0, 3)):
        with pytest.raises(tf.errors.InvalidArgumentError, match="at least one pixel high and wide.*Received"):
            signatures["serve_r16"](images=tf.zeros(shape, tf.uint8))
    for shape in ((1, 11, 11, 3), (1, 17, 17, 3), (1, 16, 12, 3), (1, 0, 0, 3)):
        with pytest.raises(tf.errors.InvalidArgumentError, match="square with a side from 12 to 16 pixels.*Received"):
            signatures["serve_any"](images=tf.zeros(shape, tf.uint8))
    for wrong in (tf.zeros([1, 16, 16, 3]), tf.zeros([16, 16, 3], tf.uint8), tf.zeros([1, 16, 16, 4], tf.uint8)):
        with pytest.raises((TypeError, ValueError, tf.errors.InvalidArgumentError)):
            signatures["serve_r16"](images=wrong)


@pytest.mark.parametrize("name", ["..", ".", "", "a/b", "/a", "a\\b", ".hidden", "a\0b", "x" * 300, None, 3])
def test_names_stay_in_the_folder(name, tmp_path):
    with pytest.raises(UsageError, match=r"`name` must be a name of letters.*Received: name="):
        _export(tmp_path / "out", name=name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"form": "both"}, "`form` must be one of shared, separate"),
        ({"settings": [50]}, "`setting` must be one of r16, r12"),
        ({"settings": []}, "`settings` must name a setting"),
        ({"classes": [1, 2]}, "`classes` must be a list of names"),
        ({"classes": "cat"}, "`classes` must be a list of names"),
        ({"table": []}, "`table` must be a mapping with a list of `rows`"),
        ({"table": {"rows": [{"setting": "r16", "top1": float("nan")}]}}, "`top1` of the row r16 must be a finite number"),
        ({"table": {"rows": [{"setting": "r16", "top5": float("inf")}]}}, "`top5` of the row r16 must be a finite number"),
    ],
)
def test_wrong_arguments_write_nothing(options, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        _export(tmp_path, **options)
    assert list(tmp_path.iterdir()) == []


def test_out_is_a_file(tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(ExportError, match="`out` must be a folder. Received: .*out"):
        _export(tmp_path / "out")


def test_versions_count_up_and_old_leftovers_go(tmp_path):
    for name in ("3", "x", "²"):
        (tmp_path / "net" / name).mkdir(parents=True)
    (tmp_path / "net" / "7").write_text("a file")
    old, young = tmp_path / "net" / ".export-old", tmp_path / "net" / ".export-young"
    for folder in (old, young):
        (folder / "version").mkdir(parents=True)
    os.utime(old, (0, 0))
    assert _export(tmp_path).name == "8"
    assert young.exists() and not old.exists()


def _export_twice(folder, start):
    start.wait()
    for _ in range(2):
        _export(folder)


def test_exports_at_the_same_time_take_different_versions(tmp_path):
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(2)
    processes = [context.Process(target=_export_twice, args=(tmp_path, start)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert sorted(path.name for path in (tmp_path / "net").iterdir()) == ["1", "2", "3", "4"]
    for path in (tmp_path / "net").iterdir():
        assert _opened(path)[1]["serve_r16"](images=np.zeros([1, 16, 16, 3], np.uint8))


def test_a_version_taken_meanwhile_is_not_touched(tmp_path, monkeypatch):
    _export(tmp_path)
    listed, rename = pathlib.Path.iterdir, os.rename
    seen = []

    def late(self):  # the first look does not see version 1
        seen.append(self)
        return iter(()) if len(seen) == 1 else listed(self)

    monkeypatch.setattr(pathlib.Path, "iterdir", late)
    before = (tmp_path / "net" / "1" / "saved_model.pb").read_bytes()
    assert _export(tmp_path).name == "2"
    assert (tmp_path / "net" / "1" / "saved_model.pb").read_bytes() == before and os.rename is rename


_FULL = """
import resource, sys
from tests.deploy import fakes
from tfres.deploy import export_savedmodel
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
try:
    export_savedmodel(fakes.Network(), fakes.Task(), sys.argv[1], "net", table=fakes.table("r16", "r12"))
except OSError as error:
    print(error)
"""


@pytest.mark.parametrize("room", [0, 100, 2000])
def test_a_full_disk_is_one_line_and_leaves_nothing(room, tmp_path):
    root = str(pathlib.Path(__file__).parents[2])
    command = [sys.executable, "-c", _FULL, str(tmp_path), str(room)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=root)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.strip().splitlines()
    assert len(lines) == 1 and f"{tmp_path / 'net'} cannot be written" in lines[0]
    assert list((tmp_path / "net").iterdir()) == []


def test_assets_and_seal(tmp_path):
    known = fakes.table("r16", "r12")
    path = _export(tmp_path, table=known, classes=tuple("abcde"))
    assert json.loads((path / "assets" / "table.json").read_text()) == known
    assert json.loads((path / "assets" / "classes.json").read_text()) == list("abcde")
    sealed = json.loads((path / "assets.extra" / "files.json").read_text())
    files = {place.relative_to(path).as_posix() for place in path.rglob("*") if place.is_file()}
    assert files - {"assets.extra/files.json"} == set(sealed) and "README.md" in sealed
    assert not _opened(_export(tmp_path))[0].assets


def test_another_task_is_served_by_its_own_figure(tmp_path, rng):
    path = _export(tmp_path, task=fakes.Pointing(), table=fakes.table("r16", "r12", score="ap"))
    model = AdaptiveModel(path, cache=tmp_path / "cache")
    answer = model.predict(_pictures(rng, 3, 16, 16, 3), budget_ms=1e6)
    assert model.score == "ap" and model.names is None and answer.setting == "r16"
    assert answer.points.shape == (3, 2, 2)
    with pytest.raises(AttributeError, match="has setting, ms, outputs and points. Received: classes"):
        _ = answer.classes
