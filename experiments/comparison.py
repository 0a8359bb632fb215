"""One switchable network against networks trained one by one: what the result scripts share."""

import json
import pathlib
import subprocess
import sys

from tfres.plots import plotted


def trained_rows(folder, options):
    """Rows of a run's query table, the run trained first where it is not finished. Latencies are left out: those of different
    processes at different times cannot be compared; accuracies and counts can.
    """
    if not (folder / "table.json").exists():
        command("train", *options, "--run", str(folder))
    rows = json.loads((folder / "table.json").read_text())["rows"]
    return [{key: value for key, value in row.items() if not key.startswith("ms")} for row in rows]


def command(verb, *options):
    """Run `tfres VERB`; returns what it printed."""
    done = subprocess.run([sys.executable, "-m", f"tfres.{verb}", *options], check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout


def gain_cells(switchable, individual):
    """Two table cells: the switchable network's top-1 with its gain, and the individual one's, in percent."""
    return [f"{100 * switchable:.2f} ({100 * (switchable - individual):+.2f})", f"{100 * individual:.2f}"]


def plot(path, title, curves):
    """Top-1 against MACs.

    Args:
        path: of the PNG.
        title: of the figure.
        curves: label -> `(rows, matplotlib format, colour)`.
    """
    lines = {
        label: ({row["macs"] / 1e6: row["top1"] for row in rows}, form, colour)
        for label, (rows, form, colour) in curves.items()
    }
    plot_lines(path, title, lines, "million MACs per picture")


def plot_lines(path, title, lines, across="resolution (pixels)"):
    """Top-1 against something.

    Args:
        path: of the PNG.
        title: of the figure.
        lines: label -> `(mapping of the number across to top-1, matplotlib format, colour)`.
        across: what the horizontal axis says.
    """
    with plotted(path, figsize=(7, 4.5)) as axes:
        for label, (points, form, colour) in lines.items():
            points = sorted((float(x), 100 * top1) for x, top1 in points.items())
            axes.plot(*zip(*points, strict=True), form, color=colour, label=label, markersize=4)
        axes.set(xlabel=across, ylabel="top-1 %", title=title)
        axes.legend(fontsize="small")
        axes.grid(alpha=0.3)


def add_folders(parser, runs):
    """Options `--runs` and `--out`."""
    parser.add_argument("--runs", type=pathlib.Path, default=runs, help="folder of the runs (default %(default)s)")
    parser.add_argument("--out", type=pathlib.Path, default="docs/results", help="folder of the results (default %(default)s)")
