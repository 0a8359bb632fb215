"""Files of a run about its exits: figures, curves, and pictures that leave early or late."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tfres.evaluation.early_exit.outcomes import taken
from tfres.files import write_json
from tfres.machine import machine
from tfres.plots import plotted

if TYPE_CHECKING:
    import pathlib

    from tfres.evaluation.early_exit.finding import Findings
    from tfres.evaluation.opened import OpenedRun

_PICTURES = 8  # per exit


def write_report(opened: OpenedRun, table: Mapping[str, Any], found: Findings) -> None:
    """`exits.json`, `exits.png` (both curves and the shares) and `exits_pictures.png` in the run's folder.

    Args:
        opened: the run.
        table: with the rows of the exits.
        found: the policies.
    """
    folder, merit = opened.run.path, opened.task.score
    write_json(folder / "exits.json", {"machine": machine(), "checkpoint": opened.checkpoint_name, **found.report})
    exits = [row for row in table["rows"] if row.get("exit") is not None]
    plot_curves(found.report, exits, merit, folder / "exits.png", opened.run.name)
    plot_pictures(opened, found, folder / "exits_pictures.png")


def plot_curves(
    report: Mapping[str, Any], exits: Sequence[Mapping[str, Any]], merit: str, path: pathlib.Path, title: str
) -> None:
    """Left the figure of merit against mean MACs, exits and policies; right the shares of the exits by policy."""
    policies = sorted(report["policies"], key=lambda entry: entry["test"]["macs"])
    exits = sorted(exits, key=lambda row: row["exit"])
    with plotted(path, 1, 2, figsize=(11, 4.5)) as (left, right):
        for cost, label in (("macs_sequential", "exit, all heads on the way"), ("macs", "exit, its own head only")):
            left.plot([row[cost] / 1e6 for row in exits], [100 * row[merit] for row in exits], "o--", label=label, alpha=0.7)
        macs = [entry["test"]["macs"] / 1e6 for entry in policies]
        left.plot(macs, [100 * entry["test"][merit] for entry in policies], "s-", label="policy, test pictures")
        found_on = [100 * entry["calibration"][merit] for entry in policies]
        left.plot(
            [entry["calibration"]["macs"] / 1e6 for entry in policies], found_on, ".:", label="policy, calibration", alpha=0.7
        )
        low, high = (np.array([100 * entry["intervals"][merit][end] for entry in policies]) for end in (0, 1))
        left.fill_between(macs, low, high, alpha=0.2)
        left.set(xlabel="million MACs per picture (mean)", ylabel=f"{merit} %", title=title)
        left.legend(fontsize="small")
        left.grid(alpha=0.3)
        shares = np.array([entry["test"]["shares"] for entry in policies])
        places = np.arange(len(policies))
        for place, row in enumerate(exits):
            right.bar(places, shares[:, place], bottom=shares[:, :place].sum(1), label=row["setting"])
        right.set(xticks=places, ylabel="share of the pictures", title="where they leave (test pictures)")
        right.set_xticklabels([entry["setting"].removeprefix("policy-") for entry in policies], rotation=60, fontsize="small")
        right.legend(fontsize="small")


def plot_pictures(opened: OpenedRun, found: Findings, path: pathlib.Path) -> None:
    """Test pictures by the exit where they leave under the policy in the middle; in a row the surest first."""
    policy = found.policies[len(found.policies) // 2]
    scores = found.test.scores(opened.task, policy.score, policy.temperatures)
    at = taken(scores, policy.thresholds)
    rows = []
    for place in range(len(policy.exits)):
        mine = np.flatnonzero(at == place)
        order = mine[np.argsort(-scores[place, mine], kind="stable")]
        rows.append(order[np.linspace(0, len(order) - 1, _PICTURES).astype(int)] if len(order) >= _PICTURES else order)
    pictures = _pictures(opened, {int(index) for row in rows for index in row})
    with plotted(path, len(rows), _PICTURES, figsize=(1.3 * _PICTURES, 1.5 * len(rows)), squeeze=False) as axes:
        for place, (number, row) in enumerate(zip(policy.exits, rows, strict=True)):
            axes[place][0].set_ylabel(f"exit {number}\n{np.mean(at == place):.0%}", fontsize="small")
            for column, one in enumerate(axes[place]):
                one.set(xticks=[], yticks=[])
                if column < len(row):
                    index = int(row[column])
                    one.imshow(pictures[index])
                    right = found.test.hits[place, index]
                    one.set_title("right" if right else "wrong", fontsize="x-small", color="black" if right else "tab:red")


def _pictures(opened: OpenedRun, wanted: set[int]) -> dict[int, np.ndarray]:
    """Pictures of the test split by their place in it."""
    size, start, found = opened.network.size(), 0, {}
    for batch in opened.task.evaluation_batches(opened.source, [size]):
        images = batch["images"][size]
        for index in wanted & {*range(start, start + len(images))}:
            found[index] = images[index - start].numpy()
        start += len(images)
    return found
