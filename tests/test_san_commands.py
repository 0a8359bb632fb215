"""A SAN through the commands: the same ones as for RS-Nets, nothing special."""

import json

import numpy as np
import pytest
import tensorflow as tf

from tfres import calibrate, evaluate, export, session, train
from tfres.errors import RecipeError
from tfres.run import Run

OPTIONS = ["--arch", "meta_resnet20", "--model.width_mult", "0.25", "--sizes", "16", "12", "--fake", "--data.fake_size", "16"]


def test_train_evaluate_calibrate_export(tmp_path, capsys):
    folder = tmp_path / "run"
    assert train.main([*OPTIONS, "--batch-size", "8", "--kd", "--run", str(folder)]) == 0
    rows = (folder / "metrics.csv").read_text().splitlines()
    assert "train_distillation" in rows[0] and "ensemble" not in rows[0]
    assert calibrate.main(["--run", str(folder), "--size", "14", "--batches", "2"]) == 0
    capsys.readouterr()
    assert evaluate.main(["--run", str(folder), "--json"]) == 0
    assert [row["setting"] for row in json.loads(capsys.readouterr().out)["rows"]] == ["r16", "r14", "r12"]
    assert export.main(["--run", str(folder), "--out", str(tmp_path / "exported")]) == 0
    served = tf.saved_model.load(capsys.readouterr().out.strip())
    model, crop = session.load_run(Run(folder))
    images = tf.cast(tf.random.uniform([2, 16, 16, 3], 0, 256, tf.int32), tf.uint8)
    for side in (16, 14, 12):
        ours = model(crop.at(images, side), setting=side)
        np.testing.assert_allclose(served.signatures[f"serve_r{side}"](images=images)["logits"], ours, rtol=1e-4, atol=1e-5)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("san") / "run"
    assert train.main([*OPTIONS, "--batch-size", "8", "--model.initial_kernels", "plain", "--run", str(folder)]) == 0
    return folder


def test_every_mode_of_inference_at_any_resolution(run, capsys):
    modes = ["proxy", "ideal", "data-free", "proxy+calibration", "ideal+calibration"]
    command = ["--run", str(run), "--json"]
    assert evaluate.main([*command, "--batches", "1", "--sweep", "--step", "1", "--inference", *modes]) == 0
    swept = json.loads(capsys.readouterr().out)
    assert [row["resolution"] for row in swept["rows"]] == [16, 15, 14, 13, 12] * 5
    assert [row["inference"] for row in swept["rows"]] == [mode for mode in modes for _ in range(5)]
    assert all(row["ms"] > 0 and row["setting"] == ("r16" if row["resolution"] == 16 else "r12") for row in swept["rows"])
    assert json.loads((run / "sweep.json").read_text()) == swept and (run / "sweep.png").stat().st_size > 1000
    model, crop = session.load_run(Run(run))
    for mode in modes[:3]:
        assert evaluate.main([*command, "--size", "14", "18", "--inference", mode]) == 0
        rows = json.loads(capsys.readouterr().out)["rows"]
        assert [(row["resolution"], row["setting"]) for row in rows] == [(18, "r16"), (14, "r12")]
        again = next(row for row in swept["rows"] if (row["resolution"], row["inference"]) == (14, mode))
        assert rows[1]["top1"] == again["top1"]
    # An encoding of one's own: the trained one's makes "ideal" the proxy.
    assert evaluate.main([*command, "--size", "14", "--inference", "ideal", "--encodings", str(12 / 320)]) == 0
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    proxy = next(row for row in swept["rows"] if (row["resolution"], row["inference"]) == (14, "proxy"))
    assert row["top1"] == proxy["top1"]
    assert evaluate.main([*command, "--size", "14", "--inference", "proxy+calibration", "--cut", "evaluation"]) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--inference", "ideal"], "`inference` needs `size` or `sweep`"),
        (["--size", "14", "--encodings", "0.1"], "`encodings` needs `inference` and as many `size`"),
        (["--size", "12", "--inference", "ideal", "--encodings", "0.1"], "`encodings` must be for a SAN, for evaluated"),
        (["--sweep", "--step", "0"], "`step` must be positive"),
        (["--sweep", "16", "--step", "2"], "`step` must be positive and needs `sweep` without sizes"),
        (["--sweep", "--inference", "ideal+calibration", "--batches", "0"], "`batches` must be positive"),
        (["--sweep", "--batches", "4"], "`batches` needs something to calibrate"),
        (["--size", "14", "--inference", "ideal", "--cut", "training"], "`cut` needs something to calibrate"),
        (["--size", "0", "--inference", "ideal"], "`size` must be positive"),
    ],
)
def test_wrong_options_of_evaluation(run, options, message):
    with pytest.raises(RecipeError, match=message):
        evaluate.main(["--run", str(run), *options])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--qw", "2"], "`weight_bits` is no option of meta_resnet20. Received: weight_bits=2"),
        (["--kd-type", "ens"], "`kd_type` must be one of topdown, topdown_normalised for san. Received: kd_type='ens'"),
        (["--training.temperature", "2"], "`temperature` belongs to RS-Nets"),
    ],
)
def test_options_of_another_family(tmp_path, options, message):
    with pytest.raises(RecipeError, match=message):
        train.main([*OPTIONS, *options, "--run", str(tmp_path / "run")])
    with pytest.raises(RecipeError, match="`encodings` is no option of resnet20"):
        train.main(["--arch", "resnet20", "--fake", "--model.encodings", "{16: 0.5}", "--run", str(tmp_path / "run")])
