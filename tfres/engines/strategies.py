"""Which devices a run uses."""

from __future__ import annotations

import functools
import json
import os
from typing import TYPE_CHECKING

import tensorflow as tf

from tfres.errors import RecipeError, WorkerLost

if TYPE_CHECKING:
    from tfres.recipe import TrainingOptions


@functools.cache
def make_strategy(name: str) -> tf.distribute.Strategy:
    """A `tf.distribute` strategy; one per process, because the collectives of two on the same devices collide.

    Args:
        name: "single" (TensorFlow's default device), "mirrored" (all GPUs; without any, all logical processors) or
            "multiworker" (the workers in the environment variable TF_CONFIG; collectives over the network).

    Raises:
        RecipeError: multiworker without a usable TF_CONFIG.
    """
    if name == "single":
        return tf.distribute.get_strategy()
    if name == "mirrored":
        devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
        return tf.distribute.MirroredStrategy([device.name for device in devices])
    workers()
    return tf.distribute.MultiWorkerMirroredStrategy()


def wait_for_workers(name: str) -> None:
    """Return when all workers of the strategy have come here.

    Raises:
        WorkerLost: one ended before.
    """
    if name != "multiworker":
        return
    strategy = make_strategy(name)

    @tf.function(autograph=False)
    def met() -> tf.Tensor:
        return strategy.run(lambda: tf.distribute.get_replica_context().all_reduce("SUM", tf.constant(1.0)))

    try:
        met()
    except tf.errors.OpError as error:
        raise WorkerLost("Another worker ended before the training began; its message says why.") from error


def workers() -> tuple[int, int]:
    """`(number of this worker, count)` from TF_CONFIG.

    Raises:
        RecipeError: not there or not understood.
    """
    text = os.environ.get("TF_CONFIG", "")
    try:
        config = json.loads(text)
        addresses, task = config["cluster"]["worker"], config["task"]
        number = int(task["index"])
        if task["type"] != "worker" or not 0 <= number < len(addresses):
            raise ValueError("task must be one of the workers")
    except (KeyError, TypeError, ValueError) as error:
        raise RecipeError(
            "`strategy` multiworker needs TF_CONFIG like "
            '{"cluster": {"worker": ["host1:9000", "host2:9000"]}, "task": {"type": "worker", "index": 0}}. '
            f"Received: TF_CONFIG={text!r} ({error})."
        ) from error
    return number, len(addresses)


def is_chief(training: TrainingOptions) -> bool:
    """Whether this process writes files: all but the other workers of a multiworker run do."""
    return training.strategy != "multiworker" or workers()[0] == 0


def check_devices(devices: list[int]) -> None:
    """Raises RecipeError for numbers of GPUs that this machine does not have."""
    there = len(tf.config.list_physical_devices("GPU"))
    wrong = [device for device in devices if device >= there]
    if wrong:
        known = f"numbers from 0 to {there - 1}" if there else "empty: TensorFlow sees no GPU here"
        raise RecipeError(f"`devices` must be {known}. Received: devices={devices}.")
