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

from tfres.files import read_json, write_json
from tfres.machine import machine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

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


def read(cache: pathlib.Path, known: Mapping, names: Iterable[str]) -> dict | None:
    """What `write` kept, or None where there is nothing that can be used; a file that cannot be used is named in the log.

    Args:
        cache: folder.
        known: the circumstances that it must be of.
        names: whose times may be there.
    """
    place = _place(cache, known)
    if not os.path.lexists(place):
        return None
    try:
        content = read_json(place, ValueError)
        state = {key: content.pop(key, None) for key in ("ms", "ratios")}
        if content != json.loads(json.dumps(known)):
            raise ValueError(f"{place} must be of this export and machine.")
        if not all(_is_kept(values, {*names}) for values in state.values()) or not state["ms"] or [] in state["ms"].values():
            raise ValueError(f"{place} must have lists of positive times.")
    except ValueError as error:
        _LOGGER.warning("%s The times are measured again.", error)
        return None
    return state


def write(cache: pathlib.Path, known: Mapping, state: Mapping) -> bool:
    """Keep times for the next process; where that fails the log says why, and nothing else happens.

    Args:
        cache: folder.
        known: the circumstances.
        state: see `Estimates.state`.

    Returns:
        whether they are kept.
    """
    place = _place(cache, known)
    try:
        write_json(place, {**known, **state})
    except OSError as error:
        _LOGGER.warning("%s cannot be written, measured times are not kept: %s.", place, error.strerror or error)
        return False
    return True


def _is_kept(values: object, names: set[str]) -> bool:
    """Whether it is a mapping from some of the names to lists of positive numbers."""
    if not isinstance(values, dict) or not {*values} <= names:
        return False
    return all(isinstance(some, list) and all(is_positive(one) for one in some) for some in values.values())


def is_positive(value: object) -> bool:
    """Whether it is a number, positive and finite."""
    try:
        return not isinstance(value, (bool, str, bytes)) and math.isfinite(value) and bool(value > 0)
    except (TypeError, ValueError, OverflowError):
        return False


def _place(cache: pathlib.Path, known: Mapping) -> pathlib.Path:
    digest = hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()
    return cache / "latency" / f"{digest[:32]}.json"
