"""The query table: accuracy, MACs, parameters, size and latency per setting."""

import dataclasses
import json
import os

import tensorflow as tf

from tfres.cli import print_table
from tfres.evaluation.latency import machine, measure_latency
from tfres.files import write_text
from tfres.plots import plotted

COLUMNS = [
    ("setting", "setting", "{}"),
    ("resolution", "resolution", "{}"),
    ("top1", "top-1 %", "{:.2%}"),
    ("top5", "top-5 %", "{:.2%}"),
    ("macs", "MACs (M)", "{:.2f}"),
    ("params", "params", "{:,}"),
    ("bytes", "size (MB)", "{:.3f}"),
    ("ms", "ms", "{:.2f}"),
    ("ms_p90", "p90", "{:.2f}"),
]


def make_table(model, accuracies):
    """The query table of a model: accuracies and `profile` (one image per call).

    Args:
        model: built.
        accuracies: of `tfres.evaluation.accuracy.evaluate`.

    Returns:
        JSON-able dict with `machine`, `batch`, `threads` and `rows`; one row per setting, and one for the ensemble if there.
    """
    table = merge(profile(model), {"rows": [{"setting": name, **both} for name, both in accuracies.items()]})
    trained = {str(setting) for setting in model.trained_settings}
    for row in table["rows"]:
        if row["setting"] == "ensemble":
            row["macs"] = sum(other["macs"] for other in table["rows"] if other["setting"] in trained)
    return table


def profile(model, batch=1, repeats=30):
    """Costs of every setting counted, latency measured here.

    Args:
        model: built.
        batch: images per timed call.
        repeats: timed calls per setting.

    Returns:
        as `make_table`, without accuracies.
    """
    latencies = measure_latency(model, {str(s): (s, s.resolution) for s in model.settings}, batch, repeats)
    rows = [
        {
            "setting": str(setting),
            "resolution": setting.resolution,
            **dataclasses.asdict(model.cost(setting)),
            **latencies[str(setting)],
        }
        for setting in model.settings
    ]
    threads = tf.config.threading.get_intra_op_parallelism_threads() or os.cpu_count()
    return {"machine": machine(), "batch": batch, "threads": threads, "rows": rows}


def merge(table, other):
    """The table with the entries of another; what both have is the other's. Rows go together by setting."""
    rows = {row["setting"]: row for row in table["rows"]}
    for row in other["rows"]:
        rows[row["setting"]] = {**rows.get(row["setting"], {}), **row}
    return {**table, **other, "rows": list(rows.values())}


def save_table(table, path):
    write_text(path, json.dumps(table, indent=1) + "\n")


def show_table(table):
    """Print the table; sizes are of the weights a setting uses, quantized kernels packed at their bits."""
    rows = [
        {**row, "macs": row["macs"] / 1e6, "bytes": row["bytes"] / 1e6 if "bytes" in row else None} for row in table["rows"]
    ]
    print_table(rows, [column for column in COLUMNS if any(column[0] in row for row in rows)])


def plot_table(table, path, title):
    """Top-1 against MACs with all settings, as PNG."""

    rows = [row for row in table["rows"] if row["setting"] != "ensemble" and "top1" in row]
    with plotted(path, figsize=(6, 4)) as axes:
        axes.plot([row["macs"] / 1e6 for row in rows], [100 * row["top1"] for row in rows], "o-")
        for row in rows:
            axes.annotate(row["setting"], (row["macs"] / 1e6, 100 * row["top1"]), textcoords="offset points", xytext=(4, -10))
        axes.set(xlabel="million MACs per image", ylabel="top-1 %", title=title)
        axes.grid(alpha=0.3)
