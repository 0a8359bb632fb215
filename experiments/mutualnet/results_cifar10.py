"""One MutualNet at 64 settings against networks trained alone, on CIFAR-10.

Command: `make results-mutualnet` (about three quarters of an hour on 2 cores). WideResNet-10-2 with the options of
`experiments/mutualnet/cifar10.yaml` and 6 passes, narrower networks learning from the labels, and again from the full network
as in the reference; widths 0.25 to 1 in steps of 0.05 at 32, 28, 24 and 20 pixels, with statistics measured for each pair, and
before that (only the two widths that training keeps statistics for). Five networks of one width and resolution get as many
passes alone. Finished runs are not repeated. At last the export follows a
budget. Writes `docs/results/mutualnet_cifar10.json`, `.md`, `.png` and `mutualnet_adapt.json`, `.png`.
"""

import argparse
import json

from experiments import comparison
from tfres.evaluation.evaluator import Evaluator
from tfres.evaluation.opened import open_run
from tfres.files import write_text
from tfres.machine import machine
from tfres.settings import Setting
from tfres.table import pareto

SIDES, ENDS = (32, 28, 24, 20), (1.0, 0.25)
ALONE = ((1.0, 32), (0.5, 32), (0.25, 32), (0.5, 20), (0.25, 20))
GRID = ("--width", "0.25:1:0.05", "--evaluation.batches", "9")
COMMON = ["--recipe", "experiments/mutualnet/cifar10.yaml"]


def main():
    parser = argparse.ArgumentParser(
        prog="python -m experiments.mutualnet.results_cifar10", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--epochs", type=int, default=6, help="passes over the data (default 6)")
    comparison.add_folders(parser, "runs/results-mutualnet")
    arguments = parser.parse_args()
    common = [*COMMON, "--epochs", str(arguments.epochs)]
    results = {"epochs": arguments.epochs, "machine": machine(), "alone": {}}
    for name, kd in (("labels", "false"), ("mutual", "true")):
        run = arguments.runs / name
        comparison.trained_rows(run, [*common, f"--objective.kd={kd}"])
        table = json.loads(comparison.command("evaluate", "--run", str(run), *GRID, "--json"))
        results[name] = {"before": before(run), "rows": table["rows"]}
    for width, side in ALONE:
        options = [
            *common,
            "--model.width_range",
            f"[{width},{width}]",
            "--objective.random_widths",
            "0",
            "--sizes",
            str(side),
        ]
        (row,) = comparison.trained_rows(arguments.runs / f"individual-r{side}-w{width}", options)
        results["alone"][f"r{side}-w{width:g}"] = row
    results["adapt"] = adapt(arguments.runs, arguments.out / "mutualnet_adapt")
    write_text(arguments.out / "mutualnet_cifar10.json", json.dumps(results, indent=1) + "\n")
    write_text(arguments.out / "mutualnet_cifar10.md", markdown(results))
    title = f"CIFAR-10, WideResNet-10-2, {arguments.epochs} passes"
    comparison.plot(arguments.out / "mutualnet_cifar10.png", title, curves(results))


def adapt(runs, out):
    """The export under a budget that moves, 64 pictures per call; the machine should have nothing else to do."""
    path = comparison.command("export", "--run", str(runs / "labels"), "--out", str(runs / "exported")).split()[-1]
    options = ["--calls", "200", "--batch", "64", "--anew", "--out", str(out), "--json"]
    return json.loads(comparison.command("adapt", path, *options))


def before(folder):
    """Top-1 without calibration, of the widths that have statistics from training."""
    opened = open_run(folder, with_calibrated=False)
    network = opened.network

    settings = [Setting(side, width) for width in ENDS for side in SIDES]

    def answers(inputs):
        return {str(s): network(inputs[s.resolution], setting=s, training=False) for s in settings}

    results = Evaluator(opened.task, opened.source, SIDES, answers)()
    return {name: both["top1"] for name, both in results.items()}


def curves(results):
    """What is plotted: a line per resolution, the Pareto front, the networks trained alone."""
    lines = {}
    for number, side in enumerate(SIDES):
        rows = [row for row in results["labels"]["rows"] if row["resolution"] == side]
        lines[f"one network at {side}"] = (rows, ".-", f"C{number}")
    lines["its Pareto front"] = (pareto(results["labels"]), "--", "gray")
    lines["front with distillation"] = (pareto(results["mutual"]), ":", "gray")
    lines["networks trained alone"] = (list(results["alone"].values()), "x", "black")
    return lines


def markdown(results):
    """The grid, what calibration changes, and the networks trained alone."""
    labels, distilled = ({row["setting"]: row for row in results[name]["rows"]} for name in ("labels", "mutual"))
    widths = sorted({row["width_mult"] for row in labels.values()}, reverse=True)
    text = ["| width | " + " | ".join(map(str, SIDES)) + " |", "| --- " * (1 + len(SIDES)) + "|"]
    for width in widths:
        cells = [labels[f"r{side}-w{width:g}"] for side in SIDES]
        cells = [f"{100 * row['top1']:.2f} ({row['macs'] / 1e6:.1f} M)" for row in cells]
        text.append(f"| {width:g} | {' | '.join(cells)} |")
    text += ["", "| setting | before calibration | calibrated |", "| --- " * 3 + "|"]
    start = results["labels"]["before"]
    text += [f"| {name} | {100 * top1:.2f} | {100 * labels[name]['top1']:.2f} |" for name, top1 in start.items()]
    text += ["", "| setting | MACs (M) | one network | the same with `--kd` | trained alone |", "| --- " * 5 + "|"]
    for name, row in results["alone"].items():
        (ours, alone), (taught, _) = (comparison.gain_cells(r[name]["top1"], row["top1"]) for r in (labels, distilled))
        text.append(f"| {name} | {row['macs'] / 1e6:.1f} | {ours} | {taught} | {alone} |")
    text.append(
        f"\nTop-1 in percent on CIFAR-10's 10,000 test pictures, {results['epochs']} passes, one seed; {results['machine']}."
    )
    return "\n".join(text) + "\n"


if __name__ == "__main__":
    main()
