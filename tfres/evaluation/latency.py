"""Costs of settings, latency on this machine."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

if TYPE_CHECKING:
    from tfres.models.network import Network
    from tfres.models.served import ServedNetwork
    from tfres.settings import Private, Setting
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


def forms(network: Network, settings: Iterable[Setting], privates: Mapping[Setting, Private | None]) -> dict[Setting, Network]:
    """What runs each setting when it is measured: its plain network, or the network itself where one pass serves several.

    Args:
        network: built.
        settings: which.
        privates: what belongs to a setting in place of the network's own, where it has that.
    """
    return {
        setting: network
        if network.joint and privates.get(setting) is None
        else network.materialize(setting, privates.get(setting))
        for setting in settings
    }


def cost_of(network: Network, setting: Setting, form: Network) -> dict[str, int]:
    """The costs of a setting by name, counted on its form (see `forms`)."""
    own = form.cost(setting if form is network else None)
    return {**dataclasses.asdict(own), **network.more_costs(setting)}


def served_calls(forms: Mapping[Setting, Network], task: Task, batch: int = 1) -> dict[str, Callable[[], Any]]:
    """Calls of settings as they are deployed: uint8 pictures of their size in, answers out, from their served form.

    Args:
        forms: of the settings; what is there for several is served once.
        task: prepares pictures and makes answers.
        batch: pictures per call.
    """
    served, calls = {}, {}
    for setting, form in forms.items():
        if id(form) not in served:
            served[id(form)] = form.served().frozen()
        own = setting if len(form.settings) > 1 else form.settings[0]
        calls[str(setting)] = _served_call(served[id(form)], own, task, batch)
    return calls


def _served_call(served: ServedNetwork, setting: Setting, task: Task, batch: int) -> Callable[[], Any]:
    size, at = served.size(setting), served.at(setting)
    height, width = served.input_size(setting)

    @tf.function(input_signature=[tf.TensorSpec([batch, height, width, 3], tf.uint8)], autograph=False)
    def answer(images: tf.Tensor) -> dict[str, tf.Tensor]:
        inputs, _ = task.prepare({"images": {size: images}}, [size], training=False)
        return task.answer(served.run(tf.cast(inputs[size], served.compute_dtype), at), tf.constant([height, width]))

    concrete, images = answer.get_concrete_function(), tf.zeros([batch, height, width, 3], tf.uint8)
    return lambda: [value.numpy() for value in concrete(images).values()]
