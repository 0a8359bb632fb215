"""Widths x resolutions: statistics, accuracy, cost and latency of every pair, resumable."""

import dataclasses
import logging

import tqdm

from tfres.evaluation.accuracy import evaluate
from tfres.evaluation.calibration import calibrate
from tfres.evaluation.latency import machine, measure_latency
from tfres.evaluation.table import merge, save_table
from tfres.plots import plotted
from tfres.settings import Branch, Setting
from tfres.table import pareto

logger = logging.getLogger(__name__)


def grid(widths, resolutions):
    """All settings of some widths and resolutions, the largest first."""
    return sorted((Setting(resolution, width) for width in widths for resolution in resolutions), reverse=True)


def evaluate_grid(run, checkpoint, model, crop, source, recipe, settings, pictures, how):
    """Calibrate and evaluate every setting, resolution by resolution; keeps results in the run as they come.

    Pairs that were done for the same checkpoint in the same way are not repeated. Each pair gets statistics of its own (kept in the run, see
    `Run.add_calibrated`) and a row of the run's query table; latencies of all are measured together at the end.

    Args:
        run: `Run`.
        checkpoint: name of the checkpoint that the model has.
        model, crop, source: see `tfres.evaluation.accuracy.evaluate`; the model with what was calibrated before.
        recipe: resolved `DataRecipe`.
        settings: of `grid`.
        pictures: see `tfres.session.calibration_pictures`.
        how: text that tells calibrations and pictures apart; kept in the rows with the checkpoint.

    Returns:
        the table.
    """
    table, done_as = run.read_table(), f"{checkpoint}, {how}"
    done = {row["setting"] for row in table["rows"] if row.get("calibrated") == done_as} & set(
        map(str, model.calibrated_settings)
    )
    missing = [setting for setting in settings if str(setting) not in done]
    logger.info("%d of %d settings are done.", len(settings) - len(missing), len(settings))
    fresh = [setting for setting in missing if setting not in model.calibrated_settings]
    wider = model.extended({setting: Branch({}) for setting in fresh}) if fresh else model
    with tqdm.tqdm(total=len(missing), desc="grid", unit="settings") as progress:
        for resolution in sorted({setting.resolution for setting in missing}, reverse=True):
            group = [setting for setting in missing if setting.resolution == resolution]
            for start in range(0, len(group), 4):
                rows, branches = _evaluate_some(wider, crop, source, recipe, group[start : start + 4], pictures)
                run.add_calibrated(checkpoint, branches)
                table = merge(table, {"rows": [{**row, "calibrated": done_as} for row in rows]})
                save_table(table, run.table)
                progress.update(len(rows))
    times = measure_latency(wider, {str(s): (s, s.resolution) for s in settings}, repeats=15)
    table = merge(table, {"rows": [{"setting": name, **values} for name, values in times.items()]})
    table |= {"machine": machine(), "batch": 1}
    save_table(table, run.table)
    return {**table, "rows": [row for row in table["rows"] if row["setting"] in set(map(str, settings))]}


def _evaluate_some(model, crop, source, recipe, settings, pictures):
    branches = {}
    for setting in settings:
        calibrate(model, setting, pictures(setting.resolution))
        branches[setting] = model.branch(setting, setting)
    points = {str(setting): (setting, setting.resolution) for setting in settings}
    accuracies = evaluate(model, crop, source, recipe, points)
    rows = [
        {
            "setting": str(setting),
            "resolution": setting.resolution,
            "width_mult": setting.width_mult,
            **accuracies[str(setting)],
            **dataclasses.asdict(model.cost(setting)),
        }
        for setting in settings
    ]
    return rows, branches


def plot_grid(table, path, title):
    """Top-1 against MACs and against ms, a line per resolution, with the Pareto front; PNG."""
    with plotted(path, 1, 2, figsize=(11, 4.5), sharey=True) as panels:
        for axes, cost, scale, label in zip(panels, ("macs", "ms"), (1e6, 1), ("million MACs", "ms"), strict=True):
            for number, resolution in enumerate(sorted({row["resolution"] for row in table["rows"]}, reverse=True)):
                rows = sorted((row for row in table["rows"] if row["resolution"] == resolution), key=lambda row: row[cost])
                top1 = [100 * row["top1"] for row in rows]
                axes.plot(
                    [row[cost] / scale for row in rows], top1, "o-", color=f"C{number}", label=f"{resolution}", markersize=4
                )
            front = pareto(table, cost)
            axes.plot(
                [r[cost] / scale for r in front], [100 * r["top1"] for r in front], "k--", alpha=0.6, label="Pareto front"
            )
            axes.set(xlabel=f"{label} per image", title=title)
            axes.grid(alpha=0.3)
        panels[0].set_ylabel("top-1 %")
        panels[0].legend(fontsize="small")
