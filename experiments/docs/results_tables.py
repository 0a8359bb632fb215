"""Tables of results, from the files in `docs/results/` that experiments and benchmarks write."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

from experiments.docs.recipe_reference import table

RESULTS = pathlib.Path(__file__).resolve().parents[2] / "docs" / "results"
_PLACE = ("command", "machine")


def fragment(name: str) -> str:
    """The table that an experiment wrote beside its data."""
    return (RESULTS / f"{name}.md").read_text(encoding="utf-8")


def run(name: str) -> str:
    """The query table of a run."""
    found = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    heads = ("setting", "top-1 %", "top-5 %", "MACs (M)", "size (KB)", "ms")
    rows = []
    for row in found["rows"]:
        shares = [f"{100 * row[key]:.2f}" for key in ("top1", "top5")]
        rows.append([row["setting"], *shares, f"{row['macs'] / 1e6:.1f}", f"{row['bytes'] / 1e3:.0f}", f"{row['ms']:.2f}"])
    told = f"The whole command took {found['command_seconds'] / 60:.1f} minutes; {found['machine']}."
    return f"{table(heads, rows)}\n\n{told}"


def adapt(name: str) -> str:
    """How an export kept to a budget that moves."""
    found = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    heads = ("calls", "pictures per call", "settings", "fastest, ms", "slowest, ms", "calls within their budget")
    times = found["times"].values()
    cells = [found["calls"], found["batch"], len(times), f"{min(times):.1f}", f"{max(times):.1f}"]
    within = f"{found['within_budget']:.1%}"
    return f"{table(heads, [[*cells, within]])}\n\n{found['machine']}."


def benchmarks() -> str:
    """Every benchmark's figures."""
    parts = []
    for path in sorted(RESULTS.glob("bench_*.json")):
        found = json.loads(path.read_text(encoding="utf-8"))
        figures = [(names, value) for names, value in _figures(found) if not _is_rows(value)]
        parts.append(f"### {path.stem.removeprefix('bench_').replace('_', ' ').capitalize()}")
        parts.append(f"`{found['command']}`; {found['machine']}.")
        parts.append(table(("what", "figure"), [["; ".join(names), _figure(value)] for names, value in figures]))
        parts += [f"{name.capitalize()}:\n\n{_rows(value)}" for name, value in found.items() if _is_rows(value)]
    return "\n\n".join(parts)


def _figures(found: Mapping[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, value in found.items():
        names = (*above, name.replace("_", " "))
        if isinstance(value, Mapping):
            yield from _figures(value, names)
        elif above or name not in _PLACE:
            yield names, value


def _is_rows(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, Mapping) for row in value)


def _rows(rows: list[Mapping[str, Any]]) -> str:
    """A table of its own; what a row lacks is empty."""
    heads = list(dict.fromkeys(name for row in rows for name in row))
    return table(heads, [["" if row.get(name) is None else _figure(row[name]) for name in heads] for row in rows])


def _figure(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return " x ".join(map(str, value))
    if isinstance(value, float):
        return f"{value:.0f}" if abs(value) >= 1000 else f"{value:#.3g}".rstrip(".")
    return str(value)


SECTIONS = {"fragment": fragment, "run": run, "adapt": adapt, "benchmarks": benchmarks}
