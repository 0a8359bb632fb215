"""Times of every setting of several exports, all in turn, so that a disturbance meets all."""

from __future__ import annotations

import functools
import logging
import os
import pathlib
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from tfres.deploy.benching.fresh import in_fresh_process
from tfres.deploy.runtime.checks import row_sides
from tfres.deploy.runtime.files import PREFIX, open_export
from tfres.errors import ExportError
from tfres.settings import Setting

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tfres.deploy.runtime.files import Export

    Shape = tuple[int, int, int]  # batch, height, width

WARMUP, ROUNDS = 3, 30
_LARGEST = 2**31  # bytes of the pictures of a call
_LOGGER = logging.getLogger(__name__)


def bench(
    paths: Sequence[str | os.PathLike],
    threads: int | None = None,
    batch: int = 1,
    size: int | None = None,
    rounds: int = ROUNDS,
) -> dict[str, Any]:
    """Time exports in this process, in turn, and load each in one of its own.

    (A script that calls this does so under `if __name__ == "__main__"`: Python's new processes run the rest of it too.)

    Args:
        paths: folders of versions and `.tflite` files.
        threads: that one operation may use; None for all cores. TensorFlow must not run yet.
        batch: pictures per call.
        size: side of the pictures in pixels, which the export brings to the setting's; None for the setting's own.
        rounds: timed calls of each setting.

    Returns:
        JSON-able dict with `threads`, `batch`, `size`, `rounds` and `exports`, one per path with `path`, `fingerprint`,
        `machine`, `bytes` of the files, what `in_fresh_process` gives, and `rows`: `setting`, `height` and `width` of the
        pictures, `ms` (median per call) and `ms_p90`.

    Raises:
        ExportError: no export, one twice or a damaged one; none or no setting that all have; numbers out of range; a setting
            that fails.
    """
    cores = len(os.sched_getaffinity(0))
    _check_count("batch", batch, None)
    _check_count("rounds", rounds, None)
    _check_count("threads", threads if threads is not None else cores, cores)
    _check_different(paths)
    exports = [open_export(path, threads) for path in paths]
    shapes = [_shapes(export, batch, size) for export in exports]
    if len(exports) > 1 and not set.intersection(*({*known} for known in shapes)):
        told = "; ".join(f"{export.path}: {', '.join(known)}" for export, known in zip(exports, shapes, strict=True))
        raise ExportError(f"Exports must have a setting that all of them have. Received: {told}.")
    paid = []
    for export, known in zip(exports, shapes, strict=True):
        _LOGGER.info("%s in a process of its own", export.path)
        paid.append(in_fresh_process(str(export.path), threads, known))
    _LOGGER.info("%d calls of %d settings", rounds + WARMUP, sum(map(len, shapes)))
    times = _times([_calls(export, known) for export, known in zip(exports, shapes, strict=True)], rounds)
    found = [
        {
            "path": str(export.path),
            "fingerprint": export.fingerprint,
            "machine": export.backend.host()["machine"],
            "bytes": bytes_of(export.path),
            **costs,
            "rows": [{"setting": name, "height": shape[1], "width": shape[2], **own[name]} for name, shape in known.items()],
        }
        for export, known, costs, own in zip(exports, shapes, paid, times, strict=True)
    ]
    return {"threads": threads or cores, "batch": batch, "size": size, "rounds": rounds, "exports": found}


def _check_count(name: str, value: object, most: int | None) -> None:
    good = isinstance(value, int) and not isinstance(value, bool) and 0 < value <= (most or 2**31)
    if not good:
        allowed = "a positive whole number" if most is None else f"from 1 to {most}, the cores of this process"
        raise ExportError(f"`{name}` must be {allowed}. Received: {name}={value!r}.")


def _check_different(paths: Sequence[str | os.PathLike]) -> None:
    if not paths:
        raise ExportError("`paths` must name an export. Received: none.")
    places = [os.path.realpath(path) for path in paths]
    for path, place in zip(paths, places, strict=True):
        if places.count(place) > 1:
            raise ExportError(f"Exports must be different ones. Received: {path} twice.")


def _shapes(export: Export, batch: int, size: int | None) -> dict[str, Shape]:
    """Setting -> what it is called with, the largest setting first."""
    rows = {row["setting"]: row for row in (export.table or {"rows": []})["rows"]}
    found = {}
    for setting in sorted((one for one in map(_setting, export.settings) if one), reverse=True):
        sides = _sides(size) or setting.sides or row_sides(rows.get(str(setting), {}), export.table_place)
        if sides is None:
            raise ExportError(f"`size` must be given: {export.path} does not tell that of {setting}. Received: none.")
        if batch * sides[0] * sides[1] * 3 > _LARGEST:
            raise ExportError(
                f"A call must have at most {_LARGEST} bytes. Received: batch={batch}, pictures of {sides[0]} x {sides[1]}."
            )
        found[str(setting)] = (batch, *sides)
    if not found:
        raise ExportError(f"{export.path} must have a signature of a setting. Received: {', '.join(sorted(export.settings))}.")
    return found


def _setting(name: str) -> Setting | None:
    try:
        return Setting.parse(name)
    except ValueError:
        return None


def _sides(size: int | None) -> tuple[int, int] | None:
    try:
        return None if size is None else Setting(resolution=size).sides
    except ValueError:
        raise ExportError(f"`size` must be a side in pixels. Received: size={size!r}.") from None


def _calls(export: Export, shapes: Mapping[str, Shape]) -> dict[str, Callable[[], Any]]:
    """Setting -> function that makes a call with pictures of noise."""
    generator, pictures = np.random.default_rng(0), {}
    for shape in shapes.values():
        pictures.setdefault(shape, generator.integers(0, 256, [*shape, 3], np.uint8))
    return {
        setting: functools.partial(export.backend.call, f"{PREFIX}{setting}", {"images": pictures[shape]})
        for setting, shape in shapes.items()
    }


def _times(calls: Sequence[Mapping[str, Callable[[], Any]]], rounds: int) -> list[dict[str, dict[str, float]]]:
    """Of each export: setting -> milliseconds. The exports of a setting follow one another."""
    settings = dict.fromkeys(name for own in calls for name in own)
    order = [(place, name) for name in settings for place, own in enumerate(calls) if name in own]
    taken: dict[tuple[int, str], list[float]] = {one: [] for one in order}
    for number in range(-WARMUP, rounds):
        for place, name in order:
            start = time.perf_counter()
            calls[place][name]()
            if number >= 0:
                taken[place, name].append(1000 * (time.perf_counter() - start))
    return [
        {
            name: {"ms": float(np.median(taken[place, name])), "ms_p90": float(np.quantile(taken[place, name], 0.9))}
            for name in own
        }
        for place, own in enumerate(calls)
    ]


def bytes_of(path: pathlib.Path) -> int:
    """Of all files of an export."""
    files = [path] if path.is_file() else [place for place in path.rglob("*") if place.is_file()]
    return sum(place.stat().st_size for place in files)
