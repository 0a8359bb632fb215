"""The query table."""

import json
import math
import subprocess
import sys

import numpy as np
import pytest

from tfres import table as tables
from tfres.errors import ExportError, RunError

ROWS = [
    {"setting": "r32", "top1": 0.9, "macs": 100, "ms": 4.0},
    {"setting": "r24", "top1": 0.8, "macs": 50, "ms": 2.0},
    {"setting": "r28", "top1": 0.8, "macs": 60, "ms": 3.0},
    {"setting": "ensemble", "top1": 0.95, "macs": 150},
    {"setting": "r16", "top1": 0.5, "macs": 10},
]


def _with(**changes):
    return {"rows": [*ROWS, {"setting": "r8", "top1": 0.1, "macs": 1, "ms": 1.0, **changes}]}


def test_best_and_pareto():
    table = {"rows": ROWS}
    assert [row["setting"] for row in tables.pareto(table)] == ["r16", "r24", "r32"]
    assert [row["setting"] for row in tables.pareto(table, "ms")] == ["r24", "r32"]
    assert tables.best(table, budget_macs=70)["setting"] == "r24"
    assert tables.best(table, budget_ms=4)["setting"] == "r32"
    with pytest.raises(tables.BudgetError, match="`budget_ms` must be at least 2 ms, what r24 costs. Received: 1.5 ms"):
        tables.best(table, budget_ms=1.5)


POLICY = {"score": "margin", "thresholds": [1.0, None], "temperatures": [1.0, 1.0, 2.0], "exits": [1, 2, 3]}


def test_policies_are_chosen_like_settings():
    exits = [{"setting": f"exit{k}", "top1": 0.5 + k / 10, "macs": 100 * k, "ms": 10.0 * k} for k in (1, 2, 3)]
    rows = [*exits, {"setting": "policy-150", "policy": POLICY, "top1": 0.75, "macs": 150.5, "ms": 25.0}]
    table = {"rows": [*rows, {"setting": "ensemble", "top1": 0.95, "macs": 1}]}
    assert tables.best(table, budget_macs=199)["setting"] == "policy-150"
    assert tables.best(table, budget_ms=26)["setting"] == "policy-150"
    assert tables.best(table, budget_ms=21)["setting"] == "exit2"
    assert [row["setting"] for row in tables.pareto(table)] == ["exit1", "policy-150", "exit3"]
    assert [row["setting"] for row in tables.settings(table)] == ["exit1", "exit2", "exit3", "policy-150"]


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        (None, "`policy` of the row policy-1 must be a mapping"),
        ({}, "`policy` of the row policy-1 must have the field `score`"),
        ({**POLICY, "thresholds": [math.nan, 1.0]}, "`policy` of the row policy-1: `thresholds` must be a list of 2 finite"),
        ({**POLICY, "score": "luck"}, "`policy` of the row policy-1: `score` must be one of margin"),
    ],
)
def test_policies_that_are_none(policy, message):
    with pytest.raises(ValueError, match=message):
        tables.check({"rows": [*ROWS, {"setting": "policy-1", "policy": policy, "top1": 0.5, "macs": 3}]})


def test_score_of_another_task():
    rows = [{"setting": "r512x1024", "miou": 0.7, "macs": 10}, {"setting": "r256x512", "miou": 0.6, "macs": 2}]
    assert tables.best({"score": "miou", "rows": rows}, budget_macs=10)["setting"] == "r512x1024"
    assert [row["setting"] for row in tables.pareto({"score": "miou", "rows": rows})] == ["r256x512", "r512x1024"]
    with pytest.raises(ValueError, match="must have a setting with both `top1` and `macs`. r512x1024 lacks one"):
        tables.best({"rows": rows}, budget_macs=10)
    with pytest.raises(ValueError, match="`score` of a table must be the name of a figure. Received: score=3"):
        tables.pareto({"score": 3, "rows": rows})


