"""How long a call takes that leaves at a given exit, on this machine."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

from tfres.policies import SCORES

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
    height, width = served.input_size(served.settings[0])
    count = len(served.exits)
    pictures = tf.TensorSpec([None, None, None, 3], tf.uint8)

    specs = [pictures, tf.TensorSpec([count - 1]), tf.TensorSpec([count]), tf.TensorSpec([], tf.int32)]

    @tf.function(input_signature=specs, autograph=False)
    def answer(images: tf.Tensor, *policy: tf.Tensor) -> dict[str, tf.Tensor]:
        decision = served.leaving(served.prepared(task, images), task, *policy)
        return {**task.answer(decision.outputs), "exit": decision.exit}

    concrete, images = answer.get_concrete_function(), tf.zeros([batch, height, width, 3], tf.uint8)
    temperatures, margin = tf.ones([count]), tf.constant(SCORES.index("margin"))
    never, always = np.finfo(np.float32).max, np.float32(-np.inf)  # (where it is infinite the head would not run)
    forced = [tf.constant([never] * place + [always] * (count - 1 - place)) for place in range(count)]
    times = np.zeros((count, repeats))
    for repeat in range(warmup + repeats):
        for place, thresholds in enumerate(forced):
            start = time.perf_counter()
            for value in concrete(images, thresholds, temperatures, margin).values():
                value.numpy()
            if repeat >= warmup:
                times[place, repeat - warmup] = 1000 * (time.perf_counter() - start)
    return times
