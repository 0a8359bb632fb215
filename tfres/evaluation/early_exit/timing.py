"""How long a call takes that leaves at a given exit, on this machine."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

if TYPE_CHECKING:
    from tfres.models.exits import ExitNetwork
    from tfres.tasks import Task


def leaving_times(network: ExitNetwork, task: Task, batch: int = 1, repeats: int = 30, warmup: int = 3) -> np.ndarray:
    """Times of calls as they are deployed (uint8 pictures in, answers out, served form, one graph for all exits) that are made
    to leave at each exit; calls of all exits alternate.

    Args:
        network: built.
        task: prepares pictures and makes answers.
        batch: pictures per call.
        repeats: timed calls per exit.
        warmup: calls before.

    Returns:
        ms, `(exits, repeats)`.
    """
    served = network.served().frozen()
    size = served.size(served.settings[0])
    height, width = served.input_size(served.settings[0])
    count = len(served.exits)
    pictures = tf.TensorSpec([batch, height, width, 3], tf.uint8)

    @tf.function(input_signature=[pictures, tf.TensorSpec([count - 1], tf.float32)])
    def answer(images: tf.Tensor, thresholds: tf.Tensor) -> dict[str, tf.Tensor]:
        inputs, _ = task.prepare({"images": {size: images}}, [size], training=False)
        images = tf.cast(inputs[size], served.compute_dtype)
        decision = served.ways.leaving(images, lambda place, outputs: task.confidence(outputs, "margin", 1.0), thresholds)
        return {**task.answer(decision.outputs), "exit": decision.exit}

    concrete, images = answer.get_concrete_function(), tf.zeros(pictures.shape, tf.uint8)
    never, always = np.finfo(np.float32).max, np.float32(-np.inf)  # (where it is infinite the head would not run)
    forced = [tf.constant([never] * place + [always] * (count - 1 - place)) for place in range(count)]
    times = np.zeros((count, repeats))
    for repeat in range(warmup + repeats):
        for place, thresholds in enumerate(forced):
            start = time.perf_counter()
            for value in concrete(images, thresholds).values():
                value.numpy()
            if repeat >= warmup:
                times[place, repeat - warmup] = 1000 * (time.perf_counter() - start)
    return times
