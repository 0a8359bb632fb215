"""The query table: which setting to run for a budget. Needs nothing but Python.

A table is what `table.json` in a run or an export holds: `{"machine": ..., "rows": [{"setting", "top1", "macs", "ms", ...}]}`.
"""

import json
import pathlib


class BudgetError(ValueError):
    """A budget that no setting meets."""


def load(path):
    """The table of a run's or an export's folder, or of a `table.json`.

    Raises:
        FileNotFoundError: none there.
    """
    path = pathlib.Path(path)
    places = [path / "table.json", path / "assets" / "table.json"] if path.is_dir() else [path]
    for place in places:
        if place.exists():
            return json.loads(place.read_text())
    raise FileNotFoundError(f"No query table at {' or '.join(map(str, places))}.")


def settings(table, *keys):
    """Rows of settings that have all these figures, such as "top1" and "ms"; the ensemble is no setting."""
    return [row for row in table["rows"] if row["setting"] != "ensemble" and all(row.get(key) is not None for key in keys)]


def pareto(table, cost="macs"):
    """Rows that no cheaper or equally dear row beats in top-1, from cheap to dear.

    Args:
        table: see above.
        cost: "macs", "ms" or another figure of the rows.
    """
    front = []
    for row in sorted(settings(table, "top1", cost), key=lambda row: (row[cost], -row["top1"])):
        if not front or row["top1"] > front[-1]["top1"]:
            front.append(row)
    return front


def best(table, budget_macs=None, budget_ms=None):
    """The row with the highest top-1 within the budget; of equally good ones the cheapest.

    Args:
        table: see above.
        budget_macs: multiply-adds per picture.
        budget_ms: milliseconds, by the `ms` measured on the machine that the table names.

    Raises:
        BudgetError: no setting fits; the cheapest is named. ValueError: not exactly one budget, or no figures for it.
    """
    if (budget_macs is None) == (budget_ms is None):
        raise ValueError(f"Give `budget_macs` or `budget_ms`. Received: budget_macs={budget_macs}, budget_ms={budget_ms}.")
    cost, budget = ("macs", budget_macs) if budget_ms is None else ("ms", budget_ms)
    front = pareto(table, cost)
    if not front:
        raise ValueError(f"The table has no setting with both top1 and {cost}.")
    fitting = [row for row in front if row[cost] <= budget]
    if not fitting:
        cheapest = min(front, key=lambda row: row[cost])
        unit = "million MACs" if cost == "macs" else "ms"
        scale = 1e6 if cost == "macs" else 1
        raise BudgetError(
            f"`budget_{cost}` must be at least {cheapest[cost] / scale:.4g} {unit}, what {cheapest['setting']} costs. "
            f"Received: {budget / scale:.4g} {unit}."
        )
    return fitting[-1]
