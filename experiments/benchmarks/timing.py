"""Interleaved timing and result files of the benchmarks."""

import json
import pathlib
import time

import numpy as np

from tfres.files import write_text
from tfres.machine import machine


def interleaved(calls, repeats, warmup=3):
    """Median seconds of each call, all called in turn.

    Args:
        calls: name -> function without arguments that returns when its work is done.
        repeats: timed rounds.
        warmup: rounds before.
    """
    times = {name: [] for name in calls}
    for round_number in range(warmup + repeats):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            if round_number >= warmup:
                times[name].append(time.perf_counter() - start)
    return {name: float(np.median(values)) for name, values in times.items()}


def report(name, command, figures):
    """Print the figures and write them, with the machine and the command, to `docs/results/<name>.json`."""
    results = {"command": command, "machine": machine(), **figures}
    text = json.dumps(results, indent=1) + "\n"
    write_text(pathlib.Path("docs/results") / f"{name}.json", text)
    print(text, end="")
