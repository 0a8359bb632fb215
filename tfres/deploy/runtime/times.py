"""How long settings take on this machine: measured within a bounded time, kept in a cache between processes."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import pathlib
import tempfile
import time
from typing import TYPE_CHECKING

import numpy as np

from tfres.files import read_json, write_json
from tfres.machine import machine

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

QUANTILE = 0.95  # share of the calls that are at most as long as a setting's time
ROUNDS = 40
_LOGGER = logging.getLogger(__name__)


def taken(calls: Mapping[str, Callable[[], float]], seconds: float) -> dict[str, list[float]]:
    """Time every call, in turn, so that a disturbance meets all.

    After one call each to warm up there are rounds until the time is up, at least one and at most `ROUNDS`.

    Args:
        calls: name -> a function that makes a call and returns its milliseconds.
        seconds: for all of it.

    Returns:
        name -> the milliseconds of its calls.
    """
    end = time.perf_counter() + seconds
    for call in calls.values():
        call()
    found = {name: [] for name in calls}
    for number in range(ROUNDS):
        for name, call in calls.items():
            if number and time.perf_counter() >= end:
                break
            found[name].append(call())
    return found


def quantile(values: Sequence[float]) -> float:
    """What 95 % of some milliseconds do not exceed."""
    return float(np.quantile(values, QUANTILE))


def circumstances(fingerprint: str, shape: Sequence[int], host: Mapping | None = None) -> dict:
    """All that times depend on, JSON-able.

    Args:
        fingerprint: of the export.
        shape: of the pictures.
        host: the machine with its devices and threads, see `Backend.host`; None for TensorFlow's.
    """
    return {"export": fingerprint, **(host or tensorflow_host()), "shape": list(shape), "quantile": QUANTILE}


def tensorflow_host() -> dict:
    """The machine with the devices and threads that TensorFlow uses."""
    import tensorflow as tf

    devices = []
    for device in tf.config.get_visible_devices():
        details = tf.config.experimental.get_device_details(device) if device.device_type == "GPU" else {}
        devices.append(f"{device.name} {details.get('device_name', '')}".strip())
    threads = [tf.config.threading.get_intra_op_parallelism_threads(), tf.config.threading.get_inter_op_parallelism_threads()]
    return {"machine": machine(), "devices": devices, "threads": [*threads, len(os.sched_getaffinity(0))]}


def default_cache() -> pathlib.Path:
    """`$TFRES_CACHE` or `~/.cache/tfres`; for a user without a home a temporary folder."""
    if os.environ.get("TFRES_CACHE"):
        return pathlib.Path(os.environ["TFRES_CACHE"])
    try:
        return pathlib.Path.home() / ".cache" / "tfres"
    except RuntimeError:
        return pathlib.Path(tempfile.gettempdir()) / "tfres"


def read(cache: pathlib.Path, known: Mapping, settings: Sequence[str]) -> dict[str, float] | None:
    """Kept times, or None where there are none that can be used; a file that cannot be used is named in the log.

    Args:
        cache: folder.
        known: the circumstances that they must be of.
        settings: that must be there.
    """
    place = _place(cache, known)
    if not os.path.lexists(place):
        return None
    try:
        content = read_json(place, ValueError)
        times = content.get("ms")
        if {**content, "ms": None} != {**known, "ms": None} or not isinstance(times, dict) or {*times} != {*settings}:
            raise ValueError(f"{place} must be of this export and machine.")
        if not all(is_positive(ms) for ms in times.values()):
            raise ValueError(f"{place} must have positive times.")
    except ValueError as error:
        _LOGGER.warning("%s The times are measured again.", error)
        return None
    return {setting: float(times[setting]) for setting in settings}


def write(cache: pathlib.Path, known: Mapping, times: Mapping[str, float]) -> None:
    """Keep times for the next process; where that fails the log says why, and nothing else happens."""
    place = _place(cache, known)
    try:
        write_json(place, {**known, "ms": times})
    except OSError as error:
        _LOGGER.warning("%s cannot be written, measured times are not kept: %s.", place, error.strerror or error)


def is_positive(value: object) -> bool:
    """Whether it is a number, positive and finite."""
    try:
        return not isinstance(value, (bool, str, bytes)) and math.isfinite(value) and bool(value > 0)
    except (TypeError, ValueError, OverflowError):
        return False


def _place(cache: pathlib.Path, known: Mapping) -> pathlib.Path:
    digest = hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()
    return cache / "latency" / f"{digest[:32]}.json"
