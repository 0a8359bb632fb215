"""Exports side by side: what is measured, where it goes, what is refused."""

import json
import os
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest

from tests.deploy import fakes
from tests.deploy.benching.dying import dies
from tfres import bench, cli
from tfres.deploy import AdaptiveModel, benching, export_litert, export_savedmodel
from tfres.deploy.benching import measuring
from tfres.deploy.runtime.files import open_export

FRESH = {"import_s": 1.0, "load_s": 0.5, "memory_bytes": 10**6}
ROOT = pathlib.Path(__file__).parents[3]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with a SavedModel and a LiteRT file of one network."""
    out, table = tmp_path_factory.mktemp("exports"), fakes.table("r16", "r12", machine="another")
    for export in (export_savedmodel, export_litert):
        export(fakes.AnySideNetwork(), fakes.Task(), out, "net", list("abcde"), table)
    return out / "net"


@pytest.fixture
def net(made, tmp_path):
    return [shutil.copytree(made / "1", tmp_path / "1"), shutil.copy(made / "2.tflite", tmp_path / "2.tflite")]


@pytest.fixture
def at_once(monkeypatch):
    """Without processes of their own."""
    monkeypatch.setattr(measuring, "in_fresh_process", lambda *_: dict(FRESH))


def test_forms_side_by_side(net, at_once, capsys):
    size = os.path.getsize(net[1])
    assert bench.main([*map(str, net), "--rounds", "3", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [export["path"] for export in found["exports"]] == [*map(str, net)]
    assert (found["batch"], found["threads"], found["rounds"]) == (1, len(os.sched_getaffinity(0)), 3)
    saved, lite = found["exports"]
    assert "TensorFlow" in saved["machine"] and "LiteRT" in lite["machine"]
    assert lite["bytes"] == size and saved["bytes"] > os.path.getsize(net[0] / "saved_model.pb")
    for export in (saved, lite):
        assert [(row["setting"], row["height"], row["width"]) for row in export["rows"]] == [("r16", 16, 16), ("r12", 12, 12)]
        assert all(0 < row["ms"] <= row["ms_p90"] for row in export["rows"])


def test_table_and_plot(net, at_once, tmp_path, capsys):
    out = tmp_path / "out"
    assert bench.main([*map(str, net), "--rounds", "2", "--size", "20", "--batch", "2", "--no-table", "--out", str(out)]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["setting", "1:", "ms", "1:", "p90", "2:", "ms", "2:", "p90"] in lines
    assert [line[0] for line in lines[-2:]] == ["r16", "r12"] and all(len(line) == 5 for line in lines[-2:])
    found = json.loads((tmp_path / "out.json").read_text())
    assert {(row["height"], row["width"]) for export in found["exports"] for row in export["rows"]} == {(20, 20)}
    assert (tmp_path / "out.png").read_bytes()[:4] == b"\x89PNG"
    assert open_export(net[0]).table["machine"] == "another" and "bench" not in open_export(net[1]).table


def test_times_go_into_the_tables(net, at_once, capsys):
    """The exports stay sealed, what else the table tells stays, and both can be called."""
    assert bench.main([*map(str, net), "--rounds", "2", "--batch", "3"]) == 0
    capsys.readouterr()
    for path in net:
        export = open_export(path)
        assert export.table["machine"] == "another" and export.table["bench"]["load_s"] == FRESH["load_s"]
        for row in export.table["rows"]:
            assert row["batch"] == 3 and row["threads"] and row["machine"] == export.backend.host()["machine"]
            assert row["ms"] > 0 and row["macs"] > 0 and row["top1"] > 0
        assert AdaptiveModel(path).predict(np.zeros([1, 16, 16, 3], np.uint8)).setting == "r16"


def test_only_what_both_have_need_be_common(net, at_once, tmp_path):
    other = export_litert(fakes.Network(), fakes.Task(), tmp_path, "one", settings=["r12"])
    results = benching.bench([net[1], other], rounds=1)
    assert [[row["setting"] for row in export["rows"]] for export in results["exports"]] == [["r16", "r12"], ["r12"]]
    (_, _), (rows, columns) = benching.tabulated(results)
    assert [key for key, *_ in columns if key not in rows[0]] == ["2 ms", "2 ms_p90"]


class _Exits(fakes.Network):
    """Settings that do not tell the size of their pictures."""

    def __init__(self):
        super().__init__(["exit2", "exit1"])

    def input_size(self, setting):
        return 16, 16


def test_settings_whose_size_is_in_the_table(at_once, tmp_path):
    rows = [{"setting": name, "resolution": [12, 16]} for name in ("exit2", "exit1")]
    path = export_savedmodel(_Exits(), fakes.Task(), tmp_path, "net", table={"rows": rows})
    (found,) = benching.bench([path], rounds=1)["exports"]
    assert [(row["setting"], row["height"], row["width"]) for row in found["rows"]] == [("exit2", 12, 16), ("exit1", 12, 16)]


def test_settings_whose_size_is_nowhere(at_once, tmp_path):
    path = export_savedmodel(_Exits(), fakes.Task(), tmp_path, "net")
    with pytest.raises(ValueError, match=r"`size` must be given: .* does not tell that of exit2. Received: none"):
        benching.bench([path])
    assert benching.bench([path], size=16, rounds=1)["exports"][0]["rows"][0]["height"] == 16


def test_an_export_without_a_table(at_once, tmp_path):
    path = export_savedmodel(fakes.Network(), fakes.Task(), tmp_path, "net")
    benching.keep(benching.bench([path], rounds=1))
    assert [row["setting"] for row in open_export(path).table["rows"]] == ["r16", "r12"]


def test_an_export_that_was_changed_meanwhile(net, at_once):
    results = benching.bench(net[1:], rounds=1)
    benching.keep(results)
    with pytest.raises(ValueError, match=r"2.tflite must be the export that was measured. Received: it was changed since"):
        benching.keep(results)


def _command(*words):
    command = [sys.executable, "-m", "tfres.bench", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)


def test_a_command_of_its_own(net):
    """With threads, in fresh processes, of both forms."""
    done = _command(*net, "--rounds", 2, "--threads", 1, "--json")
    assert done.returncode == 0, done.stderr
    saved, lite = json.loads(done.stdout)["exports"]
    for export in (saved, lite):
        assert export["import_s"] > 0 and export["load_s"] > 0
    assert 1e6 < lite["memory_bytes"] < saved["memory_bytes"]


_ALONE = """
import sys
for name in ("tensorflow", "tf_keras", "keras"):
    sys.modules[name] = None  # importing it raises
