"""A float ResNet-18 training step at five resolutions: against one resolution, and with low memory.

Command: `make bench-train` (second part). Time: steps of the variants on one batch, in turn, medians. Memory: every variant in
a process of its own; the peak of resident memory while three steps run, less what was resident when the network, the
optimizer and the batch were there.
"""

import json
import subprocess
import sys

from experiments.benchmarks.steps import BATCH, compiled_step
from experiments.benchmarks.timing import interleaved, report
from tfres.objectives import EnsembleDistillation

SIZES = (224, 192, 160, 128, 96)
OBJECTIVE = EnsembleDistillation(kd=True, weight_decay=1e-4, decay_on="all", ensemble=True)
VARIANTS = {
    "224 alone": ((224,), False),
    "five resolutions": (SIZES, False),
    "five resolutions, low memory": (SIZES, True),
}


def _step(resolutions, low_memory):
    return compiled_step("resnet18", resolutions, OBJECTIVE, low_memory)


def _resident(field):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(field)) / 1024


def memory(name):
    """MB beyond parameters, optimizer and batch at the peak of three steps; in this process."""
    step = _step(*VARIANTS[name])
    before = _resident("VmRSS")
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # start the peak anew
    for _ in range(3):
        step()
    return _resident("VmHWM") - before


def main():
    if len(sys.argv) > 1:
        print(json.dumps(memory(sys.argv[1])))
        return
    megabytes = {}
    for name in VARIANTS:
        command = [sys.executable, "-m", "experiments.benchmarks.resolutions_step", name]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        megabytes[name] = json.loads(done.stdout.splitlines()[-1])
    seconds = interleaved({name: _step(*variant) for name, variant in VARIANTS.items()}, repeats=7, warmup=2)
    one, five, low = seconds.values()
    plain, frugal = megabytes["five resolutions"], megabytes["five resolutions, low memory"]
    report(
        "bench_resolutions_step",
        "make bench-train",
        {
            "network": "ResNet-18, float, 1000 classes",
            "batch": BATCH,
            "ms": {name: 1000 * value for name, value in seconds.items()},
            "peak MB beyond parameters": megabytes,
            "five resolutions against 224 alone, time": five / one,
            "low memory against plain, time": low / five,
            "low memory against plain, memory": frugal / plain,
        },
    )


if __name__ == "__main__":
    main()
