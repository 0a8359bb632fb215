"""`AdaptiveModel` on a LiteRT file without TensorFlow: budgets that move, pictures of a new shape, the first answer."""

import json
import statistics
import subprocess
import sys
import tempfile

from experiments import comparison
from experiments.benchmarks.deploying import bounded

PROCESSES = 5
# What a process of its own does. It prints seconds: of import and first answer, of the first answer for pictures of a new
# shape, and of the slowest setting for these.
FIRST = """
import sys, time
start = time.perf_counter()
sys.modules["tensorflow"] = None  # importing it raises
import numpy as np
from tfres.deploy.runtime import AdaptiveModel
model = AdaptiveModel(sys.argv[1], cache=sys.argv[2])
model.predict(np.zeros([1, *model.largest, 3], np.uint8))
first = time.perf_counter() - start
images = np.zeros([4, *model.largest, 3], np.uint8)
start = time.perf_counter()
model.predict(images, budget_ms=1e9)
new = time.perf_counter() - start
took = {setting: sorted(model.predict(images, setting=setting).ms for _ in range(5))[2] for setting in model.settings}
print(first, new, max(took.values()) / 1000)
"""


def measured(path, calls=200):
    """Figures and bounds.

    Args:
        path: of an evaluated run.
        calls: under a budget that moves.
    """
    with tempfile.TemporaryDirectory() as folder:
        export = comparison.command("export", "--run", str(path), "--out", folder, "--form", "litert").split()[-1]
        command = ["--calls", str(calls), "--anew", "--out", f"{folder}/adapt", "--json"]
        adapted = json.loads(comparison.command("adapt", export, *command))
        found = [first_answers(export, f"{folder}/cache{number}") for number in range(PROCESSES)]
    first, new, slowest = (statistics.median(values) for values in zip(*found, strict=True))
    return {
        "machine of the calls": adapted["machine"],
        "settings": len(adapted["times"]),
        "calls": adapted["calls"],
        "fastest setting, ms": min(adapted["times"].values()),
        "slowest setting, ms": max(adapted["times"].values()),
        "first answer for a new shape, ms": 1000 * new,
        "slowest setting for that shape, ms": 1000 * slowest,
        "acceptance": [
            bounded("share of the calls within a budget that moves", adapted["within_budget"], ">= 0.95"),
            bounded("first answer for a new shape against the slowest setting", new / slowest, "<= 3"),
            bounded("seconds of import and first answer, without TensorFlow", first, "<= 0.5"),
        ],
    }


def first_answers(export, cache):
    """Three numbers, see `FIRST`."""
    done = subprocess.run(
        [sys.executable, "-c", FIRST, export, cache], check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    return [float(number) for number in done.stdout.split()]
