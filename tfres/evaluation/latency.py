"""Latency of a setting on this machine."""

import functools
import os
import platform
import time

import numpy as np
import tensorflow as tf


def measure_latency(model, points, batch=1, repeats=30, warmup=3):
    """Time of one call per point, all points interleaved.

    Args:
        model: built.
        points: name -> `(setting, resolution)`.
        batch: images per call.
        repeats: timed calls per setting.
        warmup: calls before.

    Returns:
        dict: name of the point -> `{"ms": median, "ms_p90": 90th percentile}`.
    """
    calls = {}
    for name, (setting, side) in points.items():
        function = tf.function(functools.partial(model, setting=setting, training=False))
        images = tf.zeros([batch, side, side, 3])
        calls[name] = (function.get_concrete_function(tf.TensorSpec(images.shape)), images)
    times = {name: [] for name in calls}
    for repeat in range(warmup + repeats):
        for name, (concrete, images) in calls.items():
            start = time.perf_counter()
            concrete(images).numpy()
            if repeat >= warmup:
                times[name].append(1000 * (time.perf_counter() - start))
    return {name: {"ms": float(np.median(t)), "ms_p90": float(np.percentile(t, 90))} for name, t in times.items()}


def machine():
    """One line that names this machine."""
    name = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo") as file:
            name = next(line.split(":")[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    gpus = tf.config.list_physical_devices("GPU")
    return f"{name}, {os.cpu_count()} cores, {len(gpus)} GPUs, TensorFlow {tf.__version__}"
