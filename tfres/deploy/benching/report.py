"""What exports take: as tables, as a file and as a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tfres.files import write_json
from tfres.plots import plotted

if TYPE_CHECKING:
    import os


def tabulated(results: dict[str, Any]) -> list[tuple[list[dict[str, Any]], list[tuple[str, str, str]]]]:
    """Two tables of what `bench` gave, as `tfres.cli.print_table` takes them: a line per export, then a line per setting with
    the exports side by side.
    """
    exports = list(enumerate(results["exports"], 1))
    lines = [
        {**export, "number": number, "mb": export["bytes"] / 1e6, "memory": export["memory_bytes"] / 1e6}
        for number, export in exports
    ]
    columns = [("number", "", "{}"), ("path", "export", "{}"), ("mb", "MB", "{:.2f}"), ("memory", "memory, MB", "{:.0f}")]
    columns += [("import_s", "import, s", "{:.2f}"), ("load_s", "load, s", "{:.2f}"), ("machine", "machine", "{}")]
    settings: dict[str, dict[str, Any]] = {}
    for number, export in exports:
        for row in export["rows"]:
            times = {f"{number} {name}": row[name] for name in ("ms", "ms_p90")}
            settings[row["setting"]] = {**settings.get(row["setting"], row), **times}
    figures = [
        (f"{number} {name}", f"{number}: {heading}", "{:.2f}")
        for number, _ in exports
        for name, heading in (("ms", "ms"), ("ms_p90", "p90"))
    ]
    return [(lines, columns), ([*settings.values()], [("setting", "setting", "{}"), *figures])]


def write(results: dict[str, Any], out: str | os.PathLike) -> None:
    """Write what `bench` gave as `OUT.json` and, medians with their 90th percentiles, as `OUT.png`."""
    write_json(f"{out}.json", results)
    settings = list(dict.fromkeys(row["setting"] for export in results["exports"] for row in export["rows"]))
    with plotted(f"{out}.png", figsize=(max(7, 0.3 * len(settings)), 4.5)) as axes:
        for export in results["exports"]:
            rows = export["rows"]
            above = [max(0.0, row["ms_p90"] - row["ms"]) for row in rows]
            places, ms = [settings.index(row["setting"]) for row in rows], [row["ms"] for row in rows]
            axes.errorbar(places, ms, [[0.0] * len(rows), above], fmt="o-", markersize=4, capsize=3, label=export["path"])
        axes.set_xticks(range(len(settings)), settings, rotation=45 if len(settings) > 8 else 0)
        axes.set(ylabel="ms per call, median and 90th percentile", yscale="log")
        axes.set(title=f"{results['batch']} pictures per call, {results['threads']} threads")
        axes.legend(fontsize="small")
        axes.grid(alpha=0.3)
