"""A network with exits through the commands: training, every exit, policies, wrong usage."""

import dataclasses
import json

import numpy as np
import pytest

from tfres import calibrate, cli, evaluate, export, train
from tfres.deploy import AdaptiveModel
from tfres.errors import DataError, RecipeError
from tfres.evaluation.early_exit.collecting import collect
from tfres.evaluation.early_exit.finding import find_policies
from tfres.evaluation.early_exit.outcomes import taken
from tfres.evaluation.opened import open_run
from tfres.evaluation.report import with_policies
from tfres.families.networks import load_network
from tfres.models.weights import fingerprint_of
from tfres.policies import Policy, PolicyError
from tfres.recipe import PolicyOptions
from tfres.run import Run

TINY = ["--arch", "ranet_cifar", "--model.scales", "[1, 2]", "--model.channel_factors", "[2, 1]"]
TINY += [
    "--model.bottleneck_factors",
    "[2, 1]",
    "--model.channels",
    "4",
    "--model.growth",
    "4",
    "--model.step",
    "1",
    "--model.blocks",
    "1",
]
TINY += ["--sizes", "16", "--fake", "--data.fake_size", "60", "--batch-size", "16", "--training.saves_per_epoch", "1"]
EXITS = ["exit3", "exit2", "exit1"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exits") / "run"
    assert train.main([*TINY, "--data.holdout", "0.3", "--run", str(folder)]) == 0
    return Run(folder)


@pytest.fixture(scope="module")
def opened(run):
    return open_run(run.path)


def _evaluated(run, capsys, *options):
    capsys.readouterr()
    assert evaluate.main(["--run", str(run.path), "--evaluation.repeats", "2", "--json", *options]) == 0
    return json.loads(capsys.readouterr().out)["rows"]


def test_training_ends_with_every_exit_and_policies(run, opened):
    rows = run.read_table()["rows"]
    exits, policies = [row for row in rows if row.get("exit")], [row for row in rows if row.get("policy")]
    assert [row["setting"] for row in exits] == EXITS and policies and len(rows) == len(exits) + len(policies)
    for row in exits:
        assert {"top1", "top5", "macs", "macs_sequential", "operations", "ms", "ms_p90"} <= row.keys()
        assert row["macs"] == opened.network.cost(row["setting"]).macs <= row["macs_sequential"] < row["operations"]
    for row in policies:
        policy = Policy.from_dict(row["policy"])
        policy.check_for(opened.network.exits, fingerprint_of(opened.network))
        assert policy.calibration["split"] == "calibration" and policy.calibration["pictures"] == 18
    assert {"exits.json", "exits.png", "exits_pictures.png"} <= {path.name for path in run.path.iterdir()}
    assert run.facts()["pictures"] == 42


def test_export_with_ranges_from_training_pictures(run, tmp_path, capsys):
    capsys.readouterr()
    command = ["--run", str(run.path), "--out", str(tmp_path), "--form", "litert", "--precision", "int8-full"]
    assert export.main(command) == 0
    model = AdaptiveModel(capsys.readouterr().out.strip(), cache=tmp_path)
    network, opened = load_network(run), open_run(run.path)  # (of other pictures the ranges would not be)
    task, batch = opened.task, next(iter(opened.task.evaluation_batches(opened.source, [16])))
    images = batch["images"][16].numpy()
    for setting in network.settings:
        expected = network(task.resized(images, 16), setting=setting).numpy()
        found = model.predict(images, setting=setting).logits
        assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] >= 0.99


def test_policies_for_budgets(run, opened, capsys):
    """A policy is what its row says: run with it, the network leaves where the shares say and costs what the row says."""
    first, last = (opened.network.more_costs(name)["macs_sequential"] for name in ("exit1", "exit3"))
    rows = _evaluated(run, capsys, "--policies.macs", f"[{(first + last) / 2}]", "--policies.accuracy", "[0.01]")
    policies = {row["setting"]: row for row in rows if row.get("policy")}
    assert len(policies) == 2 and f"policy-{(first + last) / 2e6:.4g}M" in policies and "policy-1percent" in policies
    (test,) = collect(opened.network, opened.task, opened.source, "validation")
    for row in policies.values():
        policy = Policy.from_dict(row["policy"])
        skipped = [number for number, value in zip(policy.exits, policy.thresholds, strict=False) if value is None]
        costs = [opened.network.costs_on_the_way(number, skipped)["macs"] for number in opened.network.exits]
        at = taken(test.scores(opened.task, policy.score, policy.temperatures), policy.thresholds)
        assert row["macs"] == pytest.approx(np.mean([costs[place] for place in at]))
        assert row["top1"] == pytest.approx(test.hits[at, np.arange(len(at))].mean())
        images = next(iter(opened.task.evaluation_batches(opened.source, [16])))
        inputs = opened.task.prepare(images, [16], training=False)[0][16]
        decision = opened.network.adaptive(inputs, policy, opened.task)
        assert [opened.network.exits[place] for place in at[: len(inputs)]] == decision.exit.numpy().tolist()
    kept = {row["setting"] for row in run.read_table()["rows"]}
    assert {*policies, *EXITS} <= kept


