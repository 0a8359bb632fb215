"""The query table: accuracy, MACs, parameters, size and latency per setting."""

import json

from tfres.cli import print_table
from tfres.evaluation.latency import machine, measure_latency
from tfres.files import write_text

COLUMNS = [
    ("setting", "setting", "{}"),
    ("resolution", "resolution", "{}"),
    ("top1", "top-1 %", "{:.2%}"),
    ("top5", "top-5 %", "{:.2%}"),
    ("macs", "MACs (M)", "{:.2f}"),
    ("params", "params", "{:,}"),
    ("bytes", "size (MB)", "{:.3f}"),
    ("ms", "ms", "{:.2f}"),
]


def make_table(model, accuracies):
    """The query table of a model, costs counted and latency measured here (one image per call).

    Args:
        model: built.
        accuracies: of `tfres.evaluation.accuracy.evaluate`.

    Returns:
        JSON-able dict with `machine` and `rows`; one row per setting in `accuracies`, and one for the ensemble if there.
    """
    settings = [setting for setting in model.settings if str(setting) in accuracies]
    latencies = measure_latency(model, settings)
    rows = []
    for setting in settings:
        cost = model.cost(setting)
        rows.append(
            {
                "setting": str(setting),
                "resolution": setting.resolution,
                **accuracies[str(setting)],
                "macs": cost.macs,
                "params": cost.params,
                "bytes": cost.bytes,
                **latencies[str(setting)],
            }
        )
    if "ensemble" in accuracies:
        rows.append({"setting": "ensemble", "macs": sum(row["macs"] for row in rows), **accuracies["ensemble"]})
    return {"machine": machine(), "batch": 1, "rows": rows}


def save_table(table, path):
    write_text(path, json.dumps(table, indent=1) + "\n")


def show_table(table):
    """Print the table; sizes are of the weights a setting uses, quantized kernels packed at their bits."""
    rows = [
        {**row, "macs": row["macs"] / 1e6, "bytes": row["bytes"] / 1e6 if "bytes" in row else None} for row in table["rows"]
    ]
    print_table(rows, COLUMNS)


def plot_table(table, path, title):
    """Top-1 against MACs with all settings, as PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    from tfres.files import atomic_path

    rows = [row for row in table["rows"] if row["setting"] != "ensemble"]
    figure, axes = pyplot.subplots(figsize=(6, 4), dpi=150)
    axes.plot([row["macs"] / 1e6 for row in rows], [100 * row["top1"] for row in rows], "o-")
    for row in rows:
        axes.annotate(row["setting"], (row["macs"] / 1e6, 100 * row["top1"]), textcoords="offset points", xytext=(4, -10))
    axes.set(xlabel="million MACs per image", ylabel="top-1 %", title=title)
    axes.grid(alpha=0.3)
    figure.tight_layout()
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png")
    pyplot.close(figure)
