"""Calibration: the rule, the command, what it adds to evaluation and export; sweeps over resolutions."""

import json
import shutil

import numpy as np
import pytest
import tensorflow as tf

from tfres import calibrate, evaluate, export, train
from tfres.errors import RecipeError
from tfres.evaluation.calibration import Calibration, calibration_pictures
from tfres.evaluation.calibration import calibrate as calibrate_network
from tfres.evaluation.opened import open_run
from tfres.families import from_preset
from tfres.families.networks import load_network
from tfres.run import Run
from tfres.settings import Private, Setting


@pytest.fixture(scope="module")
def run(original, tmp_path_factory):
    """A copy of the run, which tests of this file change."""
    folder = tmp_path_factory.mktemp("calibrated") / "run"
    shutil.copytree(original.path, folder)
    return Run(folder)


def _by_hand(network, batches):
    """Statistics of the first norm: weighted means over batches of mean and unbiased variance."""
    means, variances, sizes = [], [], []
    for images in batches:
        x = network.backbone.conv0(images).numpy().reshape(-1, network.backbone.conv0.filters)
        means.append(x.mean(0))
        variances.append(x.var(0, ddof=1))
        sizes.append(len(images))
    return np.average(means, 0, sizes), np.average(variances, 0, sizes)


def _first_norm(network, setting):
    return {leaf: variable.numpy() for leaf, variable in network.backbone.conv0_bn.variables_of(Setting(setting)).items()}


def test_rule_and_that_nothing_else_moves(run, rng):
    plain = load_network(run).materialize("r24")
    batches = [tf.constant(rng.uniform(size=(n, 24, 24, 3)), tf.float32) for n in (4, 2)]
    before = {variable.name: variable.numpy() for variable in plain.weights}
    assert calibrate_network(plain, batches) == 6
    mean, variance = _by_hand(plain, batches)
    found = _first_norm(plain, 24)
    np.testing.assert_allclose(found["moving_mean"], mean, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found["moving_variance"], variance, rtol=1e-4)
    for variable in plain.weights:
        moved = "_moving" in variable.name
        assert moved != np.array_equal(variable, before[variable.name]), variable.name


@pytest.mark.parametrize("arch", ["resnet20", "mutual_wideresnet10_2"])
def test_a_network_of_several_settings_is_refused(arch):
    """Nothing is calibrated by half, and no trained statistics are overwritten."""
    widths = {"widths": [8, 16, 24, 32]} if arch.startswith("mutual") else {"blocks": [1], "widths": [4]}
    network = from_preset(arch, resolutions=[16, 12], **widths)
    before = network.get_weights()
    with pytest.raises(ValueError, match=r"`network` must be a plain one \(see `materialize`\). Received: a network of the"):
        calibrate_network(network, [tf.zeros([2, 16, 16, 3])])
    assert all(np.array_equal(a, b) for a, b in zip(before, network.get_weights(), strict=True))
    with pytest.raises(ValueError, match="`batches` must hold at least one batch"):
        calibrate_network(network.materialize(network.settings[0]), [])


def test_command_adds_resolutions_to_evaluation_and_export(run, tmp_path, capsys):
    trained = load_network(run)
    command = ["--run", str(run.path), "--size", "28", "20", "--evaluation.batches", "3", "--evaluation.repeats", "0"]
    assert calibrate.main([*command, "--json"]) == 0
    printed = {row["resolution"]: row for row in json.loads(capsys.readouterr().out)["rows"]}
    assert {resolution: row["pictures"] for resolution, row in printed.items()} == {28: 12, 20: 12}
    assert all("model-3, 3 batches cut as in training" in row["calibrated"] for row in printed.values())
    network = load_network(run)
    assert [setting.resolution for setting in network.settings] == [32, 28, 24, 20, 16]
    assert [setting.resolution for setting in network.trained_settings] == [32, 24, 16]
    found, donor = _first_norm(network, 28), _first_norm(network, 24)
    np.testing.assert_array_equal(found["gamma"], donor["gamma"])
    assert not np.array_equal(found["moving_mean"], donor["moving_mean"])
    opened = open_run(run.path)
    mean, _ = _by_hand(trained, opened.pictures(Calibration(3))(28))
    np.testing.assert_allclose(found["moving_mean"], mean, rtol=1e-4, atol=1e-6)
    for variable in trained.weights:
        (same,) = (other for other in network.weights if other.name == variable.name)
        np.testing.assert_array_equal(same, variable)

    assert evaluate.main(["--run", str(run.path), "--json"]) == 0
    rows = {row["setting"]: row for row in json.loads(capsys.readouterr().out)["rows"]}
    assert list(rows) == ["r32", "r28", "r24", "r20", "r16", "ensemble"]
    assert rows["r28"]["top1"] == printed[28]["top1"]
    assert export.main(["--run", str(run.path), "--out", str(tmp_path)]) == 0
    served = tf.saved_model.load(capsys.readouterr().out.strip()).signatures["serve_r28"]
    images = tf.cast(tf.random.uniform([2, 28, 28, 3], 0, 256, tf.int32), tf.uint8)
    expected = network(opened.task.resized(images, 28), setting=28)
    np.testing.assert_allclose(served(images=images)["logits"], expected, rtol=1e-4, atol=1e-5)


