"""An adaptive model under a budget that falls and rises: what it chooses and how long that takes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from tfres.files import write_json
from tfres.plots import plotted

if TYPE_CHECKING:
    import os

    from tfres.deploy.runtime.adaptive import AdaptiveModel


def moving_budget(model: AdaptiveModel, calls: int, periods: float = 2.0, batch: int = 1, anew: bool = False) -> dict:
    """Call the model with a budget that moves between its fastest and its slowest setting.

    Args:
        model: an opened export.
        calls: how many.
        periods: how often the budget falls and rises.
        batch: pictures per call, of the largest resolution.
        anew: measure the settings' times again.

    Returns:
        JSON-able dict with `machine`, `batch`, `calls`, the share `within_budget`, `score`, `times` and `rows`, one per call
        with `budget_ms`, `setting` and `ms`. Where the machine became so slow that no setting is within the budget, the
        fastest answers.
    """
    _, height, width = shape = (batch, *model.largest)
    images = np.random.default_rng(0).integers(0, 256, (batch, height, width, 3), np.uint8)
    times = model.measure(shape, anew=anew)
    low, high = min(times.values()), max(times.values())
    rows = []
    for call in range(calls):
        budget = low + (high - low) * (1 + math.cos(2 * math.pi * periods * call / calls)) / 2
        answer = model.predict(images, budget_ms=budget, on_miss="cheapest")
        rows.append({"budget_ms": budget, "setting": answer.setting, "ms": answer.ms})
    within = sum(row["ms"] <= row["budget_ms"] for row in rows) / len(rows)
    facts = {"machine": model.machine, "batch": batch, "calls": len(rows), "within_budget": within}
    return {**facts, "score": model.score, "times": times, "rows": rows}


def write(results: dict, model: AdaptiveModel, out: str | os.PathLike) -> None:
    """Write what `moving_budget` gave as `OUT.json` and `OUT.png`."""
    write_json(f"{out}.json", results)
    scores = {row["setting"]: row[model.score] for row in model.rows}
    calls = results["rows"]
    with plotted(f"{out}.png", 2, 1, figsize=(8, 5), sharex=True) as (above, below):
        above.plot([call["budget_ms"] for call in calls], color="tab:red", label="budget")
        above.plot([call["ms"] for call in calls], ".", color="tab:blue", markersize=4, label="time taken")
        above.set(ylabel="ms per call")
        above.legend()
        below.step(range(len(calls)), [100 * scores[call["setting"]] for call in calls], color="tab:green", where="mid")
        below.set(xlabel="call", ylabel=f"{model.score} % of the setting chosen")
        for axes in (above, below):
            axes.grid(alpha=0.3)
