"""One float RS-Net at five resolutions against five networks trained one by one, on real pictures of flowers.

Command: `make results-flowers5 FLOWERS=FOLDER` (under an hour on 2 cores). FOLDER holds train/ and val/ with one folder per
class (five classes, 2,564 and 551 pictures here). All are ResNet-18 of a quarter of the width from random weights with the
same passes; the switchable one uses `--kd` and, because its loss sums over five resolutions, half the learning rate. Two
resolutions that were never trained are evaluated with the norms of the next smaller one, and after calibration. Finished runs
are not repeated. Writes `docs/results/flowers5.json`, `.md`, `.png` and `flowers5_sweep.png`.
"""

import argparse
import json
import shutil

from experiments import comparison
from tfres.files import write_text
from tfres.machine import machine
from tfres.settings import next_smaller

SIZES, UNSEEN = (224, 192, 160, 128, 96), (208, 144)
MODES = ("proxy", "proxy+calibration", "data-free")  # without generated kernels there are no others
COMMON = """--model.width_mult 0.25 --data.in_memory true --batch-size 32 --training.warmup_epochs 2
--training.saves_per_epoch 1 --training.keep_checkpoints 2"""


def main():
    parser = argparse.ArgumentParser(prog="python -m experiments.rsnet.results_flowers5", description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="folder with train/ and val/")
    parser.add_argument("--epochs", type=int, default=30, help="passes over the data (default 30)")
    comparison.add_folders(parser, "runs/results-flowers5")
    arguments = parser.parse_args()
    switchable = arguments.runs / "switchable"
    results = {"epochs": arguments.epochs, "machine": machine(), **trained(arguments.runs, arguments.data, arguments.epochs)}
    results["unseen"] = [unseen(switchable, size) for size in UNSEEN]
    sweep = [*map(str, sorted({*SIZES, *UNSEEN, 176, 112}))]
    results["sweep"] = json.loads(
        comparison.command("evaluate", "--run", str(switchable), "--json", "--size", *sweep, "--inference", *MODES)
    )
    write_text(arguments.out / "flowers5.json", json.dumps(results, indent=1) + "\n")
    write_text(arguments.out / "flowers5.md", markdown(results))
    shutil.copyfile(switchable / "sweep.png", arguments.out / "flowers5_sweep.png")
    curves = {
        "one network": (results["switchable"][: len(SIZES)], "o-", "tab:blue"),
        "five networks": ([results[f"individual r{size}"] for size in SIZES], "x:", "tab:orange"),
    }
    title = f"Flowers, ResNet-18 x 0.25, {results['epochs']} passes"
    comparison.plot(arguments.out / "flowers5.png", title, curves)


def trained(runs, data, epochs):
    """Rows of the query tables: "switchable", a list; "individual r224" ..., one row each."""
    common = [*COMMON.split(), "--data", data, "--epochs", str(epochs)]
    switchable = [*common, "--arch", "resnet18", "--lr", "0.02", "--kd", "--sizes", *map(str, SIZES)]
    rows = {"switchable": comparison.trained_rows(runs / "switchable", switchable)}
    for size in SIZES:
        individual = [*common, "--arch", "resnet18", "--lr", "0.04", "--sizes", str(size)]
        (rows[f"individual r{size}"],) = comparison.trained_rows(runs / f"individual-r{size}", individual)
    return rows


def unseen(run, size):
    """Top-1 at a resolution that was not trained: with the norms of the next smaller one, and after calibration."""
    donor = next_smaller(SIZES, size)
    evaluate = ("evaluate", "--run", str(run), "--json", "--size", str(size))
    borrowed = json.loads(comparison.command(*evaluate, "--evaluation.norms_of", str(donor)))["rows"][0]["top1"]
    calibrated = json.loads(comparison.command("calibrate", "--run", str(run), "--size", str(size), "--json"))["rows"][0]
    own = json.loads(comparison.command(*evaluate))["rows"][0]["top1"]
    return {"resolution": size, "norms_of": donor, "borrowed": borrowed, "calibrated": own, "pictures": calibrated["pictures"]}


def markdown(results):
    """The table of the README."""
    lines = ["| resolution | MACs (M) | one network | five networks |", "| --- " * 4 + "|"]
    rows = {row["setting"]: row for row in results["switchable"]}
    for size in SIZES:
        row, individual = rows[f"r{size}"], results[f"individual r{size}"]["top1"]
        lines.append(f"| {size} | {row['macs'] / 1e6:.1f} | {' | '.join(comparison.gain_cells(row['top1'], individual))} |")
    lines.append(f"| ensemble of five | | {100 * rows['ensemble']['top1']:.2f} | |")
    lines += ["", "| never trained | norms of the next smaller | calibrated |", "| --- " * 3 + "|"]
    for row in results["unseen"]:
        cells = f"{100 * row['borrowed']:.2f} (of {row['norms_of']}) | {100 * row['calibrated']:.2f}"
        lines.append(f"| {row['resolution']} | {cells} |")
    lines.append(
        f"\nTop-1 in percent on 551 pictures (0.18 points each), {results['epochs']} passes, one seed; {results['machine']}."
    )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
