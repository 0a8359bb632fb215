"""Latency on this machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

if TYPE_CHECKING:
    from tfres.models.network import Network
    from tfres.tasks import Task


def measure_latency(calls: Mapping[str, Callable[[], Any]], repeats: int = 30, warmup: int = 3) -> dict[str, dict[str, float]]:
    """Time of calls, all interleaved.

    Args:
        calls: name -> function without arguments that returns when the work is done.
        repeats: timed calls of each.
        warmup: calls before.

    Returns:
        name -> `{"ms": median, "ms_p90": 90th percentile}`.
    """
    times: dict[str, list[float]] = {name: [] for name in calls}
    for repeat in range(warmup + repeats):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            if repeat >= warmup:
                times[name].append(1000 * (time.perf_counter() - start))
    return {name: {"ms": float(np.median(t)), "ms_p90": float(np.percentile(t, 90))} for name, t in times.items()}


def served_call(network: Network, task: Task, batch: int = 1) -> Callable[[], Any]:
    """One call of a plain network as it is deployed: uint8 pictures of its size in, answers out, from its served form.

    Args:
        network: of one setting.
        task: prepares pictures and makes answers.
        batch: pictures per call.
    """
    served, (setting,) = network.served().frozen(), network.settings
    size, at = served.size(setting), served.at(setting)
    height, width = served.input_size(setting)

    @tf.function(input_signature=[tf.TensorSpec([batch, height, width, 3], tf.uint8)])
    def answer(images: tf.Tensor) -> dict[str, tf.Tensor]:
        inputs, _ = task.prepare({"images": {size: images}}, [size], training=False)
        return task.answer(served.run(tf.cast(inputs[size], served.compute_dtype), at))

    concrete, images = answer.get_concrete_function(), tf.zeros([batch, height, width, 3], tf.uint8)
    return lambda: [value.numpy() for value in concrete(images).values()]
