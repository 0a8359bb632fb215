"""The query table: which setting to run for a budget. Needs nothing but Python.

A table is what `table.json` in a run or an export holds: `{"machine": ..., "score": "top1", "rows": [{"setting", "top1",
"macs", "ms", ...}]}`. `score` names the figure of merit, the higher the better; without it that is "top1".

A row is of a setting ("r160-w0.75") or, with a `policy` (see `tfres.policies.Policy`), of a network with exits whose pictures
leave by that; its costs are means over pictures. Other rows, such as that of the ensemble, are of nothing that can be run.
A row with a `form` ("snapped") has the figures of merit of that form of the network (see `tfres.deploy.snap`).
"""

from __future__ import annotations

import math
import pathlib
from typing import TYPE_CHECKING, Any

from tfres.errors import ExportError, RunError
from tfres.files import read_json, write_json
from tfres.policies import Policy
from tfres.settings import Setting

if TYPE_CHECKING:
    import os

    Table = dict[str, Any]
    Row = dict[str, Any]

# Figures that are never negative; they and the table's score are numbers where a row has them.
_COSTS = ("macs", "params", "bytes", "ms", "ms_p90")
_SHARES = ("top1", "top5")
_UNITS = {"macs": ("million MACs", 1e6), "ms": ("ms", 1)}


class BudgetError(ValueError):
    """A budget that no setting meets."""


def load(path: str | os.PathLike) -> Table:
    """The table of a run's or an export's folder, or of a `table.json`.

    Raises:
        FileNotFoundError: none there.
        RunError, ExportError: the file of a run or an export is damaged or no table; it is named.
    """
    path = pathlib.Path(path)
    places = [path / "table.json", path / "assets" / "table.json"] if path.is_dir() else [path]
    for place in places:
        if place.exists():
            return read(place, ExportError if place.parent.name == "assets" else RunError)
    raise FileNotFoundError(f"No query table at {' or '.join(map(str, places))}.")


def read(path: str | os.PathLike, kind: type[Exception] = RunError) -> Table:
    """The table of one file, checked.

    Raises:
        kind: damaged, or no table; names the file, the row and the field.
    """
    return checked(read_json(path, kind), str(path), kind)


def checked(table: object, path: str, kind: type[Exception]) -> Table:
    """The same of what was read from a path."""
    try:
        check(table)
    except ValueError as error:
        raise kind(f"{path} is no query table: {error}") from error
    return table


def save(table: Table, path: str | os.PathLike) -> None:
    """Write a table, whole or not at all.

    Raises:
        ValueError: it is no table; nothing is written.
    """
    check(table)
    write_json(path, table)


def check(table: object) -> None:
    """Refuse what is no table.

    Raises:
        ValueError: names the row and the field.
    """
    rows = table.get("rows") if isinstance(table, dict) else None
    if not isinstance(rows, list):
        raise ValueError("`table` must be a mapping with a list of `rows`.")
    seen = set()
    for number, row in enumerate(rows):
        name = row.get("setting") if isinstance(row, dict) else None
        if not isinstance(name, str) or not name:
            raise ValueError(f"Row {number} must be a mapping with the name of its `setting`. Received: {str(row)[:80]}.")
        if name in seen:
            raise ValueError(f"Row {number} repeats the setting {name}.")
        seen.add(name)
        if "policy" in row:
            Policy.from_dict(row["policy"], f"`policy` of the row {name}")
        for key in (*_COSTS, *_SHARES, score(table)):
            _figure(row, key)


def check_form(table: Table, form: str | None = None) -> None:
    """Refuse scores of another form of the network than this one, such as "snapped"; None is the network itself.

    Raises:
        ValueError: names the row.
    """
    for row in table["rows"]:
        if row.get(score(table)) is not None and row.get("form") != form:
            wanted, found = ("the network itself" if one is None else f"the {one} network" for one in (form, row.get("form")))
            raise ValueError(
                f"`table` must have the {score(table)} of {wanted}, which is exported. "
                f"Received: that of {found} in the row {row['setting']}."
            )