def test_policies_for_the_references_operations(opened):
    first, last = (opened.network.more_costs(name)["operations"] for name in ("exit1", "exit3"))
    budget = (first + last) / 2
    (row,) = find_policies(opened, PolicyOptions(operations=[budget])).rows
    policy = Policy.from_dict(row["policy"])
    assert row["setting"] == f"policy-{budget / 1e6:.4g}Mops" and policy.calibration["budget_operations"] == budget
    costs = [opened.network.costs_on_the_way(number)["operations"] for number in opened.network.exits]
    assert np.dot(policy.shares, costs) <= budget  # all heads charged, so that less is spent at most


def test_published_rule(opened):
    found = find_policies(opened, PolicyOptions(rule="reference"))
    assert len(found.rows) == 39 and {row["policy"]["score"] for row in found.rows} == {"probability"}
    assert {tuple(row["policy"]["temperatures"]) for row in found.rows} == {(1.0,) * 3}


def test_policy_for_a_time(opened):
    (row,) = find_policies(opened, PolicyOptions(ms=[1e4])).rows
    assert row["setting"] == "policy-10000ms" and row["policy"]["calibration"]["budget_ms"] == 1e4


def test_policies_of_other_weights_go(run, opened, capsys):
    """Rows that were found for other weights do not stay beside new ones."""
    table = run.read_table()
    old = next(row for row in table["rows"] if row.get("policy"))
    foreign = {**old, "setting": "policy-old", "policy": {**old["policy"], "network": "0" * 64}}
    run.add_to_table({"rows": [foreign]})
    _evaluated(run, capsys)
    names = {row["setting"] for row in run.read_table()["rows"]}
    assert "policy-old" not in names and old["setting"] in names
    with pytest.raises(PolicyError, match="weights of this network"):
        Policy.from_dict(foreign["policy"]).check_for(opened.network.exits, fingerprint_of(opened.network))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--policies.macs", "[1000]"], "exit 1 costs"),
        (["--policies.operations", "[1000]"], "`operations` must be at least .* exit 1 costs"),
        (["--policies.ms", "[1e-6]"], "`ms` must be at least .* what exit 1 takes"),
        (["--policies.accuracy", "[0.999]"], "`accuracy`"),
        (["--policies.accuracy", "[1.5]"], "`accuracy` must be between 0 and 1"),
        (["--policies.macs", "[]"], "`macs` must be"),
        (["--policies.macs", "[-5]"], "`macs` must be"),
        (["--policies.score", "luck"], "`policies.score`|`score` must be one of"),
        (["--policies.rule", "reference", "--policies.macs", "[1e6]"], "left out with rule reference"),
        (["--policies.split", "train"], "one of calibration, test"),
        (["--policies.macs", "[1e6]", "--data", "fake"], "without `data`"),
        (["--calibrate"], "norms of their own"),
        (["--size", "24"], "`size` must be 16"),
        (["--inference", "proxy"], "`inference` is for networks of several resolutions"),
        (["--width", "0.5"], "`width` is for networks of several widths|norms of their own"),
    ],
)
def test_wrong_usage(run, options, message):
    before = run.table.read_bytes()
    with pytest.raises(RecipeError, match=message):
        evaluate.main(["--run", str(run.path), *options])
    assert run.table.read_bytes() == before


def test_calibrating_norms_is_refused(run):
    with pytest.raises(RecipeError, match="norms of their own|not trained"):
        calibrate.main(["--run", str(run.path), "--size", "24"])


def test_no_pictures_held_out(opened, caplog):
    """Without them there are exits only, unless the user says that the test pictures may serve."""
    without = dataclasses.replace(opened, source=dataclasses.replace(opened.source, calibration=None))
    caplog.set_level("INFO")
    assert with_policies(without, {"rows": []}, None, keep=False) == {"rows": []} and "data.holdout" in caplog.text
    with pytest.raises(RecipeError, match="`policies.split` must be test"):
        find_policies(without, PolicyOptions(macs=[1e9]))
    (row,) = find_policies(without, PolicyOptions(macs=[1e9], split="test")).rows
    assert row["policy"]["calibration"]["split"] == "test" and row["setting"].endswith("-test")


def test_policies_are_for_exits_only(tmp_path):
    options = ["--arch", "resnet20", "--model.blocks", "[1]", "--model.widths", "[4]", "--sizes", "16", "--mode", "float"]
    assert train.main([*options, "--fake", "--data.fake_size", "8", "--batch-size", "8", "--run", str(tmp_path / "run")]) == 0
    with pytest.raises(RecipeError, match="`policies` are for networks with exits"):
        evaluate.main(["--run", str(tmp_path / "run"), "--policies.macs", "[1e6]"])


def test_outputs_that_are_no_numbers(run, opened):
    network = load_network(run)
    (bias,) = (weight for weight in network.weights if weight.name == "heads/exit2/linear/bias:0")
    bias.assign(np.full(bias.shape, np.nan))
    with pytest.raises(DataError, match="finite.* exit2"):
        collect(network, opened.task, opened.source, "calibration")


def test_exit_codes(run, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.run_main(evaluate.main, ["--run", str(run.path), "--policies.macs", "[1]"])
    error = capsys.readouterr().err
    assert ended.value.code == cli.WRONG_USAGE and "error: `macs` must be at least" in error and "Traceback" not in error
