"""A MutualNet through the commands: training, the grid and its interruption, export, budgets."""

import json

import numpy as np
import pytest
import tensorflow as tf
from tfres.data.sources import open_source

from tfres import adapt, evaluate, export, session, table, train
from tfres.evaluation import grid
from tfres.errors import RecipeError
from tfres.run import Run

OPTIONS = ["--arch", "mutual_wideresnet10_2", "--sizes", "16", "12", "--fake", "--data.fake_size", "16", "--batch-size", "8"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mutual") / "run"
    assert train.main([*OPTIONS, "--kd", "--model.width_range", "[0.5, 1.0]", "--run", str(folder)]) == 0
    return Run(folder)


def test_training_writes_every_term(run):
    header = (run.path / "metrics.csv").read_text().splitlines()[0]
    for term in ("train_cross_entropy", "train_distillation_w0.5", "train_distillation_random1", "train_distillation_random2"):
        assert term in header
    data = run.recipe().data
    assert (data.resize, data.flip, data.evaluation_cut) == ("align_corners", "shared", "once")
    assert [row["setting"] for row in run.read_table()["rows"]] == ["r16-w1", "r16-w0.5"]


def test_grid_goes_on_where_it_was_interrupted(run, capsys, monkeypatch, tmp_path):
    command = ["--run", str(run.path), "--grid", "--widths", "0.5", "0.75", "1.0", "--batches", "1"]
    evaluate_some, calls = grid._evaluate_some, []

    def interrupted(model, crop, source, recipe, settings, pictures):
        if calls:
            raise KeyboardInterrupt
        calls.append(settings)
        return evaluate_some(model, crop, source, recipe, settings, pictures)

    monkeypatch.setattr(grid, "_evaluate_some", interrupted)
    with pytest.raises(KeyboardInterrupt):
        evaluate.main(command)
    done = {row["setting"] for row in run.read_table()["rows"] if row.get("calibrated")}
    assert done == {"r16-w1", "r16-w0.75", "r16-w0.5"} == set(map(str, calls[0]))
    second = []
    monkeypatch.setattr(grid, "_evaluate_some", lambda *args: second.append(args[4]) or evaluate_some(*args))
    capsys.readouterr()
    assert evaluate.main([*command, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [list(map(str, settings)) for settings in second] == [["r12-w1", "r12-w0.75", "r12-w0.5"]]
    assert evaluate.main([*command[:-1], "2", "--size", "12", "--json"]) == 0  # another calibration is another result
    assert list(map(str, second[1])) == ["r12-w1", "r12-w0.75", "r12-w0.5"] and len(second) == 2
    capsys.readouterr()
    assert {row["setting"] for row in rows} == {f"r{r}-w{w}" for r in (16, 12) for w in ("1", "0.75", "0.5")}
    assert all(row["ms"] > 0 and 0 <= row["top1"] <= 1 and row["macs"] > 0 for row in rows)
    assert (run.path / "grid.png").stat().st_size > 1000
    assert table.best(table.load(run.path), budget_macs=max(row["macs"] for row in rows))["setting"] in {
        r["setting"] for r in rows
    }

    # The run now has statistics for every pair: evaluation, export and budgets work with them.
    model, crop = session.load_run(run)
    assert len(model.settings) == len(model.calibrated_settings) == 6
    assert evaluate.main(["--run", str(run.path), "--json"]) == 0
    assert export.main(["--run", str(run.path), "--out", str(tmp_path)]) == 0
    path = capsys.readouterr().out.splitlines()[-1]
    signatures = tf.saved_model.load(path).signatures
    pictures = np.random.default_rng(0).integers(0, 256, (2, 20, 20, 3)).astype(np.uint8)
    for setting in model.settings:
        expected = model(crop.at(pictures, setting.resolution), setting=setting)
        found = signatures[f"serve_{setting}"](images=pictures)["logits"]
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    assert adapt.main([path, "--calls", "4", "--out", str(tmp_path / "demo")]) == 0


def test_random_widths_and_sides_come_with_the_batch():
    """One number per step, the same for every picture and replica, another one in the next step."""
    from tfres.data.pipeline import training_batches

    from tfres.recipe import DataRecipe

    recipe = DataRecipe(source="fake", side=16, crop="none", rules="torchvision", batch_size=8, fake_size=16)
    source = open_source(recipe, 3)
    whole = [draws.numpy() for _, _, draws in training_batches(source, recipe, 0, draws=4, shared=1).take(2)]
    half = next(iter(training_batches(source, recipe, 0, draws=4, shared=1, replicas=2)))[2].numpy()
    assert whole[0].shape == (8, 5) and len(set(whole[0][:, 4])) == 1 and len(set(whole[0][:, 3])) == 8
    assert whole[0][0, 4] != whole[1][0, 4] and half[0, 4] == whole[0][0, 4]
    np.testing.assert_array_equal(half, whole[0][:4])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--engine", "tensorpack"], "`engine` must be keras for mutualnet"),
        (["--training.low_memory", "true"], "`low_memory` must be False for mutualnet"),
        (["--kd-type", "ens"], "`kd_type` must be one of left out for mutualnet"),
        (["--qw", "2"], "`weight_bits` is no option of mutual_wideresnet10_2"),
        (["--model.width_range", "[1.0, 0.5]"], "`width_range` must be two ascending"),
    ],
)
def test_options_it_does_not_have(options, message, tmp_path):
    with pytest.raises(RecipeError, match=message):
        train.main([*OPTIONS, *options, "--run", str(tmp_path / "run")])
    with pytest.raises(RecipeError, match="`random_widths` belongs to mutualnet"):
        train.main(["--arch", "resnet20", "--fake", "--training.random_widths", "1", "--run", str(tmp_path / "run")])


@pytest.mark.parametrize(
    ("options", "settings", "term"),
    [
        (["--model.private", "true", "--model.width_mults", "[1.0, 0.5]"], ["r16-w1", "r16-w0.5"], "cross_entropy_w0.5"),
        (
            ["--kd", "--model.channel_lists", "{m9: [8,8,8,8,16,16,16,32,32,32], m40: [16,24,24,24,40,48,48,64,72,72]}"],
            ["r16-netm40", "r16-netm9"],
            "distillation_netm9",
        ),
    ],
)
def test_switches_and_channel_lists(options, settings, term, tmp_path, capsys):
    """Slimmable networks: norms wholly private, every switch trained in every step, nothing random."""
    folder = tmp_path / "run"
    assert train.main([*OPTIONS, *options, "--run", str(folder)]) == 0
    run = Run(folder)
    assert [row["setting"] for row in run.read_table()["rows"]] == settings
    assert f"train_{term}" in (folder / "metrics.csv").read_text().splitlines()[0]
    assert (run.recipe().training.random_widths, run.recipe().training.random_sides) == (0, False)
    model, crop = session.load_run(run)
    assert export.main(["--run", str(folder), "--out", str(tmp_path)]) == 0
    signatures = tf.saved_model.load(capsys.readouterr().out.splitlines()[-1]).signatures
    pictures = tf.zeros([1, 16, 16, 3], tf.uint8)
    for setting in settings:
        expected = model(crop.at(pictures, 16), setting=setting)
        found = signatures[f"serve_{setting}"](images=pictures)["logits"]
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(model.materialize(setting)(crop.at(pictures, 16)), expected, rtol=1e-5, atol=1e-5)
    with pytest.raises(RecipeError, match="`random_widths` must be 0 where norms are private"):
        train.main([*OPTIONS, *options, "--training.random_widths", "1", "--run", str(tmp_path / "other")])


def test_a_checkpoint_of_the_authors(tmp_path, capsys):
    torch = pytest.importorskip("torch")
    import gzip

    from tests.conftest import DATA
    from tests.reference import fill
    from tfres.convert.__main__ import main as convert_main

    with gzip.open(DATA / "mutualnet_wideresnet_10_2.json.gz") as file:
        tensors = fill(json.load(file)["tensors"])
    content = {"model": {f"module.{name}": torch.from_numpy(np.array(value)) for name, value in tensors.items()}}
    torch.save({**content, "optimizer": {"state": {}}, "last_epoch": 200}, tmp_path / "checkpoint_200.pt")
    command = [
        "mutualnet",
        "wideresnet",
        str(tmp_path / "checkpoint_200.pt"),
        "--data",
        "fake",
        "--out",
        str(tmp_path / "run"),
    ]
    with pytest.raises(RecipeError, match=r"`widths` must be 3, one per pair of statistics.*Received: widths=\[0.9, 1.0\]"):
        convert_main(command)
    assert convert_main([*command, "--widths", "0.5", "0.9", "1.0"]) == 0
    assert evaluate.main(["--run", str(tmp_path / "run"), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out.splitlines()[-1])["rows"]
    assert [row["setting"] for row in rows] == ["r32-w1", "r32-w0.9", "r32-w0.5"]


def test_wrong_grid(run):
    for options, message in (
        (["--grid", "--widths", "0.3"], r"`widths` must be between 0.5 and 1, the range of the training. Received: \[0.3\]"),
        (["--widths", "0.5"], "`widths` needs `grid`"),
        (["--grid", "--sweep"], "`grid` goes without sweep"),
        (["--sweep"], "`sweep` and `inference` are for networks of one width"),
    ):
        with pytest.raises(RecipeError, match=message):
            evaluate.main(["--run", str(run.path), *options])
