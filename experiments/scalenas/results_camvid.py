"""One ScaleNAS supernet at several masks and resolutions, and one of its masks trained alone, on CamVid.

Command: `make results-scalenas CAMVID=FOLDER` (50 minutes on 2 cores). The recipe is `experiments/scalenas/camvid_w8.yaml`:
one random mask per step at 96x128; then the masks full, S1 and smallest at 96x128 and 64x96, with the statistics of training,
which belong to no mask, and with statistics measured for each. The extracted network of S1 gets as many passes alone, and its
statistics are measured in the same way. Finished runs are not repeated. Writes `docs/results/scalenas_camvid.json`, `.md` and
`.png`.
"""

import argparse
import json

from experiments import comparison
from experiments.docs.recipe_reference import table
from tfres.evaluation.measuring import How, measure
from tfres.evaluation.opened import open_run
from tfres.evaluation.requests import chosen_settings
from tfres.files import write_text
from tfres.machine import machine
from tfres.plots import plotted

MASKS, SIZES, ALONE = ("full", "S1", "smallest"), ("96x128", "64x96"), "S1"
KEPT = ("setting", "miou", "pixels", "macs", "params")


def main():
    parser = argparse.ArgumentParser(prog="python -m experiments.scalenas.results_camvid", description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="CamVid's folder")
    parser.add_argument("--epochs", type=int, help="passes over the data (default: the recipe's)")
    comparison.add_folders(parser, "runs/results-scalenas")
    arguments = parser.parse_args()
    common = ["--recipe", "experiments/scalenas/camvid_w8.yaml", "--data", arguments.data]
    common += ["--epochs", str(arguments.epochs)] if arguments.epochs else []
    alone = ["--objective.one_shot=false", "--model.extracted=true", f"--model.subnets=[{ALONE}]"]
    results = {"machine": machine()}
    for name, options, masks in (("supernet", [], MASKS), ("alone", alone, (ALONE,))):
        run = arguments.runs / name
        comparison.trained_rows(run, [*common, *options])
        results[name] = {"before": as_trained(run, masks), "after": calibrated(run, masks)}
    write_text(arguments.out / "scalenas_camvid.json", json.dumps(results, indent=1) + "\n")
    write_text(arguments.out / "scalenas_camvid.md", markdown(results))
    plot(arguments.out / "scalenas_camvid.png", results)


def as_trained(run, masks):
    """Setting -> its row, with the statistics of the training."""
    opened = open_run(run, with_calibrated=False)
    settings = chosen_settings(opened.network, [tuple(map(int, size.split("x"))) for size in SIZES], None, masks)
    return by_setting(measure(opened, settings, How(), repeats=0)["rows"])


def calibrated(run, masks):
    """Setting -> its row, with statistics of its own, which the run keeps."""
    asked = [
        "--size",
        *SIZES,
        f"--evaluation.subnets=[{','.join(masks)}]",
        "--evaluation.repeats",
        "0",
        "--calibrate",
        "--json",
    ]
    return by_setting(json.loads(comparison.command("evaluate", "--run", str(run), *asked))["rows"])


def by_setting(rows):
    return {row["setting"]: {key: row[key] for key in KEPT} for row in rows if row["setting"] != "ensemble"}


def markdown(results):
    """A row per setting."""
    supernet, alone = results["supernet"], results["alone"]
    rows = []
    for setting, row in supernet["after"].items():
        share = f"{100 * row['miou']:.2f}"
        other = [f"{100 * alone[when][setting]['miou']:.2f}" if setting in alone[when] else "" for when in ("before", "after")]
        before = f"{100 * supernet['before'][setting]['miou']:.2f}"
        rows.append([setting, f"{row['macs'] / 1e6:.0f}", f"{row['params'] / 1e6:.2f}", before, share, *other])
    heads = ("setting", "MACs (M)", "params (M)", "supernet", "calibrated", "trained alone", "calibrated")
    return f"{table(heads, rows)}\n\nMean IoU in percent, one seed; {results['machine']}.\n"


def plot(path, results):
    """Mean IoU against multiply-adds, a line per resolution."""
    with plotted(path, figsize=(7, 4.5)) as axes:
        for size, colour in zip(SIZES, ("C0", "C1"), strict=True):
            for name, when, form in (("supernet", "before", ".--"), ("supernet", "after", ".-"), ("alone", "after", "x")):
                rows = [row for setting, row in results[name][when].items() if setting.startswith(f"r{size}-")]
                points = sorted((row["macs"] / 1e6, 100 * row["miou"]) for row in rows)
                label = f"{name}, {'calibrated' if when == 'after' else 'as trained'}, {size}"
                axes.plot(*zip(*points, strict=True), form, color=colour, label=label)
        axes.set(xlabel="million MACs per picture", ylabel="mean IoU %", title="CamVid, ScaleNAS of width 8")
        axes.legend(fontsize="small")
        axes.grid(alpha=0.3)


if __name__ == "__main__":
    main()
