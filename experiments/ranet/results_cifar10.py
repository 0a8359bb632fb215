"""One RANet with six exits against networks trained one by one and a MutualNet, on CIFAR-10; float and with 2 bits.

Command: `make results-ranet`. Every network sees the same number of passes over the same 45,000 training pictures; the other
5,000 are where policies are found. The RANet has the options of `experiments/ranet/cifar10.yaml`, the MutualNet those of
`experiments/mutualnet/cifar10.yaml`. Finished runs are not repeated. Writes `docs/results/ranet_cifar10.json`, `.md`, `.png`
and `ranet_pictures.png`.
"""

import argparse
import json
import shutil

from experiments import comparison
from tfres.evaluation.early_exit.finding import find_policies
from tfres.evaluation.opened import open_run
from tfres.files import write_text
from tfres.machine import machine
from tfres.recipe import PolicyOptions
from tfres.table import pareto

SIDES = (32, 24, 16)
RANET = ["--recipe", "experiments/ranet/cifar10.yaml"]
BITS = {"float": [], "2/2": ["--qw", "2", "--qa", "2"]}
ALONE = ["--arch", "resnet20", "--mode", "float", "--data", "cifar10", "--data.holdout", "0.1", "--lr", "0.1"]
MUTUAL = ["--recipe", "experiments/mutualnet/cifar10.yaml", "--data.holdout", "0.1"]
GRID = ("--width", "0.25:1:0.25", "--evaluation.batches", "9")


def main():
    parser = argparse.ArgumentParser(prog="python -m experiments.ranet.results_cifar10", description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=3, help="passes over the data (default 3)")
    comparison.add_folders(parser, "runs/results-ranet")
    arguments = parser.parse_args()
    passes = ["--epochs", str(arguments.epochs)]
    results = {"epochs": arguments.epochs, "machine": machine(), "exits": {}, "alone": {}}
    for name, options in BITS.items():
        run = arguments.runs / name.replace("/", "-")
        comparison.trained_rows(run, [*RANET, *options, *passes])
        results["exits"][name] = exits(run)
    for side in SIDES:
        options = [*ALONE, "--sizes", str(side), *passes]
        results["alone"][f"r{side}"] = comparison.trained_rows(arguments.runs / f"alone-r{side}", options)[0]
    run = arguments.runs / "mutualnet"
    comparison.trained_rows(run, [*MUTUAL, *passes])
    results["mutualnet"] = json.loads(comparison.command("evaluate", "--run", str(run), *GRID, "--json"))["rows"]
    write_text(arguments.out / "ranet_cifar10.json", json.dumps(results, indent=1) + "\n")
    write_text(arguments.out / "ranet_cifar10.md", markdown(results))
    title = f"CIFAR-10, {arguments.epochs} passes"
    comparison.plot(arguments.out / "ranet_cifar10.png", title, curves(results))
    shutil.copy(arguments.runs / "float" / "exits_pictures.png", arguments.out / "ranet_pictures.png")


def exits(run):
    """Rows of the exits, of policies for budgets and of the published rule's, each with what was found on the way."""
    opened = open_run(run)
    joint, reference = (find_policies(opened, PolicyOptions(rule=rule), repeats=0) for rule in ("joint", "reference"))
    rows = [row for row in opened.run.read_table()["rows"] if row.get("exit")]
    return {
        "rows": [{key: value for key, value in row.items() if not key.startswith("ms")} for row in rows],
        "quality": joint.report["exits"],
        "policies": joint.report["policies"],
        "reference": reference.report["policies"],
    }


def tested(policies):
    """Figures on the test pictures as rows."""
    return [{"setting": policy["setting"], **policy["test"]} for policy in policies]


def curves(results):
    """What is plotted."""
    lines = {}
    for (name, found), colour in zip(results["exits"].items(), ("tab:blue", "tab:orange"), strict=True):
        anytime = [{**row, "macs": row["macs_sequential"]} for row in found["rows"]]
        lines[f"RANet {name}, anytime"] = (anytime, "o:", colour)
        lines[f"RANet {name}, policies"] = (tested(found["policies"]), "s-", colour)
        lines[f"RANet {name}, published rule"] = (tested(found["reference"]), "--", "gray")
    lines["ResNet-20 trained alone at 32, 24, 16"] = (list(results["alone"].values()), "x", "black")
    lines["MutualNet, Pareto front"] = (pareto({"rows": results["mutualnet"]}), "^-", "tab:green")
    return lines


def markdown(results):
    """Anytime, budgeted, and what other networks reach with at most as many multiply-adds."""
    names = list(results["exits"])
    text = ["| exit | MACs, own head (M) | in sequence (M) | operations (M) | " + " | ".join(names) + " |", "| --- " * 6 + "|"]
    for rows in zip(*(results["exits"][name]["rows"][::-1] for name in names), strict=True):
        costs = [f"{rows[0][key] / 1e6:.1f}" for key in ("macs", "macs_sequential", "operations")]
        text.append(f"| {rows[0]['exit']} | " + " | ".join([*costs, *(f"{100 * row['top1']:.2f}" for row in rows)]) + " |")
    others = [*results["alone"].values(), *results["mutualnet"]]
    for name in names:
        found = results["exits"][name]
        text += ["", f"| budget, {name} (M) | used on the test (M) | top-1 | 95 % interval | published rule | others |"]
        text.append("| --- " * 6 + "|")
        for policy in found["policies"]:
            test, budget = policy["test"], policy["budget_macs"]
            low, high = (100 * end for end in policy["intervals"]["top1"])
            published, rival = (at_most(rows, test["macs"]) for rows in (tested(found["reference"]), others))
            cells = [
                f"{budget / 1e6:.1f}",
                f"{test['macs'] / 1e6:.1f} ({test['macs'] / budget - 1:+.1%})",
                f"{100 * test['top1']:.2f}",
                f"{low:.2f} to {high:.2f}",
                f"{100 * published['top1']:.2f}" if published else "-",
                f"{100 * rival['top1']:.2f} ({label(rival)})" if rival else "-",
            ]
            text.append(f"| {' | '.join(cells)} |")
    text.append(
        f"\nTop-1 in percent on CIFAR-10's 10,000 test pictures, {results['epochs']} passes over 45,000, one seed; policies "
        "found on the other 5,000. Others: the best ResNet-20 trained alone or MutualNet with at most as many multiply-adds. "
        f"{results['machine']}."
    )
    return "\n".join(text) + "\n"


def label(row):
    """Which network a row is of."""
    return f"ResNet-20 {row['setting']}" if "-" not in row["setting"] else f"MutualNet {row['setting']}"


def at_most(rows, macs):
    """The best row within so many multiply-adds, or None."""
    fitting = [row for row in rows if row["macs"] <= macs]
    return max(fitting, key=lambda row: row["top1"]) if fitting else None


if __name__ == "__main__":
    main()
