"""Calibration, sweeps and profiles of a small float run."""

import json

import numpy as np
import pytest
import tensorflow as tf
from tfres.data.sources import open_source

from tests.data.conftest import write_pictures
from tfres import calibrate, evaluate, export, profile, session, train
from tfres.evaluation.calibration import calibrate as calibrate_setting
from tfres.errors import RecipeError
from tfres.run import Run
from tfres.settings import Branch, Setting, next_smaller


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("float")
    write_pictures(folder / "pictures", {"train": {"a": 6, "b": 6}, "val": {"a": 2, "b": 2}}, side=40)
    options = ["--arch", "resnet20", "--model.width_mult", "0.5", "--sizes", "32", "24", "16", "--batch-size", "4"]
    assert train.main([*options, "--data", str(folder / "pictures"), "--kd", "--run", str(folder / "run")]) == 0
    return Run(folder / "run")


def _by_hand(model, setting, batches):
    """Statistics of the first norm: weighted means over batches of mean and unbiased variance."""
    means, variances, sizes = [], [], []
    for images in batches:
        x = model.backbone.conv0(images).numpy().reshape(-1, model.backbone.conv0.filters)
        means.append(x.mean(0))
        variances.append(x.var(0, ddof=1))
        sizes.append(len(images))
    return np.average(means, 0, sizes), np.average(variances, 0, sizes)


def test_rule_and_that_nothing_else_moves(run, rng):
    model, _ = session.load_run(run)
    batches = [tf.constant(rng.uniform(size=(n, 24, 24, 3)), tf.float32) for n in (4, 2)]
    before = {variable.name: variable.numpy() for variable in model.weights}
    assert calibrate_setting(model, 24, batches) == 6
    mean, variance = _by_hand(model, 24, batches)
    branch = model.backbone.conv0_bn.branch("r24")
    np.testing.assert_allclose(branch["moving_mean"], mean, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(branch["moving_variance"], variance, rtol=1e-4)
    for variable in model.weights:
        moved = "r24_moving" in variable.name
        assert moved != np.array_equal(variable, before[variable.name]), variable.name


def test_next_smaller():
    assert [next_smaller([224, 192, 96], r) for r in (300, 208, 192, 100, 64)] == [224, 192, 192, 96, 96]


def test_command_adds_resolutions_to_evaluation_and_export(run, tmp_path, capsys):
    assert calibrate.main(["--run", str(run.path), "--size", "28", "20", "--batches", "3", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert [(row["resolution"], row["norms_of"], row["pictures"]) for row in printed["rows"]] == [(28, 24, 12), (20, 16, 12)]
    model, _ = session.load_run(run)
    assert [setting.resolution for setting in model.settings] == [32, 28, 24, 20, 16]
    assert [setting.resolution for setting in model.trained_settings] == [32, 24, 16]
    norm = model.backbone.conv0_bn
    np.testing.assert_array_equal(norm.branch("r28")["gamma"], norm.branch("r24")["gamma"])
    assert not np.array_equal(norm.branch("r28")["moving_mean"], norm.branch("r24")["moving_mean"])
    source, recipe = open_source(run.recipe().data, 2), run.recipe()
    pictures = session.calibration_pictures(recipe, source, 3)
    mean, _ = _by_hand(model, 28, list(pictures(28)))
    np.testing.assert_allclose(norm.branch("r28")["moving_mean"], mean, rtol=1e-4, atol=1e-6)

    assert evaluate.main(["--run", str(run.path), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [row["setting"] for row in rows] == ["r32", "r28", "r24", "r20", "r16", "ensemble"]
    assert export.main(["--run", str(run.path), "--out", str(tmp_path)]) == 0
    served = tf.saved_model.load(capsys.readouterr().out.strip()).signatures["serve_r28"]
    images = tf.cast(tf.random.uniform([2, 28, 28, 3], 0, 256, tf.int32), tf.uint8)
    np.testing.assert_allclose(served(images=images)["logits"], model(images / 255, setting=28), rtol=1e-4, atol=1e-5)

    assert calibrate.main(["--run", str(run.path), "--size", "18"]) == 0
    assert len(session.load_run(run)[0].settings) == 6
    with pytest.raises(RecipeError, match="`size` must be distinct resolutions other than the trained 32, 24, 16"):
        calibrate.main(["--run", str(run.path), "--size", "24"])
    with pytest.raises(RecipeError, match="`norms-of` must be one of 32, 24, 16. Received: norms-of=20"):
        calibrate.main(["--run", str(run.path), "--size", "22", "--norms-of", "20"])


def test_calibrated_norms_of_another_checkpoint_are_left_out(run, caplog):
    run.add_calibrated("model-1", {40: Branch({"x": np.zeros(1)}, 0.5)})
    assert run.calibrated("model-2") == {} and "is for checkpoint model-1, not model-2" in caplog.text
    assert run.calibrated("model-1") == {Setting(40): Branch({"x": np.zeros(1)}, 0.5)}


def test_sweep(run, capsys):
    assert evaluate.main(["--run", str(run.path), "--sweep", "32", "26", "14", "--json"]) == 0
    results = json.loads(capsys.readouterr().out)
    assert [(row["resolution"], row["setting"]) for row in results["rows"]] == [(32, "r32"), (26, "r24"), (14, "r16")]
    assert json.loads((run.path / "sweep.json").read_text()) == results
    assert (run.path / "sweep.png").stat().st_size > 1000
    assert evaluate.main(["--run", str(run.path), "--size", "26", "--bn-size", "24", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert row["top1"] == results["rows"][1]["top1"]
    with pytest.raises(RecipeError, match="`sweep` takes its own resolutions"):
        evaluate.main(["--run", str(run.path), "--sweep", "32", "--size", "32"])


def test_profile_merges_into_the_query_table(run, capsys):
    before = json.loads(run.table.read_text())["rows"]
    assert profile.main(["--run", str(run.path), "--batch", "2", "--repeats", "3", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    after = json.loads(run.table.read_text())
    assert after["batch"] == 2 and printed["rows"][0]["ms_p90"] >= printed["rows"][0]["ms"] > 0
    for old, new in zip(before, after["rows"], strict=False):
        assert new["setting"] == old["setting"] and new["top1"] == old["top1"] and new["macs"] == old["macs"]
    assert profile.main(["--arch", "resnet18", "--size", "64", "--repeats", "1"]) == 0
    assert "11,689,512" in capsys.readouterr().out
    for options, message in (
        (["--arch", "resnet18", "--run", "x"], "`arch`"),
        (["--batch", "0"], "`batch` must be positive"),
        (["--arch", "resnet19"], "`arch` must be one of"),
    ):
        with pytest.raises(RecipeError, match=message):
            profile.main(options)
