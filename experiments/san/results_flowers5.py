"""One SAN against one RS-Net and five individual networks, at every resolution, on real pictures of flowers.

Command: `make results-san FLOWERS=FOLDER` (data and runs of `make results-flowers5`, and one run more of about 20 minutes on 2
cores). All are ResNet-18 of a quarter of the width from random weights with the same passes. Every 8 pixels from 96 to 224 the
SAN runs in all five modes of inference, the RS-Net in the three it has, the individual networks as they are. Finished runs are
not repeated. Writes `docs/results/san_flowers5.json`, `.md`, `.png`.
"""

import argparse
import json

from experiments import comparison
from experiments.rsnet.results_flowers5 import COMMON, MODES, SIZES, trained
from tfres.evaluation.measuring import How, measure
from tfres.evaluation.opened import open_run
from tfres.files import write_text
from tfres.machine import machine
from tfres.settings import INFERENCE

RESOLUTIONS = range(96, 225, 8)


def main():
    parser = argparse.ArgumentParser(prog="python -m experiments.san.results_flowers5", description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="folder with train/ and val/")
    parser.add_argument("--epochs", type=int, default=30, help="passes over the data (default 30)")
    comparison.add_folders(parser, "runs/results-flowers5")
    arguments = parser.parse_args()
    results = {"epochs": arguments.epochs, "machine": machine(), **trained(arguments.runs, arguments.data, arguments.epochs)}
    options = [*COMMON.split(), "--data", arguments.data, "--epochs", str(arguments.epochs), "--lr", "0.02", "--kd"]
    options += ["--arch", "meta_resnet18", "--model.initial_kernels", "plain", "--sizes", *map(str, SIZES)]
    results["san"] = comparison.trained_rows(arguments.runs / "san", options)
    sweeps = {"san": swept(arguments.runs / "san", INFERENCE), "switchable": swept(arguments.runs / "switchable", MODES)}
    for size in SIZES:
        sweeps[f"individual r{size}"] = swept(arguments.runs / f"individual-r{size}", ("proxy",))
    results["sweeps"] = sweeps
    write_text(arguments.out / "san_flowers5.json", json.dumps(results, indent=1) + "\n")
    write_text(arguments.out / "san_flowers5.md", markdown(results))
    comparison.plot_lines(
        arguments.out / "san_flowers5.png", f"Flowers, ResNet-18 x 0.25, {arguments.epochs} passes", lines(sweeps)
    )


def swept(folder, modes):
    """Top-1 by mode of inference and resolution."""
    opened = open_run(folder, with_calibrated=False)
    rows = {mode: measure(opened, RESOLUTIONS, How(mode))["rows"] for mode in modes}
    return {mode: {str(row["resolution"]): row["top1"] for row in found} for mode, found in rows.items()}


def lines(sweeps):
    """What is plotted: label -> `(resolution -> top-1, format, colour)`."""
    formats = {"proxy": "o-", "ideal": "s-", "data-free": "^-", "proxy+calibration": "o--", "ideal+calibration": "s--"}
    plotted = {f"SAN, {mode}": (sweeps["san"][mode], formats[mode], f"C{i}") for i, mode in enumerate(INFERENCE)}
    plotted["RS-Net, proxy"] = (sweeps["switchable"]["proxy"], "x-", "black")
    plotted["RS-Net, proxy+calibration"] = (sweeps["switchable"]["proxy+calibration"], "x--", "black")
    plotted["individual, trained at 160"] = (sweeps["individual r160"]["proxy"], ":", "gray")
    return plotted


def markdown(results):
    """Two tables: trained resolutions; means over untrained ones by mode of inference."""
    percent = "{:.2f}".format
    text = ["| resolution | MACs (M) | SAN | RS-Net | individual network |", "| --- " * 5 + "|"]
    san, rsnet = ({row["setting"]: row for row in results[name]} for name in ("san", "switchable"))
    for size in SIZES:
        name = f"r{size}"
        top1 = [row["top1"] for row in (san[name], rsnet[name], results[f"individual {name}"])]
        text.append(f"| {size} | {san[name]['macs'] / 1e6:.1f} | {' | '.join(percent(100 * value) for value in top1)} |")
    untrained = [str(r) for r in RESOLUTIONS if r not in SIZES]
    text += [
        "",
        f"| inference at the {len(untrained)} untrained resolutions | SAN: mean | worst | RS-Net: mean | worst |",
        "| --- " * 5 + "|",
    ]
    for mode in INFERENCE:
        cells = []
        for name in ("san", "switchable"):
            values = [100 * results["sweeps"][name][mode][r] for r in untrained if mode in results["sweeps"][name]]
            same = f"as {mode.replace('ideal', 'proxy')}"  # an RS-Net has no kernels of a resolution's own
            cells += [percent(sum(values) / len(values)), percent(min(values))] if values else [same, same]
        text.append(f"| {mode} | {' | '.join(cells)} |")
    for size in SIZES:
        values = [100 * results["sweeps"][f"individual r{size}"]["proxy"][r] for r in untrained]
        text.append(
            f"| individual network trained at {size} | {percent(sum(values) / len(values))} | {percent(min(values))} | | |"
        )
    text.append(
        f"\nTop-1 in percent on 551 pictures (0.18 points each), {results['epochs']} passes, one seed; {results['machine']}."
    )
    return "\n".join(text) + "\n"


if __name__ == "__main__":
    main()
