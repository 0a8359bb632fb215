"""A MutualNet through the commands: training, a grid and its interruption, export, budgets."""

import gzip
import json

import numpy as np
import pytest
import tensorflow as tf

from tests.conftest import DATA
from tests.models.test_mutualnet import small
from tests.reference import fill
from tests.tasks.fakes import classification
from tfres import adapt, cli, evaluate, export, table, train
from tfres.errors import RecipeError
from tfres.evaluation import requests
from tfres.evaluation.opened import open_run
from tfres.families.networks import load_network
from tfres.objectives import MutualLearning
from tfres.run import Run

OPTIONS = ["--arch", "mutual_wideresnet10_2", "--model.widths", "[8, 16, 24, 32]", "--sizes", "16", "12", "--fake"]
OPTIONS += ["--data.fake_size", "16", "--batch-size", "8"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mutual") / "run"
    assert train.main([*OPTIONS, "--kd", "--model.width_range", "[0.5, 1.0]", "--run", str(folder)]) == 0
    return Run(folder)


def _terms(run):
    header = (run.path / "metrics.csv").read_text().splitlines()[0].split(",")
    return {name.removeprefix("train_") for name in header if name.startswith("train_")} - {"loss"}


def test_training_writes_every_term(run):
    random = {"distillation_random1", "distillation_random2"}
    assert _terms(run) == {"cross_entropy", "distillation_w0.5", *random, "weight_decay"}
    data = run.recipe()["data"]
    assert (data["resize"], data["flip"], data["evaluation_cut"]) == ("align_corners", "shared", "once")
    assert [row["setting"] for row in run.read_table()["rows"]] == ["r16-w1", "r16-w0.5"]


def test_a_step_runs_the_largest_the_smallest_and_random_widths(tmp_path):
    """However many widths have statistics of their own; all of them only where norms are private to the width."""
    three = ["--model.width_mults", "[1.0, 0.75, 0.5]", "--model.width_range", "[0.5, 1.0]", "--training.steps_per_epoch", "1"]
    with pytest.raises(RecipeError, match="`width_mults` must be both ends of `width_range`"):
        train.main([*OPTIONS, *three, "--run", str(tmp_path / "run")])  # the one between would keep no statistics
    network = small(width_mults=(1.0, 0.75, 0.5), width_range=(0.5, 1.0))
    inputs = {side: tf.zeros([2, side, side, 3]) for side in (16, 12)}
    objective, task = MutualLearning(kd=True, random_widths=1), classification(5)
    terms = objective(network, inputs, tf.constant([0, 1]), task, tf.constant([0.5])).terms
    assert set(terms) == {"cross_entropy", "distillation_w0.5", "distillation_random1"}
    private = ["--model.private", "true", "--run", str(tmp_path / "private")]
    assert train.main([*OPTIONS, "--kd", *three, *private]) == 0
    both = {"distillation_w0.75", "distillation_w0.5"}
    assert _terms(Run(tmp_path / "private")) == {"cross_entropy", *both, "weight_decay"}


def test_grid_goes_on_where_it_was_interrupted(run, capsys, monkeypatch, tmp_path):
    command = ["--run", str(run.path), "--size", "16", "12", "--width", "0.5", "0.75", "1.0", "--evaluation.repeats", "2"]
    one, two = ["--evaluation.batches", "1"], ["--evaluation.batches", "2"]
    add, calls = Run.add_to_table, []

    def interrupted(self, found):
        if calls:
            raise KeyboardInterrupt
        calls.append([row["setting"] for row in found["rows"]])
        return add(self, found)

    monkeypatch.setattr(Run, "add_to_table", interrupted)
    with pytest.raises(KeyboardInterrupt):
        evaluate.main([*command, *one])
    monkeypatch.undo()
    done = {row["setting"] for row in run.read_table()["rows"] if row.get("calibrated")}
    assert done == set(calls[0]) and 0 < len(done) < 6
    measure, second = requests.measure, []
    monkeypatch.setattr(requests, "measure", lambda opened, settings, *a, **k: second.append(settings) or measure(opened, settings, *a, **k))  # fmt: skip  # noqa: E501
    capsys.readouterr()
    assert evaluate.main([*command, *one, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    everything = {f"r{r}-w{w}" for r in (16, 12) for w in ("1", "0.75", "0.5")}
    assert set(map(str, second[0])) == everything - done
    assert {row["setting"] for row in rows} == everything
    assert all(0 <= row["top1"] <= 1 and row["macs"] > 0 for row in rows)
    assert all(row["ms"] > 0 for row in rows if row["setting"] not in done)
    assert (run.path / "grid.png").stat().st_size > 1000
    best = table.best(table.load(run.path), budget_macs=max(row["macs"] for row in rows))
    assert best["setting"] in everything
    fewer = ["--run", str(run.path), "--size", "12", *command[5:]]
    assert evaluate.main([*fewer, *two]) == 0  # another calibration is another result
    assert set(map(str, second[1])) == {"r12-w1", "r12-w0.75", "r12-w0.5"} and len(second) == 2
    assert evaluate.main([*fewer, *two]) == 0 and len(second) == 2

    # The run now has statistics for every pair: evaluation, export and budgets work with them.
    opened = open_run(run.path)
    network = opened.network
    assert len(network.settings) == len(network.calibrated_settings) == 6
    capsys.readouterr()
    assert evaluate.main(["--run", str(run.path), "--json"]) == 0
    assert {row["setting"] for row in json.loads(capsys.readouterr().out)["rows"]} == everything
    assert export.main(["--run", str(run.path), "--out", str(tmp_path)]) == 0
    path = capsys.readouterr().out.splitlines()[-1]
    signatures = tf.saved_model.load(path).signatures
    pictures = np.random.default_rng(0).integers(0, 256, (2, 20, 20, 3)).astype(np.uint8)
    for setting in network.settings:
        expected = network(opened.task.resized(pictures, setting.resolution), setting=setting)
        found = signatures[f"serve_{setting}"](images=pictures)["logits"]
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    assert adapt.main([path, "--calls", "4", "--out", str(tmp_path / "demo")]) == 0


def test_random_widths_and_sides_come_with_the_batch():
    """One number per step, the same for every replica, another one in the next step."""
    task = classification(3, fake_size=16)
    source = type(task).open(task.data, 3)
    whole = [batch["shared"].numpy() for batch in task.training_batches(source, [16, 12], 0, shared=1).take(2)]
    parts = task.training_batches(source, [16, 12], 0, shared=1, replicas=2)
    assert whole[0].shape == (1,) and whole[0] != whole[1]
    assert next(iter(parts))["shared"] == whole[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--training.low_memory", "true"], "`low_memory` must be false for mutualnet"),
        (["--kd-type", "ens"], "unrecognized arguments: --objective.kd_type"),
        (["--qw", "2"], "unrecognized arguments: --model.weight_bits"),
        (["--mode", "preact"], "`mode` must be one of float or null. Received: 'preact'"),
        (["--model.width_range", "[1.0, 0.5]"], "`width_range` must be two ascending"),
        (["--model.width_mults", "[]"], "`width_mults` must be at least one width"),
        (["--model.private", "true", "--objective.random_widths", "1"], "`random_widths` must be 0 where norms are private"),
        (["--model.synchronised_norms", "true", "--engine", "tensorpack"], "`synchronised_norms` must be false with the"),
    ],
)
def test_options_it_does_not_have(options, message, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.run_main(train.main, [*OPTIONS, *options, "--run", str(tmp_path / "run")])
    assert ended.value.code == 2 and message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "settings", "terms"),
    [
        (["--model.private", "true", "--model.width_mults", "[1.0, 0.5]"], ["r16-w1", "r16-w0.5"], {"cross_entropy_w0.5"}),
        (
            ["--kd", "--model.channel_lists", "{m9: [8,8,8,8,8,8,8,16,16,16], m40: [8,16,16,16,24,24,24,32,32,32]}"],
            ["r16-netm40", "r16-netm9"],
            {"distillation_netm9"},
        ),
    ],
    ids=["switches", "channel lists"],
)
def test_switches_and_channel_lists(options, settings, terms, tmp_path, capsys):
    """Slimmable networks: norms wholly private, every switch trained in every step, nothing random."""
    folder = tmp_path / "run"
    assert train.main([*OPTIONS, *options, "--run", str(folder)]) == 0
    run = Run(folder)
    assert [row["setting"] for row in run.read_table()["rows"]] == settings
    assert _terms(run) == {"cross_entropy", *terms, "weight_decay"}
    objective = run.recipe()["objective"]
    assert (objective["random_widths"], objective["random_sides"]) == (0, False)
    opened = open_run(folder)
    capsys.readouterr()
    assert export.main(["--run", str(folder), "--out", str(tmp_path)]) == 0
    signatures = tf.saved_model.load(capsys.readouterr().out.splitlines()[-1]).signatures
    pictures = tf.zeros([1, 16, 16, 3], tf.uint8)
    inputs = opened.task.resized(pictures, 16)
    for setting in settings:
        expected = opened.network(inputs, setting=setting)
        found = signatures[f"serve_{setting}"](images=pictures)["logits"]
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(opened.network.materialize(setting)(inputs), expected, rtol=1e-5, atol=1e-5)


def test_a_checkpoint_of_the_authors(tmp_path, capsys):
    torch = pytest.importorskip("torch")
    from tfres.convert.__main__ import main as convert_main

    with gzip.open(DATA / "mutualnet_wideresnet_10_2.json.gz") as file:
        tensors = fill(json.load(file)["tensors"])
    content = {"model": {f"module.{name}": torch.from_numpy(np.array(value)) for name, value in tensors.items()}}
    checkpoint = tmp_path / "checkpoint_200.pt"
    torch.save({**content, "optimizer": {"state": {}}, "last_epoch": 200}, checkpoint)
    command = ["mutualnet", "wideresnet", str(checkpoint), "--data", "fake", "--out", str(tmp_path / "run")]
    with pytest.raises(ValueError, match=r"`widths` must be 3, one per pair of statistics.*Received: widths=\[0.9, 1.0\]"):
        convert_main(command)
    assert convert_main([*command, "--widths", "0.5", "0.9", "1.0"]) == 0
    assert [str(setting) for setting in load_network(Run(tmp_path / "run")).settings] == ["r32-w1", "r32-w0.9", "r32-w0.5"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--width", "0.3"], r"`width` must be between 0.5 and 1, the range of the training. Received: \[0.3\]"),
        (["--width", "0.5", "0.5"], "`width` must be distinct"),
        (["--width", "0.5:1:0.0001"], "`width` must be at most 4096 numbers"),
        (["--width", "0.5", "--inference", "proxy"], "`inference` goes without calibrate, width and norms_of"),
        (["--inference", "proxy"], "`inference` is for networks of one width"),
        (["--size", "16", "--evaluation.norms_of", "12"], "`norms_of` is for networks of one width"),
    ],
)
def test_wrong_grid(run, options, message):
    with pytest.raises(RecipeError, match=message):
        evaluate.main(["--run", str(run.path), *options])
