"""One quantized RS-Net at five resolutions against five networks trained one by one, on CIFAR-10.

Command: `make results-cifar10` (about an hour on 2 cores). Every network sees the same number of passes over the 50,000
training pictures, with the same optimizer, schedule and augmentation. The switchable ones use `--kd` and, because their
loss sums over five resolutions, half the learning rate. Finished runs are not repeated. Writes
`docs/results/cifar10.json`, `.md` and `.png`.
"""

import argparse
import json

from experiments import comparison
from tfres.files import write_text
from tfres.machine import machine

SIZES = (32, 28, 24, 20, 16)
BITS = {"2/2": ["--mode", "preact", "--qw", "2", "--qa", "2"], "2/32": ["--mode", "resnet", "--qw", "2"]}


def networks():
    """Names and options of `tfres.train`."""
    for bits, options in BITS.items():
        yield f"{bits} switchable", [*options, "--lr", "0.05", "--kd", "--sizes", *map(str, SIZES)]
        for size in SIZES:
            yield f"{bits} individual r{size}", [*options, "--lr", "0.1", "--sizes", str(size)]


def main():
    parser = argparse.ArgumentParser(prog="python -m experiments.rsnet.results_cifar10", description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=5, help="passes over the data (default 5)")
    comparison.add_folders(parser, "runs/results-cifar10")
    arguments = parser.parse_args()
    results = {"epochs": arguments.epochs, "machine": machine(), "networks": {}}
    for name, options in networks():
        folder = arguments.runs / name.replace("/", "-").replace(" ", "-")
        results["networks"][name] = comparison.trained_rows(folder, [*options, "--epochs", str(arguments.epochs)])
    write_text(arguments.out / "cifar10.json", json.dumps(results, indent=1) + "\n")
    write_text(arguments.out / "cifar10.md", markdown(results))
    curves = {}
    for bits, colour in zip(BITS, ("tab:blue", "tab:orange"), strict=True):
        rows = results["networks"]
        curves[f"{bits} one network"] = (rows[f"{bits} switchable"][: len(SIZES)], "o-", colour)
        curves[f"{bits} five networks"] = ([rows[f"{bits} individual r{size}"][0] for size in SIZES], "x:", colour)
    comparison.plot(arguments.out / "cifar10.png", f"CIFAR-10, ResNet-20, {results['epochs']} passes", curves)


def markdown(results):
    """The table of the README."""
    lines = ["| resolution | MACs (M) | 2/2 switchable | 2/2 individual | 2/32 switchable | 2/32 individual |"]
    lines.append("| --- " * 6 + "|")
    for i, size in enumerate(SIZES):
        rows = results["networks"]
        cells = [f"{rows['2/2 switchable'][i]['macs'] / 1e6:.1f}"]
        for bits in BITS:
            switchable = rows[f"{bits} switchable"][i]["top1"]
            individual = rows[f"{bits} individual r{size}"][0]["top1"]
            cells += comparison.gain_cells(switchable, individual)
        lines.append(f"| {size} | {' | '.join(cells)} |")
    ensembles = [100 * results["networks"][f"{bits} switchable"][-1]["top1"] for bits in BITS]
    lines.append(f"| ensemble of five | | {ensembles[0]:.2f} | | {ensembles[1]:.2f} | |")
    lines.append(f"\nTop-1 in percent, {results['epochs']} passes, one seed; {results['machine']}.")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
