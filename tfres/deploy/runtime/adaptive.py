"""The run-time switch: an exported network that picks its setting call by call, by a time budget."""

from __future__ import annotations

import functools
import pathlib
import threading
import time
from typing import TYPE_CHECKING

import tensorflow as tf

from tfres import table as tables
from tfres.deploy.runtime import times as timing
from tfres.deploy.runtime.answer import Answer
from tfres.deploy.runtime.files import TABLE, open_export
from tfres.errors import ExportError
from tfres.settings import Setting

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from numpy.typing import ArrayLike


class AdaptiveModel:
    """An export of any family and task as one model that meets a time budget per call. Needs nothing but TensorFlow.

    Several threads may use one model. While one of them measures, calls of others whose shape is known go on.

    Args:
        path: folder of the export's version, with its query table inside (scores and MACs).
        cache: folder of measured times; default `$TFRES_CACHE` or `~/.cache/tfres`.
        measure_seconds: how long the first call of a new shape may measure. Every setting is called at least twice,
            whatever that takes.

    `score` is the table's figure of merit ("top1"), `rows` are its rows that have this figure and a signature, `settings`
    all that can be called, `names` the classes.

    Raises:
        ExportError: no export, a damaged file in it, or a table without scores.

    Example:
        model = AdaptiveModel("exported/NAME/1")
        answer = model.predict(pictures, budget_ms=12)
        answer.setting, answer.classes
    """

    def __init__(self, path: str | os.PathLike, cache: str | os.PathLike | None = None, measure_seconds: float = 2.0) -> None:
        if not timing.is_positive(measure_seconds):
            raise ValueError(f"`measure_seconds` must be a positive number. Received: measure_seconds={measure_seconds!r}.")
        self.measure_seconds = measure_seconds
        self._export = open_export(path)
        self.path, self.names = self._export.path, self._export.classes
        table = self._export.table or {}
        table = table if table.get("rows") else {"rows": []}
        self.score = tables.score(table)
        self.settings = [row["setting"] for row in table["rows"] if row["setting"] in self._export.signatures]
        self.rows = [row for row in tables.settings(table, self.score, "macs") if row["setting"] in self.settings]
        if not self.rows:
            raise ExportError(
                f"{self.path / TABLE} must have a setting with {self.score}, macs and a signature: evaluate before export. "
                f"Received: settings {', '.join(self.settings) or 'none'}."
            )
        self._sides = [_sides(row, self.path / TABLE) for row in self.rows]
        self.cache = pathlib.Path(cache) if cache else timing.default_cache()
        self._times = {}
        self._measuring = threading.Lock()

    @property
    def largest(self) -> tuple[int, int]:
        """Height and width of the largest resolution in the table.

        Raises:
            ExportError: the table has none.
        """
        if not any(self._sides):
            raise ExportError(f"{self.path / TABLE} must have the `resolution` of its settings. Received: none.")
        return max(sides for sides in self._sides if sides)

    def measure(self, shape: Sequence[int] | None = None, anew: bool = False) -> dict[str, float]:
        """Time every setting on this machine, once: the result is kept in the cache for this export, machine and shape.

        A cache that cannot be read or written costs time and a line in the log, nothing else.

        Args:
            shape: `(batch, height, width)` of the uint8 pictures; default one picture of the largest resolution.
            anew: measure again.

        Returns:
            setting -> ms that 95 % of its calls do not exceed.

        Raises:
            ValueError: another shape. ExportError: no shape, and the table has no resolutions.
        """
        shape = self._shape(shape)
        if anew or shape not in self._times:
            with self._measuring:
                if anew or shape not in self._times:
                    self._times[shape] = self._measured(shape, anew)
        return dict(self._times[shape])

    def choose(self, budget_ms: float, shape: Sequence[int] | None = None) -> dict:
        """The row of the setting with the best score whose time is within the budget; its `ms` is the time on this machine.

        Raises:
            tfres.table.BudgetError: none; the fastest is named. ValueError: a budget that is no positive number.
        """
        if not timing.is_positive(budget_ms):
            raise ValueError(f"`budget_ms` must be a positive number of milliseconds. Received: budget_ms={budget_ms!r}.")
        times = self.measure(shape)
        rows = [{**row, "ms": times[row["setting"]]} for row in self.rows]
        return tables.best({"score": self.score, "rows": rows}, budget_ms=budget_ms)

    def predict(self, images: ArrayLike, budget_ms: float | None = None, setting: Setting | str | None = None) -> Answer:
        """Answer for pictures by the setting with the best score that the budget allows.

        Args:
            images: uint8 RGB `(batch, height, width, 3)`, any size; they are resized to the setting's resolution.
            budget_ms: milliseconds for the call; None for the best setting.
            setting: this one, whatever it takes.

        Raises:
            tfres.table.BudgetError: see `choose`. ValueError: unknown setting, no budget, or other or no pictures.
        """
        images = _pictures(images)
        if setting is not None:
            if str(setting) not in self.settings:
                raise ValueError(f"`setting` must be one of {', '.join(self.settings)}. Received: setting={setting}.")
            return self._run(str(setting), images)
        if budget_ms is None:
            best = max(self.rows, key=lambda row: (row[self.score], -row["macs"]))
        else:
            best = self.choose(budget_ms, images.shape[:3])
        return self._run(best["setting"], images)

    def _measured(self, shape: tuple[int, int, int], anew: bool) -> dict[str, float]:
        settings = [row["setting"] for row in self.rows]
        known = timing.circumstances(self._export.fingerprint, shape)
        kept = None if anew else timing.read(self.cache, known, settings)
        if kept is not None:
            return kept
        images = tf.zeros([*shape, 3], tf.uint8)
        calls = {setting: functools.partial(self._ms, setting, images) for setting in settings}
        times = timing.measured(calls, self.measure_seconds)
        timing.write(self.cache, known, times)
        return times

    def _run(self, setting: str, images: tf.Tensor) -> Answer:
        start = time.perf_counter()
        outputs = {name: value.numpy() for name, value in self._export.signatures[setting](images=images).items()}
        return Answer(setting, 1000 * (time.perf_counter() - start), outputs)

    def _ms(self, setting: str, images: tf.Tensor) -> float:
        return self._run(setting, images).ms

    def _shape(self, shape: Sequence[int] | None) -> tuple[int, int, int]:
        if shape is None:
            return (1, *self.largest)
        try:
            sides = tuple(int(side) for side in shape)
        except (TypeError, ValueError, OverflowError):
            sides = ()
        if len(sides) != 3 or min(sides) < 1 or sides != tuple(shape):
            raise ValueError(f"`shape` must be (batch, height, width), all positive. Received: shape={shape!r}.")
        return sides


def _sides(row: dict, place: pathlib.Path) -> tuple[int, int] | None:
    """Height and width of a row's resolution, one side or a pair; None where it has none.

    Raises:
        ExportError: it is something else.
    """
    resolution = row.get("resolution")
    try:
        return resolution and Setting(resolution=tuple(resolution) if isinstance(resolution, list) else resolution).sides
    except ValueError:
        raise ExportError(
            f"`resolution` of the row {row['setting']} in {place} must be a side or a pair of sides in pixels. "
            f"Received: resolution={str(resolution)[:40]!r}."
        ) from None


def _pictures(images: ArrayLike) -> tf.Tensor:
    """The pictures as a tensor.

    Raises:
        ValueError: they are none.
    """
    try:
        images = tf.convert_to_tensor(images)
        received = f"{images.dtype.name} {tuple(images.shape)}"
        fits = images.dtype == tf.uint8 and images.shape.rank == 4 and images.shape[3] == 3 and 0 not in images.shape
    except (TypeError, ValueError, OverflowError, tf.errors.OpError):
        received, fits = f"{type(images).__name__} that is no array", False
    if not fits:
        raise ValueError(f"`images` must be uint8 (batch, height, width, 3), no side of them 0. Received: {received}.")
    return images
