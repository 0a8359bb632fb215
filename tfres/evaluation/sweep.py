"""Accuracy and latency over a list of resolutions, trained or not."""

from tfres.evaluation.accuracy import evaluate
from tfres.evaluation.latency import machine, measure_latency
from tfres.settings import next_smaller


def sweep(model, crop, source, recipe, resolutions):
    """Accuracy at every resolution; one without norms of its own runs with those of the next smaller trained one.

    Args:
        model, crop, source, recipe: as for `tfres.evaluation.accuracy.evaluate`.
        resolutions: sides in pixels.

    Returns:
        JSON-able dict with `machine`, `batch`, `pictures` and `rows`: resolution, setting, top1, top5, ms, ms_p90.
    """
    own = {setting.resolution: setting for setting in model.settings}
    trained = {setting.resolution: setting for setting in model.trained_settings}
    points = {}
    for resolution in sorted(set(resolutions), reverse=True):
        points[f"r{resolution}"] = (own.get(resolution) or trained[next_smaller(trained, resolution)], resolution)
    accuracies = evaluate(model, crop, source, recipe, points)
    latencies = measure_latency(model, points)
    rows = [
        {"resolution": resolution, "setting": str(setting), **accuracies[name], **latencies[name]}
        for name, (setting, resolution) in points.items()
    ]
    return {"machine": machine(), "batch": 1, "pictures": source.validation.size, "rows": rows}


def plot_sweep(results, path, title):
    """Top-1 against resolution and against ms, as PNG; hollow points are resolutions that borrow another's norms."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    from tfres.files import atomic_path

    figure, panels = pyplot.subplots(1, 2, figsize=(10, 4), dpi=150, sharey=True)
    for axes, key, label in zip(panels, ("resolution", "ms"), ("resolution (pixels)", "ms per image"), strict=True):
        rows = sorted(results["rows"], key=lambda row: row[key])
        axes.plot([row[key] for row in rows], [100 * row["top1"] for row in rows], "-", color="tab:blue", alpha=0.5)
        for row in rows:
            face = "tab:blue" if row["setting"] == f"r{row['resolution']}" else "white"
            axes.plot(row[key], 100 * row["top1"], "o", color="tab:blue", markerfacecolor=face)
        axes.set(xlabel=label, title=title)
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("top-1 %")
    figure.tight_layout()
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png")
    pyplot.close(figure)
