"""Accuracy and latency over a list of resolutions, trained or not."""

from tfres.evaluation.accuracy import evaluate
from tfres.evaluation.inference import for_inference
from tfres.evaluation.latency import machine, measure_latency
from tfres.plots import plotted
from tfres.settings import Setting, next_smaller

_AT_ONCE = 8  # resolutions that one pass over the pictures evaluates


def sweep(model, crop, source, recipe, resolutions, modes=("proxy",), pictures=None, encodings=None, latency=True):
    """Accuracy at every resolution in every mode of inference.

    Args:
        model, crop, source, recipe: as for `tfres.evaluation.accuracy.evaluate`.
        resolutions: sides in pixels.
        modes, pictures, encodings: see `tfres.evaluation.inference.for_inference`.
        latency: also time every resolution (it does not depend on the mode).

    Returns:
        JSON-able dict with `machine`, `batch`, `pictures` and `rows`: resolution, setting (whose norms it uses or starts
        from), inference, top1, top5, ms, ms_p90.
    """
    resolutions = sorted(set(resolutions), reverse=True)
    own = [setting.resolution for setting in model.settings]
    points = {f"r{resolution}": (Setting(resolution), resolution) for resolution in resolutions}
    rows, latencies = [], {}
    for mode in modes:
        wider = for_inference(model, resolutions, mode, pictures, encodings)
        if latency and not latencies:
            latencies = measure_latency(wider, points)
        for start in range(0, len(resolutions), _AT_ONCE):
            part = {name: points[name] for name in list(points)[start : start + _AT_ONCE]}
            for name, both in evaluate(wider, crop, source, recipe, part).items():
                resolution = points[name][1]
                whose = {"setting": f"r{next_smaller(own, resolution)}", "inference": mode}
                rows.append({"resolution": resolution, **whose, **both, **latencies.get(name, {})})
    return {"machine": machine(), "batch": 1, "pictures": source.validation.size, "rows": rows}


def plot_sweep(results, path, title):
    """Top-1 against resolution and against ms, as PNG, a line per mode; hollow points are resolutions without own norms."""

    with plotted(path, 1, 2, figsize=(10, 4), sharey=True) as panels:
        modes = list(dict.fromkeys(row["inference"] for row in results["rows"]))
        for axes, key, label in zip(panels, ("resolution", "ms"), ("resolution (pixels)", "ms per image"), strict=True):
            for number, mode in enumerate(modes):
                colour = f"C{number}"
                rows = sorted((row for row in results["rows"] if row["inference"] == mode), key=lambda row: row[key])
                top1 = [100 * row["top1"] for row in rows]
                axes.plot([row[key] for row in rows], top1, "-", color=colour, alpha=0.5, label=mode)
                for row in rows:
                    face = colour if row["setting"] == f"r{row['resolution']}" else "white"
                    axes.plot(row[key], 100 * row["top1"], "o", color=colour, markersize=4, markerfacecolor=face)
            axes.set(xlabel=label, title=title)
            axes.grid(alpha=0.3)
        if len(modes) > 1:
            panels[0].legend()
        panels[0].set_ylabel("top-1 %")
