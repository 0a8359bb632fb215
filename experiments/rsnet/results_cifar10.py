"""One quantized RS-Net at five resolutions against five networks trained one by one, on CIFAR-10.

Command: `make results-cifar10` (about an hour on 2 cores). Every network sees the same number of passes over the 50,000
training pictures, with the same optimizer, schedule and augmentation. The switchable ones use `--kd` and, because their
loss sums over five resolutions, half the learning rate. Finished runs are not repeated. Writes
`docs/results/cifar10.json`, `.md` and `.png`.
"""

import argparse
import json
import pathlib
import subprocess
import sys

from tfres.evaluation.latency import machine
from tfres.files import atomic_path, write_text

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
    parser.add_argument("--runs", default="runs/results-cifar10", help="folder of the runs (default %(default)s)")
    parser.add_argument("--out", default="docs/results", help="folder of the results (default %(default)s)")
    arguments = parser.parse_args()
    results = {"epochs": arguments.epochs, "machine": machine(), "networks": {}}
    for name, options in networks():
        folder = pathlib.Path(arguments.runs) / name.replace("/", "-").replace(" ", "-")
        if not (folder / "table.json").exists():
            epochs = ["--epochs", str(arguments.epochs)]
            subprocess.run([sys.executable, "-m", "tfres.train", *options, *epochs, "--run", str(folder)], check=True)
        rows = json.loads((folder / "table.json").read_text())["rows"]
        # Latencies of different processes at different times cannot be compared; accuracies and counts can.
        results["networks"][name] = [{k: v for k, v in row.items() if not k.startswith("ms")} for row in rows]
    out = pathlib.Path(arguments.out)
    write_text(out / "cifar10.json", json.dumps(results, indent=1) + "\n")
    write_text(out / "cifar10.md", markdown(results))
    plot(results, out / "cifar10.png")


def plot(results, path):
    """Top-1 against MACs of all networks."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 4), dpi=150)
    for bits, colour in zip(BITS, ("tab:blue", "tab:orange"), strict=True):
        rows = results["networks"][f"{bits} switchable"][: len(SIZES)]
        axes.plot(
            [r["macs"] / 1e6 for r in rows], [100 * r["top1"] for r in rows], "o-", color=colour, label=f"{bits} one network"
        )
        rows = [results["networks"][f"{bits} individual r{size}"][0] for size in SIZES]
        axes.plot(
            [r["macs"] / 1e6 for r in rows], [100 * r["top1"] for r in rows], "x:", color=colour, label=f"{bits} five networks"
        )
    axes.set(xlabel="million MACs per picture", ylabel="top-1 %", title=f"CIFAR-10, ResNet-20, {results['epochs']} passes")
    axes.legend()
    axes.grid(alpha=0.3)
    figure.tight_layout()
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png")


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
            cells += [f"{100 * switchable:.2f} ({100 * (switchable - individual):+.2f})", f"{100 * individual:.2f}"]
        lines.append(f"| {size} | {' | '.join(cells)} |")
    ensembles = [100 * results["networks"][f"{bits} switchable"][-1]["top1"] for bits in BITS]
    lines.append(f"| ensemble of five | | {ensembles[0]:.2f} | | {ensembles[1]:.2f} | |")
    lines.append(f"\nTop-1 in percent, {results['epochs']} passes, one seed; {results['machine']}.")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
