"""Tables and plots of what was measured."""

from __future__ import annotations

import logging
import pathlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tfres.cli import print_table
from tfres.evaluation.early_exit.finding import find_policies
from tfres.evaluation.early_exit.report import write_report
from tfres.evaluation.measuring import measure
from tfres.files import write_json
from tfres.models.weights import fingerprint_of
from tfres.plots import plotted
from tfres.recipe import PolicyOptions
from tfres.table import pareto, runs, save, score

if TYPE_CHECKING:
    from tfres.evaluation.opened import OpenedRun

logger = logging.getLogger(__name__)

_FORMATS = {
    "macs": ("MACs (M)", "{:.2f}"),
    "macs_sequential": ("in sequence", "{:.2f}"),
    "operations": ("operations (M)", "{:.2f}"),
    "params": ("params", "{:,}"),
    "bytes": ("size (MB)", "{:.3f}"),
    "ms": ("ms", "{:.2f}"),
    "ms_p90": ("p90", "{:.2f}"),
}
_MILLIONS = ("macs", "macs_sequential", "operations", "bytes")
_TEXT = ("setting", "inference", "calibrated", "pictures")
_AXES = ("resolution", "width_mult", "exit", "subnet")


def finish_table(opened: OpenedRun, facts: Mapping[str, Any]) -> None:
    """Measure and time every setting of a run that was trained; write its table and plot, print it.

    Rows that were calibrated for the same checkpoint stay as they are; those of other checkpoints go.
    """
    table, old = measure(opened, repeats=30), opened.run.read_table()["rows"]
    if opened.network.exits:
        table = with_policies(opened, table, None, keep=True)
    kept = {row["setting"]: row for row in old if str(row.get("calibrated")).split(",")[0] == opened.checkpoint_name}
    rows = {row["setting"]: row for row in table["rows"]}
    table = {**table, **facts, "rows": list({**rows, **kept}.values())}
    save(table, opened.run.table)
    plot_table(table, opened.run.plot, opened.run.name)
    show_table(table)


def with_policies(
    opened: OpenedRun, table: dict[str, Any], options: PolicyOptions | None, keep: bool, repeats: int = 50
) -> dict[str, Any]:
    """The table of a network's exits with rows of policies for them.

    Args:
        opened: the run.
        table: of `measure`.
        options: how policies are found; None for the usual way, or none where no pictures were held out from training.
        keep: write them into the run's table and files; policies of other weights go.
        repeats: timed calls per exit; 0 for no times.
    """
    rows: list[dict[str, Any]] = []
    if options is None and opened.source.calibration is None:
        logger.info("No policies: no pictures were held out from training (data.holdout).")
    else:
        found = find_policies(opened, options or PolicyOptions(), repeats)
        rows = found.rows
        if keep:
            write_report(opened, table, found)
    if keep:
        mark = fingerprint_of(opened.network)
        opened.run.add_to_table(
            {**table, "rows": [*table["rows"], *rows]}, lambda row: (row.get("policy", {}).get("network") or mark) != mark
        )
    return {**table, "rows": [*table["rows"], *rows]}


def show_table(table: Mapping[str, Any], more: Sequence[str] = ()) -> None:
    """Print a table; sizes are of the weights a setting uses, quantized kernels packed at their bits.

    Args:
        table: of `measure`.
        more: further columns, as they are.
    """
    rows = [{**row, **{key: row[key] / 1e6 for key in _MILLIONS if row.get(key) is not None}} for row in table["rows"]]
    figures = [key for row in rows for key in row if key not in (*_TEXT, *_AXES, *_FORMATS)]
    columns = [("setting", "setting", "{}"), *((key, key.replace("_", " "), "{}") for key in more)]
    columns += [(key, key, "{:.2%}") for key in dict.fromkeys(figures) if all(isinstance(r.get(key, 0), float) for r in rows)]
    columns += [(key, heading, form) for key, (heading, form) in _FORMATS.items() if any(key in row for row in rows)]
    print_table(rows, columns)
    for key in dict.fromkeys(
        key for row in rows for key, value in row.items() if key != "policy" and isinstance(value, Mapping)
    ):
        mine = [row for row in rows if isinstance(row.get(key), Mapping)]
        names = dict.fromkeys(name for row in mine for name in row[key])
        lines = [{"name": name, **{row["setting"]: row[key].get(name) for row in mine}} for name in names]
        print_table(lines, [("name", key, "{}"), *((row["setting"], row["setting"], "{:.2%}") for row in mine)])


def plot_table(table: Mapping[str, Any], path: pathlib.Path, title: str) -> None:
    """The figure of merit against MACs with all settings, as PNG."""
    figure = score(table)
    rows = [row for row in table["rows"] if runs(row) and figure in row]
    with plotted(path, figsize=(6, 4)) as axes:
        for form, policies in (("o-", False), ("s--", True)):
            mine = sorted((row for row in rows if ("policy" in row) == policies), key=lambda row: row["macs"])
            axes.plot([row["macs"] / 1e6 for row in mine], [100 * row[figure] for row in mine], form)
        for row in rows:
            place = (row["macs"] / 1e6, 100 * row[figure])
            axes.annotate(row["setting"], place, textcoords="offset points", xytext=(4, -10))
        axes.set(xlabel="million MACs per image", ylabel=f"{figure} %", title=title)
        axes.grid(alpha=0.3)


def plot_lines(
    table: Mapping[str, Any], path: pathlib.Path, title: str, costs: Sequence[str], line: str, front: bool = False
) -> None:
    """The figure of merit against costs, a panel each, a line per value of an axis; PNG.

    Args:
        table: of `measure`, with the costs in every row.
        path, title: of the plot.
        costs: "macs", "ms" or "resolution".
        line: key of the rows that go together, such as "inference" or "resolution".
        front: draw the Pareto front too.
    """
    figure, labels = score(table), {"macs": "million MACs", "ms": "ms per image", "resolution": "resolution (pixels)"}
    scales = {"macs": 1e6}
    with plotted(path, 1, len(costs), figsize=(5.5 * len(costs), 4.5), sharey=True, squeeze=False) as panels:
        for axes, cost in zip(panels[0], costs, strict=True):
            scale, rows = scales.get(cost, 1), [row for row in table["rows"] if row.get(cost) is not None]
            for number, value in enumerate(dict.fromkeys(_named(row.get(line)) for row in rows)):
                mine = sorted((row for row in rows if _named(row.get(line)) == value), key=lambda row: row[cost])
                heights = [100 * row[figure] for row in mine]
                style = {"color": f"C{number}", "label": value, "markersize": 4}
                axes.plot([row[cost] / scale for row in mine], heights, "o-", **style)
            best = pareto(table, cost) if front else []
            if best:
                axes.plot([row[cost] / scale for row in best], [100 * row[figure] for row in best], "k--", alpha=0.6)
            axes.set(xlabel=labels[cost], title=title)
            axes.grid(alpha=0.3)
        panels[0][0].set_ylabel(f"{figure} %")
        panels[0][0].legend(fontsize="small")


def _named(value: Any) -> str:
    """A value of an axis as a label; pairs are height x width."""
    return "x".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def save_sweep(table: Mapping[str, Any], opened: OpenedRun) -> None:
    """`sweep.json` and `sweep.png` of a run: figure of merit against resolution and time, by way of inference."""
    write_json(opened.run.path / "sweep.json", table)
    timed = all(row.get("ms") is not None for row in table["rows"])
    costs = ("resolution", "ms") if timed else ("resolution",)
    plot_lines(table, opened.run.path / "sweep.png", opened.run.name, costs, "inference")
