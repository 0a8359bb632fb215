"""The machine that measurements were made on. Needs nothing but Python until it is asked."""

from __future__ import annotations

import os
import platform


def machine() -> str:
    """One line that names this machine: processor, cores, GPUs, version of TensorFlow."""
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    return f"{processor()}, {len(gpus)} GPUs, TensorFlow {tf.__version__}"


def processor() -> str:
    """The same without GPUs and TensorFlow."""
    name = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            name = next(line.split(":")[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return f"{name}, {os.cpu_count()} cores"


def threads() -> int:
    """Threads that one operation may use."""
    import tensorflow as tf

    return tf.config.threading.get_intra_op_parallelism_threads() or len(os.sched_getaffinity(0))