def score(table: Table) -> str:
    """Name of the table's figure of merit.

    Raises:
        ValueError: it is no name.
    """
    name = table.get("score", "top1")
    if not isinstance(name, str) or not name:
        raise ValueError(f"`score` of a table must be the name of a figure. Received: score={name!r}.")
    return name


def merge(table: Table, other: Table) -> Table:
    """The table with the entries of another; what both have is the other's. Rows go together by setting."""
    rows = {row["setting"]: row for row in table["rows"]}
    for row in other["rows"]:
        rows[row["setting"]] = {**rows.get(row["setting"], {}), **row}
    return {**table, **other, "rows": list(rows.values())}


def settings(table: Table, *keys: str) -> list[Row]:
    """Rows of settings and policies that have all these figures, such as "top1" and "ms".

    A figure that a row lacks, or that is None, was not measured: the row is left out.

    Raises:
        ValueError: a figure that is no finite number, or a cost below 0; names the row and the field.
    """
    check(table)
    rows = [row for row in table["rows"] if runs(row)]
    return [row for row in rows if all(_figure(row, key) is not None for key in keys)]


def runs(row: Row) -> bool:
    """Whether what a row is of can be run: a setting or a policy, not what several settings give together."""
    try:
        return "policy" in row or bool(Setting.parse(row["setting"]))
    except ValueError:
        return False


def pareto(table: Table, cost: str = "macs") -> list[Row]:
    """Rows that no cheaper or equally dear row beats in the table's score, from cheap to dear.

    Args:
        table: see above.
        cost: "macs", "ms" or another figure of the rows.

    Raises:
        ValueError: see `settings`.
    """
    check(table)
    merit, front = score(table), []
    for row in sorted(settings(table, merit, cost), key=lambda row: (row[cost], -row[merit])):
        if not front or row[merit] > front[-1][merit]:
            front.append(row)
    return front


def best(table: Table, budget_macs: float | None = None, budget_ms: float | None = None) -> Row:
    """The row with the highest score within the budget; of equally good ones the cheapest.

    Args:
        table: see above.
        budget_macs: multiply-adds per picture.
        budget_ms: milliseconds, by the `ms` measured on the machine that the table names.

    Raises:
        BudgetError: no setting fits; the cheapest is named.
        ValueError: not exactly one budget or no positive number, or no figures for it; see also `settings`.
    """
    if (budget_macs is None) == (budget_ms is None):
        raise ValueError(f"Give `budget_macs` or `budget_ms`. Received: budget_macs={budget_macs}, budget_ms={budget_ms}.")
    cost, budget = ("macs", budget_macs) if budget_ms is None else ("ms", budget_ms)
    if not _is_number(budget) or budget <= 0:
        raise ValueError(f"`budget_{cost}` must be a positive, finite number. Received: budget_{cost}={budget!r}.")
    front = pareto(table, cost)
    if not front:
        lacking = next((f" {row['setting']} lacks one, for example." for row in table["rows"]), "")
        raise ValueError(f"The table must have a setting with both `{score(table)}` and `{cost}`.{lacking}")
    fitting = [row for row in front if row[cost] <= budget]
    if not fitting:
        unit, scale = _UNITS[cost]
        raise BudgetError(
            f"`budget_{cost}` must be at least {front[0][cost] / scale:.4g} {unit}, what {front[0]['setting']} costs. "
            f"Received: {budget / scale:.4g} {unit}."
        )
    return fitting[-1]


def _figure(row: Row, key: str) -> float | None:
    """A figure of a row, or None where it was not measured."""
    value = row.get(key)
    if value is None:
        return None
    if not _is_number(value) or key in _COSTS and value < 0:
        allowed = "a finite number, not negative" if key in _COSTS else "a finite number"
        raise ValueError(f"`{key}` of the row {row['setting']} must be {allowed}. Received: {key}={str(value)[:40]!r}.")
    return value


def _is_number(value: object) -> bool:
    """Whether this is a finite number, of Python or numpy."""
    if isinstance(value, (bool, str, bytes)):
        return False
    try:
        return math.isfinite(value)
    except (TypeError, OverflowError, ValueError):
        return False
