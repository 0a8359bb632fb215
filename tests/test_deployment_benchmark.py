"""The benchmark of deployment on networks of a few channels: every part runs and says what it must."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from experiments.benchmarks import deploying, deployment_exits, deployment_forms, deployment_trained
from experiments.benchmarks.four_stages import FourStages
from experiments.docs import results_tables
from tests.deploy import exits
from tests.tasks.fakes import classification
from tfres.deploy import export_litert, export_savedmodel
from tfres.families import from_preset


@pytest.fixture(autouse=True)
def _here(monkeypatch):
    """In this process, with the threads that it has."""
    times = deploying.times
    monkeypatch.setattr(deploying, "use_cores", lambda count: None)
    monkeypatch.setattr(
        deploying, "times", lambda paths, names, sides, threads, rounds: times(paths, names, sides, None, rounds)
    )
    for part in (deployment_exits, deployment_forms, deployment_trained):
        monkeypatch.setattr(part, "in_child", lambda function, *args: function(*args))


def test_forms(monkeypatch):
    monkeypatch.setattr(deployment_forms, "NETWORKS", {"2/2": deployment_forms.LOW_BIT})
    monkeypatch.setattr(deployment_forms, "PRECISIONS", ("float", "int8"))
    found = deployment_forms.measured(deployment_forms.SMOKE, threads=(1,))
    rows = {row["form"]: row for row in found["forms"]}
    assert {"SavedModel", "SavedModel, packed", "LiteRT int8", "LiteRT float, r16 alone"} <= {*rows}
    assert all(row["MB"] > 0 and row["r16, 1 thread, ms"] for form, row in rows.items() if "r12 alone" not in form)
    lines = {line["what"]: line for line in found["acceptance"]}
    assert lines["packed: largest difference to the plain export"]["holds"] and len(lines) == 7


def test_bounds_of_float_forms():
    sizes = {"LiteRT float": 103, "LiteRT int8": 28, "LiteRT float, r224 alone": 100}
    ms = {(form, f"serve_r{side}"): 10.0 for form in sizes for side in (224, 96)} | {("LiteRT int8", "serve_r224"): 3.0}
    ms["LiteRT float, r96 alone", "serve_r96"] = 9.0
    lines = deployment_forms.judged_float(sizes, ms, {"LiteRT float": 1e-5}, (224, 96))
    assert [line["holds"] for line in lines] == [True, True, False, True, True, False, False]


def test_trained(monkeypatch, tmp_path, rng):
    """Of a network instead of a run: the table is joined from forms, settings and the snapped network."""
    options = {**deployment_forms.LOW_BIT, **deployment_forms.SMOKE["network"]}
    network = deploying.different_norms(from_preset("resnet18", resolutions=(16, 12), classes=5, **options))
    task, pictures = classification(5), {side: exits.pictures(rng, 60, side, side) for side in (16, 12)}
    forms = {
        "SavedModel": export_savedmodel(network, task, tmp_path, "net"),
        "LiteRT int8": export_litert(network, task, tmp_path, "net", precision="int8"),
    }
    opened = SimpleNamespace(network=network, task=task)
    monkeypatch.setattr(deployment_trained, "open_run", lambda path, data: opened)
    monkeypatch.setattr(deployment_trained, "exported", lambda *_: forms)
    monkeypatch.setattr(deployment_trained, "test_split", lambda *_: (pictures, np.arange(60) % 5))
    rows, lines = deployment_trained.measured("tiny", "run", rounds=1)
    found = {(row["form"], row["setting"]): row for row in rows}
    assert {(form, setting) for form in (*forms, "snapped, Keras") for setting in ("r16", "r12")} <= {*found}
    assert found["SavedModel", "r16"]["same class as SavedModel, %"] == 100 and found["LiteRT int8", "r12"]["ms"] > 0
    assert found["snapped, Keras", "r12"]["same class as snapped, %"] == 100 and len(lines) >= 2


def test_exits():
    found = deployment_exits.measured(deployment_exits.SMOKE)
    assert {row["form"] for row in found["shares"]} == {"SavedModel", "LiteRT stages"}
    lines = [line for line in found["acceptance"] if "difference" in line["what"]]
    assert len(lines) == 2 and all(line["holds"] for line in lines)
    shares = {row["who leaves"]: row["multiply-adds"] for row in found["shares"]}
    assert shares["nobody leaves"] == 1 and shares["50% of those who can"] < shares["25% of those who can"] < 1


def test_multiply_adds_are_counted():
    network = FourStages(classes=10, **deployment_exits.SMOKE["network"])
    network.build()
    for number in (1, 4):
        others = [one for one in (1, 2, 3) if one < number]
        assert network.costs_on_the_way(number, others)["macs"] == network.cost(f"exit{number}").macs


def test_bounds():
    assert deploying.bounded("x", 1.0, "<= 1") == {"what": "x", "figure": 1.0, "bound": "<= 1", "holds": True}
    assert not deploying.bounded("x", np.float32(2.7), ">= 2.8")["holds"]
    json.dumps(deploying.bounded("x", np.float32(2.7), ">= 2.8"))


def test_rows_become_tables():
    assert results_tables._rows([{"a": 1.5, "b": None}, {"c": True}]).splitlines() == [
        "| a | b | c |",
        "| --- | --- | --- |",
        "| 1.50 |  |  |",
        "|  |  | True |",
    ]
