"""A family and a task from this folder alone go through every command."""

import json

import numpy as np
import pytest

from tests import toy
from tests.toy.data import PatchesData
from tests.toy.task import Patches
from tfres import AdaptiveModel, calibrate, evaluate, export, from_preset, profile, train
from tfres.errors import DataError
from tfres.recipe import Recipe

ARCHS = {
    "toy": ["--arch", "toy8", "--objective.strength", "0.5"],
    "rsnet": ["--arch", "resnet20", "--model.blocks=[1,1]", "--model.widths=[8,16]", "--qw", "2", "--qa", "2", "--kd"],
    "rsnet float": ["--arch", "resnet20", "--model.blocks=[1,1]", "--model.widths=[8,16]", "--mode", "float", "--kd"],
    "mutualnet": ["--arch", "mutual_wideresnet10_2", "--model.widths=[8,16,24,32]", "--model.width_range=[0.5,1]", "--kd"],
}
TASKS = {"classification": ["--fake"], "patches": ["--task", "patches"]}
SMALL = ["--sizes", "16", "12", "--batch-size", "8", "--data.fake_size", "16", "--training.saves_per_epoch", "1"]
SCORES = {"classification": "top1", "patches": "exact"}
ANSWERS = {"classification": {"logits", "probabilities", "class"}, "patches": {"probabilities", "present"}}


@pytest.fixture(autouse=True)
def _installed(monkeypatch):
    toy.install(monkeypatch)


def _trained(family, task, engine, run):
    """The table of a short training."""
    argv = [*ARCHS[family], *TASKS[task], *SMALL, "--engine", engine, "--run", str(run)]
    assert train.main(argv) == 0
    table = json.loads((run / "table.json").read_text())
    assert table["score"] == SCORES[task] and all(SCORES[task] in row for row in table["rows"])
    return table["rows"]


@pytest.mark.parametrize(
    ("family", "task", "engine"),
    [
        ("toy", "classification", "tensorpack"),
        ("toy", "patches", "keras"),
        ("rsnet", "patches", "tensorpack"),
        ("mutualnet", "patches", "keras"),
    ],
)
def test_training(family, task, engine, tmp_path):
    assert _trained(family, task, engine, tmp_path / "run")


@pytest.mark.parametrize(
    ("family", "task", "engine"),
    [("toy", "classification", "keras"), ("toy", "patches", "tensorpack"), ("rsnet float", "patches", "keras")],
)
def test_every_command(family, task, engine, tmp_path, capsys):
    run, score = tmp_path / "run", SCORES[task]
    trained = _trained(family, task, engine, run)
    capsys.readouterr()
    assert evaluate.main(["--run", str(run), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [row[score] for row in rows] == [row[score] for row in trained]
    assert evaluate.main(["--run", str(run), "--data", TASKS[task][-1].removeprefix("--")]) == 0

    calibration = ["--evaluation.batches", "1", "--evaluation.repeats", "2"]
    assert calibrate.main(["--run", str(run), "--size", "14", *calibration]) == 0
    assert profile.main(["--run", str(run), "--repeats", "2"]) == 0
    capsys.readouterr()

    assert export.main(["--run", str(run), "--out", str(tmp_path / "out"), "--name", "net"]) == 0
    model = AdaptiveModel(capsys.readouterr().out.strip(), cache=tmp_path / "cache", measure_seconds=0.1)
    assert "r14" in model.settings and model.score == score
    pictures = np.random.default_rng(0).integers(0, 256, (2, 20, 20, 3), np.uint8)
    for setting in (None, "r14"):
        answer = model.predict(pictures, setting=setting)
        assert set(answer.outputs) == ANSWERS[task] and len(answer.probabilities) == 2


def test_the_toy_learns(tmp_path):
    """It is a network and a task like any other: a few passes find most patches, and the same command goes on."""
    argv = [*ARCHS["toy"], *TASKS["patches"], "--sizes", "16", "12", "--batch-size", "32", "--data.fake_size", "256"]
    run = tmp_path / "run"
    assert train.main([*argv, "--epochs", "8", "--training.saves_per_epoch", "1", "--run", str(run)]) == 0
    rows = json.loads((run / "table.json").read_text())["rows"]
    assert all(row["labels"] > 0.8 for row in rows)


def test_only_the_fields_of_family_and_task_are_there(capsys):
    with pytest.raises(SystemExit):
        train.main(["--arch", "toy8", "--task", "patches", "--help"])
    printed = capsys.readouterr().out
    assert "--objective.strength" in printed and "--model.channels" in printed
    assert "--objective.kd_type" not in printed and "--data.rules" not in printed and "--model.weight_bits" not in printed
    with pytest.raises(SystemExit):
        train.main(["--arch", "toy8", "--data.rulez", "x"])
    assert "Did you mean" in capsys.readouterr().err


def test_presets_and_recipes(tmp_path):
    from tfres import read_recipe

    network = from_preset("toy8", channels=4)
    assert network.built and network.options.channels == 4
    recipe = read_recipe({"task": "patches", "model": {"arch": "toy8"}, "objective": {"strength": 2}})
    assert isinstance(recipe, Recipe) and recipe.objective.strength == 2.0


def opened(**options):
    """The toy task and its source."""
    data = PatchesData(side=16, batch_size=4, **options)
    source = Patches.open(data)
    return Patches(data.resolved(source), source.classes), source


def test_pictures_held_out_and_what_leaving_early_asks_for():
    task, source = opened(fake_size=10, holdout=0.3)
    assert (source.size, len(source.calibration[0])) == (7, 3) and task.data.holdout == 0.3
    targets = [target for batch in task.evaluation_batches(source, [16], "calibration") for target in batch["targets"]]
    np.testing.assert_array_equal(targets, source.calibration[1])
    outputs = np.float32([[9, -9, 9], [1, -9, 9]])
    assert task.correct(outputs, np.float32([[1, 0, 1], [0, 0, 1]])).numpy().tolist() == [True, False]
    for score in ("margin", "probability", "entropy"):
        surest, unsure = task.confidence(outputs, score, 2.0).numpy()
        assert surest > unsure
    task, source = opened(fake_size=10)
    assert source.calibration is None and task.data.holdout == 0
    with pytest.raises(DataError, match="`holdout` must be above 0"):
        task.evaluation_batches(source, [16], "calibration")