@pytest.mark.parametrize("field", ["top1", "macs", "ms"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, "0.9", "many", True, [1], {}, np.float32("nan"), b"1"])
def test_figures_that_are_no_numbers(field, value):
    """Defect 16: NaN does not win."""
    for ask in (tables.pareto, lambda t: tables.best(t, budget_macs=1e9), lambda t: tables.best(t, budget_ms=1e9)):
        with pytest.raises(ValueError, match=f"`{field}` of the row r8 must be a finite number.*Received: {field}="):
            ask(_with(**{field: value}))


@pytest.mark.parametrize("value", [-1, -0.5])
def test_costs_below_zero(value):
    with pytest.raises(ValueError, match="`macs` of the row r8 must be a finite number, not negative"):
        tables.pareto(_with(macs=value))


@pytest.mark.parametrize("value", [None, "missing"])
def test_figures_that_were_not_measured(value):
    table = _with(top1=None) if value is None else {"rows": [*ROWS, {"setting": "r8"}]}
    assert tables.best(table, budget_macs=20)["setting"] == "r16"


@pytest.mark.parametrize(
    "table",
    [
        None,
        [],
        {},
        {"rows": None},
        {"rows": {}},
        {"rows": [3]},
        {"rows": [{}]},
        {"rows": [{"setting": 3}]},
        {"rows": ROWS * 2},
    ],
)
def test_what_is_no_table(table):
    with pytest.raises(ValueError, match="`table` must be a mapping|Row [05] (must be a mapping with the name|repeats)"):
        tables.pareto(table)


@pytest.mark.parametrize("budget", [0, -1, math.nan, math.inf, "3", True, [1]])
@pytest.mark.parametrize("name", ["budget_macs", "budget_ms"])
def test_budgets(name, budget):
    with pytest.raises(ValueError, match=f"`{name}` must be a positive, finite number. Received: {name}="):
        tables.best({"rows": ROWS}, **{name: budget})


def test_one_budget():
    for budgets in ({}, {"budget_macs": 1, "budget_ms": 1}):
        with pytest.raises(ValueError, match="Give `budget_macs` or `budget_ms`"):
            tables.best({"rows": ROWS}, **budgets)


def test_no_rows():
    assert tables.pareto({"rows": []}) == []
    with pytest.raises(ValueError, match="The table must have a setting with both `top1` and `ms`"):
        tables.best({"rows": []}, budget_ms=1)


def test_merge_and_save(tmp_path):
    old = {"machine": "a", "rows": [{"setting": "r32", "top1": 0.5, "calibrated": "x"}, {"setting": "r16"}]}
    new = tables.merge(old, {"machine": "b", "rows": [{"setting": "r32", "top1": 0.6}, {"setting": "r8"}]})
    assert new["machine"] == "b" and new["rows"][0] == {"setting": "r32", "top1": 0.6, "calibrated": "x"}
    assert [row["setting"] for row in new["rows"]] == ["r32", "r16", "r8"]
    tables.save(new, tmp_path / "table.json")
    assert tables.load(tmp_path) == tables.load(tmp_path / "table.json") == new
    with pytest.raises(ValueError, match="`table` must be a mapping"):
        tables.save([], tmp_path / "table.json")
    assert tables.load(tmp_path) == new


def test_load(tmp_path):
    with pytest.raises(FileNotFoundError, match="No query table at .*table.json or .*assets"):
        tables.load(tmp_path)
    (tmp_path / "assets").mkdir()
    exported = tmp_path / "assets" / "table.json"
    for place, kind in ((exported, ExportError), (tmp_path / "table.json", RunError)):
        for text in (
            "",
            "{",
            "[]",
            '{"rows": [{"setting": "r1", "ms": "fast"}]}',
            "\0",
            '{"rows": [{"setting": "r1", "ms": NaN}]}',
        ):
            place.write_text(text)
            with pytest.raises(kind, match="table.json") as told:
                tables.load(tmp_path)
            assert "\n" not in str(told.value)
    exported.write_text(json.dumps({"rows": ROWS}))
    assert tables.load(exported)["rows"] == ROWS


def test_needs_nothing_but_python():
    code = "import sys, tfres.table; print([n for n in ('tensorflow', 'numpy', 'yaml') if n in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"
