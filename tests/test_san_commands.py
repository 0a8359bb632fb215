"""A SAN through the commands: the same ones as for RS-Nets, nothing special."""

import json
import shutil

import numpy as np
import pytest
import tensorflow as tf

from tfres import calibrate, cli, evaluate, export, train
from tfres.errors import RecipeError
from tfres.evaluation.opened import open_run
from tfres.run import Run

OPTIONS = ["--arch", "meta_resnet20", "--model.blocks", "[1]", "--model.widths", "[8]", "--sizes", "16", "12", "--fake"]
OPTIONS += ["--data.fake_size", "16", "--batch-size", "8"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("san") / "run"
    assert train.main([*OPTIONS, "--kd", "--model.initial_kernels", "plain", "--run", str(folder)]) == 0
    return folder


def _rows(capsys):
    return json.loads(capsys.readouterr().out)["rows"]


def test_train_evaluate_calibrate_export(run, tmp_path, capsys):
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    header = (folder / "metrics.csv").read_text().splitlines()[0]
    assert "train_distillation" in header and "ensemble" not in header
    quick = ["--evaluation.batches", "2", "--evaluation.repeats", "0"]
    assert calibrate.main(["--run", str(folder), "--size", "14", *quick]) == 0
    capsys.readouterr()
    assert evaluate.main(["--run", str(folder), "--json"]) == 0
    assert [row["setting"] for row in _rows(capsys)] == ["r16", "r14", "r12"]
    assert export.main(["--run", str(folder), "--out", str(tmp_path / "exported")]) == 0
    served = tf.saved_model.load(capsys.readouterr().out.strip())
    opened = open_run(folder)
    images = tf.cast(tf.random.uniform([2, 16, 16, 3], 0, 256, tf.int32), tf.uint8)
    for side in (16, 14, 12):
        ours = opened.network(opened.task.resized(images, side), setting=side)
        np.testing.assert_allclose(served.signatures[f"serve_r{side}"](images=images)["logits"], ours, rtol=1e-4, atol=1e-5)


def test_every_way_of_inference_at_any_resolution(run, capsys):
    modes = ["proxy", "ideal", "data-free", "proxy+calibration", "ideal+calibration"]
    command = ["--run", str(run), "--json", "--evaluation.repeats", "1"]
    before = (run / "table.json").read_text()
    sweep = ["--evaluation.batches", "1", "--size", "12:16:2", "18", "--inference", *modes]
    assert evaluate.main([*command, *sweep]) == 0
    swept = json.loads(capsys.readouterr().out)
    assert [row["resolution"] for row in swept["rows"]] == [18, 16, 14, 12] * 5
    assert [row["inference"] for row in swept["rows"]] == [mode for mode in modes for _ in range(4)]
    assert all(row["ms"] > 0 and row["setting"] == f"r{row['resolution']}" for row in swept["rows"])
    assert all(("calibrated" in row) == row["inference"].endswith("calibration") for row in swept["rows"])
    assert json.loads((run / "sweep.json").read_text()) == swept and (run / "sweep.png").stat().st_size > 1000
    assert (run / "table.json").read_text() == before
    by_mode = {(row["resolution"], row["inference"]): row["top1"] for row in swept["rows"]}
    for mode in modes[:3]:
        assert evaluate.main([*command, "--size", "14", "18", "--inference", mode]) == 0
        assert [row["top1"] for row in _rows(capsys)] == [by_mode[18, mode], by_mode[14, mode]]
    # An encoding of one's own: the trained one's makes "ideal" the proxy.
    own = ["--size", "14", "--inference", "ideal", "--evaluation.encodings", f"{{14: {12 / 320}}}"]
    assert evaluate.main([*command, *own]) == 0
    assert [row["top1"] for row in _rows(capsys)] == [by_mode[14, "proxy"]]
    cut = ["--evaluation.batches", "1", "--evaluation.cut", "evaluation"]
    assert evaluate.main([*command, *cut, "--size", "14", "--inference", "proxy+calibration"]) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--size", "14", "--evaluation.encodings", "{14: 0.1}"], "`encodings` needs `inference`"),
        (
            ["--size", "12", "--inference", "ideal", "--evaluation.encodings", "{12: 0.1}"],
            r"`encodings` must be of evaluated, untrained resolutions. Received: \[12\]",
        ),
        (
            ["--size", "14", "--inference", "ideal", "--evaluation.encodings", "{15: 0.1}"],
            r"`encodings` must be of evaluated, untrained resolutions. Received: \[15\]",
        ),
        (
            ["--size", "14", "--inference", "ideal", "--evaluation.encodings", "0.1"],
            "`encodings` must be a mapping of whole numbers to numbers or null. Received: 0.1",
        ),
        (["--size", "12:16:0"], "`size` must be positive numbers or ranges low:high:step"),
        (["--size", "1:2000000:1", "--inference", "proxy"], "`size` must be at most 4096 numbers"),
        (["--inference", "ideal+calibration", "--evaluation.batches", "0"], "`batches` must be positive"),
        (["--inference", "proxy", "--evaluation.batches", "4"], "`batches` needs something to calibrate"),
        (["--size", "14", "--inference", "ideal", "--evaluation.cut", "training"], "`cut` needs something to calibrate"),
        (["--size", "0", "--inference", "ideal"], "`size` must be positive"),
    ],
)
def test_wrong_options_of_evaluation(run, options, message):
    with pytest.raises(RecipeError, match=message):
        evaluate.main(["--run", str(run), *options])


def test_calibrate_keeps_no_more_than_it_measures(run, tmp_path, capsys):
    """What was calibrated already is not calibrated again; another number of batches is another result."""
    shutil.copytree(run, tmp_path / "run")
    command = ["--run", str(tmp_path / "run"), "--size", "14", "--evaluation.repeats", "0", "--json"]
    results = []
    for batches in ("1", "1", "2"):
        assert calibrate.main([*command, "--evaluation.batches", batches]) == 0
        results.append(_rows(capsys)[0])
    assert results[0] == results[1] and results[2]["pictures"] == 2 * results[0]["pictures"]
    assert len(Run(tmp_path / "run").read_table()["rows"]) == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--qw", "2"], "unrecognized arguments: --model.weight_bits"),
        (["--kd-type", "ens"], "`kd_type` must be one of topdown, topdown_normalised. Received: 'ens'"),
        (["--objective.temperature", "2"], "unrecognized arguments: --objective.temperature"),
        (["--model.encodings", "{24: 0.5}"], "`encodings` must be of resolutions the network has, [12, 16]"),
        (["--model.encodings", "{16: .inf}"], "`encodings` must be a mapping of whole numbers to numbers or null"),
    ],
)
def test_options_it_does_not_have(tmp_path, options, message, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.run_main(train.main, [*OPTIONS, *options, "--run", str(tmp_path / "run")])
    assert ended.value.code == 2 and message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
