"""The activation quantizer's training call against its formula written out literally.

Command: `make bench-quant`. One call makes the output and the new basis. Peak memory is what the process grows by during
one call after a warm-up, read from the kernel (Linux), in a process of its own.
"""

import os
import pathlib
import re
import subprocess
import sys

import numpy as np
import tensorflow as tf

from experiments.benchmarks.timing import interleaved, report
from quant import lq
from tests.quant.oracle import activation_training_call

SHAPE, BITS = (16, 56, 56, 64), 2


@tf.function
def ours(x, basis):
    y, statistics = lq.quantize_with_statistics(x, lq.level_table(basis, signed=False))
    return y, lq.solve_basis(statistics, basis)


literal = tf.function(activation_training_call)


def inputs():
    x = np.random.Generator(np.random.PCG64(0)).standard_normal(SHAPE)
    return tf.constant(np.maximum(x, 0), tf.float32), tf.constant(lq.initial_activation_basis(BITS))


def peak_share(name):
    """Peak memory of one call as a multiple of its input, measured in a new process."""
    # Plain malloc that gives freed memory back at once, instead of oneDNN's pool.
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536", "TF_ENABLE_ONEDNN_OPTS": "0"}
    code = f"from experiments.benchmarks.quantizer import grow; grow({name!r})"
    output = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True).stdout
    return float(output.split()[-1])


def grow(name):
    """Print the growth of this process during one call, as a multiple of the input."""
    call, (x, basis) = {"ours": ours, "literal": literal}[name], inputs()
    for _ in range(3):
        call(x, basis)[1].numpy()
    pathlib.Path("/proc/self/clear_refs").write_text("5")  # the peak starts from here
    before = _status("VmRSS")
    results = call(x, basis)
    results[1].numpy()
    print((_status("VmHWM") - before) / (x.shape.num_elements() * 4))


def _status(field):
    return 1024 * int(re.search(rf"{field}:\s+(\d+) kB", pathlib.Path("/proc/self/status").read_text())[1])


def main():
    x, basis = inputs()
    y, solution = ours(x, basis)
    literal_y, _ = literal(x, basis)
    _, exact = activation_training_call(tf.cast(x, tf.float64), tf.cast(basis, tf.float64))
    seconds = interleaved({n: lambda c=c: c(x, basis)[1].numpy() for n, c in (("ours", ours), ("literal", literal))}, 15)
    figures = {
        "shape": SHAPE,
        "bits": BITS,
        "ms": {name: 1000 * value for name, value in seconds.items()},
        "times_faster": seconds["literal"] / seconds["ours"],
        "peak_memory_per_input": {name: peak_share(name) for name in ("ours", "literal")},
        "largest_output_difference": float(tf.reduce_max(tf.abs(y - literal_y))),
        "relative_basis_difference_to_float64": float(tf.norm(tf.cast(solution, tf.float64) - exact) / tf.norm(exact)),
    }
    report("bench_quantizer", "make bench-quant", figures)


if __name__ == "__main__":
    main()