from tfres import bench
if __name__ == "__main__":
    bench.main([sys.argv[1], "--rounds", "1"])
"""


def test_a_litert_file_needs_no_tensorflow(net, tmp_path):
    """Neither in this process nor in that of its own, which runs the script's first lines too."""
    script = tmp_path / "alone.py"
    script.write_text(_ALONE)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(script), str(net[1])]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ([], "the following arguments are required: exports"),
        (["missing"], "error: `path` must be the folder of an export (out/NAME/VERSION) or its .tflite file"),
        (["missing.tflite"], "error: missing.tflite is missing"),
        (["1", "./1"], "error: Exports must be different ones. Received: 1 twice"),
        (["1", "--batch", "0"], "must be a positive whole number. Received: '0'"),
        (["1", "--batch", "9000000"], "error: A call must have at most 2147483648 bytes. Received: batch=9000000"),
        (["1", "--size", "70000"], "error: `size` must be a side in pixels. Received: size=70000"),
        (["1", "--size", "x"], "must be a positive whole number. Received: 'x'"),
        (["1", "--threads", "4096"], "error: `threads` must be from 1 to "),
        (["1", "--threads", "1"], "error: `threads` must be given before TensorFlow runs. Received: threads=1"),
        (["cut.tflite"], "error: cut.tflite must have the documents of an export behind the model, whole"),
        (
            ["2.tflite", "other.tflite"],
            "error: Exports must have a setting that all of them have. Received: 2.tflite: r16, r12; ",
        ),
    ],
)
def test_wrong_usage(words, text, net, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cut.tflite").write_bytes((tmp_path / "2.tflite").read_bytes()[:-100])
    if "other.tflite" in words:
        os.rename(export_litert(fakes.Network([8]), fakes.Task(), tmp_path, "x"), "other.tflite")
    before = open_export(net[1]).fingerprint
    with pytest.raises(SystemExit) as caught:
        cli.run_main(bench.main, words)
    assert caught.value.code == 2 and text in capsys.readouterr().err
    assert open_export(net[1]).fingerprint == before


def test_a_process_that_dies(net, monkeypatch):
    monkeypatch.setattr("tfres.deploy.benching.fresh._paid", dies)
    with pytest.raises(ValueError, match=r"2.tflite must be an export that a process of its own can run. Received: it died"):
        benching.bench(net[1:], rounds=1)