def test_further_calibrations_add_up_and_the_same_command_keeps_them(run, capsys):
    options = ["--evaluation.batches", "1", "--evaluation.repeats", "0"]
    for size in ("22", "18"):
        assert calibrate.main(["--run", str(run.path), "--size", size, *options]) == 0
    known = {setting.resolution for setting in load_network(run).settings}
    assert {22, 18} <= known
    with pytest.raises(RecipeError, match="`size` must be resolutions that were not trained. Received: 24"):
        calibrate.main(["--run", str(run.path), "--size", "24"])
    rows = {row["setting"]: row for row in run.read_table()["rows"]}
    assert "model-3, 1 batches" in rows["r22"]["calibrated"]
    recipe = run.recipe()
    (run.path.parent / "recipe.yaml").write_text(json.dumps(recipe))
    assert train.main(["--recipe", str(run.path.parent / "recipe.yaml"), "--run", str(run.path)]) == 0
    after = {row["setting"]: row for row in run.read_table()["rows"]}
    for name in ("r22", "r18"):
        assert after[name]["calibrated"] == rows[name]["calibrated"] and after[name]["top1"] == rows[name]["top1"]
    assert after["r24"]["top1"] == rows["r24"]["top1"]


def test_calibrated_norms_of_another_checkpoint_are_left_out(original, tmp_path, caplog):
    shutil.copytree(original.path, tmp_path / "run")
    run = Run(tmp_path / "run")
    run.add_calibrated("model-1", {40: Private({"x": np.zeros(1)}, {})})
    assert run.calibrated("model-3") == {} and "model-1" in caplog.text
    assert list(run.calibrated("model-1")) == [Setting(40)]
    assert [setting.resolution for setting in load_network(run).settings] == [32, 24, 16]


def test_sweep(run, capsys):
    """Resolutions of any kind by one way of inference, compared with the norms of the trained one below."""
    command = ["--run", str(run.path), "--evaluation.repeats", "2", "--json"]
    assert evaluate.main([*command, "--size", "26", "14", "--inference", "proxy", "data-free"]) == 0
    results = json.loads(capsys.readouterr().out)
    assert [(row["resolution"], row["inference"]) for row in results["rows"]] == [
        (26, "proxy"),
        (14, "proxy"),
        (26, "data-free"),
        (14, "data-free"),
    ]
    assert json.loads((run.path / "sweep.json").read_text()) == results
    assert (run.path / "sweep.png").stat().st_size > 1000 and all(row["ms"] > 0 for row in results["rows"])
    assert evaluate.main(["--run", str(run.path), "--size", "26", "--evaluation.norms_of", "24", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert row["top1"] == results["rows"][0]["top1"]
    assert evaluate.main([*command[:-1], "--inference", "proxy"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]] == ["r32", "r24", "r16"]


@pytest.mark.parametrize("cut", ["training", "evaluation"])
def test_pictures_of_calibration(original, cut):
    """As many batches of training pictures as asked for, the same ones for every size and at every call."""
    opened = open_run(original.path)
    pictures = calibration_pictures(opened.task, opened.source, 2, cut, [32, 24, 16], seed=0)
    first, again, smaller = (list(pictures(size)) for size in (24, 24, 16))
    assert [batch.shape[0] for batch in first] == [4, 4] and smaller[0].shape[1:] == (16, 16, 3)
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, other)
    shrunk = tf.reduce_mean(first[0], [1, 2, 3]) - tf.reduce_mean(smaller[0], [1, 2, 3])
    assert np.abs(shrunk).max() < 0.05  # grey pictures: which ones they are shows in their mean
