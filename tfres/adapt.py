"""`python -m tfres.adapt`: an export under a budget that falls and rises, to see what it chooses and how long that takes."""

import collections
import json
import math
import pathlib
import sys

from tfres.cli import Parser, print_table, run_main
from tfres.plots import plotted
from tfres.recipe import RecipeError


def make_parser():
    parser = Parser(
        prog="python -m tfres.adapt",
        description="Call an exported network with a time budget that moves between its fastest and slowest setting; write "
        "what it chose and how long it took as OUT.json and OUT.png.",
        epilog="Example: python -m tfres.adapt exported/NAME/1 --calls 200",
    )
    parser.add_argument("model", type=str, help="folder of the export (out/NAME/VERSION)")
    parser.add_argument("--calls", type=int, default=200, help="how many calls")
    parser.add_argument("--periods", type=float, default=2.0, help="how often the budget falls and rises")
    parser.add_argument("--batch", type=int, default=1, help="pictures per call")
    parser.add_argument("--anew", action="store_true", help="measure the settings' times again instead of taking cached ones")
    parser.add_argument("--out", type=str, default="adapt", help="name of the files, without .json and .png")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    return parser


def main(argv=None):
    arguments = make_parser().parse_args(argv)
    for name in ("calls", "periods", "batch"):
        if arguments[name] <= 0:
            raise RecipeError(f"`{name}` must be positive. Received: {name}={arguments[name]}.")

    import numpy as np

    from tfres.deploy import AdaptiveModel
    from tfres.evaluation.latency import machine
    from tfres.files import write_text

    try:
        model = AdaptiveModel(arguments.model)
    except (FileNotFoundError, ValueError) as error:
        raise RecipeError(str(error)) from error
    side = max(row["resolution"] for row in model.rows)
    images = np.random.default_rng(0).integers(0, 256, (arguments.batch, side, side, 3), np.uint8)
    times = model.calibrate(images.shape[:3], anew=arguments.anew)
    low, high = min(times.values()), max(times.values())
    rows = []
    for call in range(arguments.calls):
        phase = 2 * math.pi * arguments.periods * call / arguments.calls
        budget = low + (high - low) * (1 + math.cos(phase)) / 2
        answer = model.predict(images, budget_ms=budget)
        rows.append({"budget_ms": budget, "setting": answer.setting, "ms": answer.ms})
    within = sum(row["ms"] <= row["budget_ms"] for row in rows) / len(rows)
    results = {"machine": machine(), "batch": arguments.batch, "calls": len(rows), "within_budget": within, "times": times}
    write_text(pathlib.Path(f"{arguments.out}.json"), json.dumps({**results, "rows": rows}, indent=1) + "\n")
    plot(rows, model.rows, f"{arguments.out}.png")
    if arguments.json:
        print(json.dumps(results))
        return 0
    chosen = collections.Counter(row["setting"] for row in rows)
    summary = [{**row, "ms": times[row["setting"]], "chosen": chosen[row["setting"]]} for row in model.rows]
    summary = sorted((row for row in summary if row["chosen"]), key=lambda row: row["ms"])
    columns = [("setting", "setting", "{}"), ("top1", "top-1", "{:.2%}"), ("ms", "ms (95 %)", "{:.2f}")]
    print_table(summary, [*columns, ("chosen", "chosen", "{}")])
    print(f"\n{within:.1%} of {len(rows)} calls within budget; {arguments.out}.json, {arguments.out}.png")
    return 0


def plot(calls, rows, path):
    """Budget and time of every call, and the accuracy of what was chosen."""

    top1 = {row["setting"]: 100 * row["top1"] for row in rows}
    with plotted(path, 2, 1, figsize=(8, 5), sharex=True) as (above, below):
        above.plot([call["budget_ms"] for call in calls], color="tab:red", label="budget")
        above.plot([call["ms"] for call in calls], ".", color="tab:blue", markersize=4, label="time taken")
        above.set(ylabel="ms per call")
        above.legend()
        below.step(range(len(calls)), [top1[call["setting"]] for call in calls], color="tab:green", where="mid")
        below.set(xlabel="call", ylabel="top-1 % of the setting chosen")
        for axes in (above, below):
            axes.grid(alpha=0.3)


if __name__ == "__main__":
    run_main(main, sys.argv[1:])
