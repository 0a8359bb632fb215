"""`measure`, profiles and latency: a row for every setting."""

import json
import shutil

import numpy as np
import pytest

import tfres
from tests.tasks.fakes import classification
from tfres import profile
from tfres.errors import RecipeError
from tfres.evaluation.latency import measure_latency, served_calls
from tfres.evaluation.measuring import How, measure
from tfres.evaluation.opened import open_run
from tfres.families import from_preset
from tfres.run import Run


def test_measure_calls_back_per_group_and_costs_are_the_networks(original):
    opened, groups = open_run(original.path), []
    table = measure(opened, how=How(), done=groups.append)
    rows = {row["setting"]: row for row in table["rows"]}
    assert list(rows) == ["r32", "r24", "r16", "ensemble"] and table["score"] == "top1"
    assert groups == [table["rows"]]
    for setting in opened.network.settings:
        cost = opened.network.cost(setting)
        row = rows[str(setting)]
        assert (row["macs"], row["params"], row["resolution"]) == (cost.macs, cost.params, setting.resolution)
    assert rows["ensemble"]["macs"] == sum(rows[name]["macs"] for name in ("r32", "r24", "r16"))
    trained = {row["setting"]: row for row in original.read_table()["rows"]}
    for name, row in rows.items():
        assert row["top1"] == trained[name]["top1"] and row["top5"] == trained[name]["top5"]
    only = measure(opened, [16], accuracy=False)["rows"]
    assert [row["setting"] for row in only] == ["r16"] and "top1" not in only[0]
    assert tfres.measure is measure


def test_how_knows_its_words():
    with pytest.raises(ValueError, match="`inference` must be one of proxy, ideal.*Received: inference='best'"):
        How("best")
    assert not How("proxy").anew and How("ideal+calibration").anew


def test_profile_merges_into_the_query_table(original, tmp_path, capsys):
    shutil.copytree(original.path, tmp_path / "run")
    run = Run(tmp_path / "run")
    before = run.read_table()
    assert profile.main(["--run", str(run.path), "--batch", "2", "--repeats", "3", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["batch"] == 2 and printed["rows"][0]["ms_p90"] >= printed["rows"][0]["ms"] > 0
    assert run.read_table() == before  # budgets in ms are for a picture
    assert profile.main(["--run", str(run.path), "--repeats", "3", "--json"]) == 0
    printed, after = json.loads(capsys.readouterr().out), run.read_table()
    assert after["batch"] == 1 and after["rows"][0]["ms"] == printed["rows"][0]["ms"]
    for old, new in zip(before["rows"], after["rows"], strict=True):
        assert new["setting"] == old["setting"] and new["top1"] == old["top1"] and new["macs"] == old["macs"]


def test_profile_of_an_architecture(capsys):
    assert profile.main(["--arch", "resnet18", "--size", "64", "--repeats", "1"]) == 0
    assert "11,689,512" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--arch", "resnet18", "--run", "x"], "`arch`"),
        (["--run", "x", "--size", "16"], "`arch`"),
        (["--arch", "resnet19"], "`arch` must be one of"),
        (["--arch", "resnet18", "--size", "64", "64"], "`size` must be distinct"),
    ],
)
def test_wrong_profiles(options, message):
    with pytest.raises(RecipeError, match=message):
        profile.main(options)


@pytest.mark.parametrize("option", ["--batch", "--threads", "--repeats"])
def test_numbers_of_profiles(option, capsys):
    for value in ("0", "-1", "many", "1.5", "1" + "0" * 30):
        with pytest.raises(SystemExit) as ended:
            profile.main(["--arch", "resnet20", option, value])
        assert ended.value.code == 2
        assert f"argument {option}: must be a positive whole number. Received: '{value}'" in capsys.readouterr().err


def test_times_are_of_the_served_form():
    """Medians of interleaved calls; the call answers as the network does."""
    order = []
    times = measure_latency({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, repeats=3, warmup=1)
    assert order == ["a", "b"] * 4 and set(times["a"]) == {"ms", "ms_p90"}
    network = from_preset("resnet20", blocks=[1], widths=[4], resolutions=[16], classes=5, weight_bits=2, activation_bits=2)
    task = classification(5)
    (call,) = served_calls({network.settings[0]: network}, task, batch=2).values()
    logits, *_ = call()
    zeros = task.resized(np.zeros([2, 16, 16, 3], np.uint8), 16)
    np.testing.assert_allclose(logits, network(zeros), rtol=1e-4, atol=1e-5)
