"""The run-time switch: an exported network that picks its setting call by call, by a time budget."""

from __future__ import annotations

import functools
import pathlib
import threading
import time
from typing import TYPE_CHECKING

import numpy as np

from tfres import table as tables
from tfres.deploy.runtime import times as timing
from tfres.deploy.runtime.answer import Answer
from tfres.deploy.runtime.checks import checked_pictures, checked_shape, row_sides
from tfres.deploy.runtime.exits import Exits
from tfres.deploy.runtime.files import PREFIX, open_export
from tfres.errors import ExportError
from tfres.policies import PolicyError

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import ArrayLike

    from tfres.policies import Policy
    from tfres.settings import Setting


class AdaptiveModel:
    """An export of any family and task as one model that meets a time budget per call.

    A SavedModel needs nothing but TensorFlow, a `.tflite` file nothing but LiteRT and numpy.

    Several threads may use one model. While one of them measures, calls of others whose shape is known go on.

    Args:
        path: folder of the export's version or its `.tflite` file, with the query table inside (scores and MACs).
        cache: folder of measured times; default `$TFRES_CACHE` or `~/.cache/tfres`.
        measure_seconds: how long the first call of a new shape may measure. Every setting is called at least twice,
            whatever that takes.

    `score` is the table's figure of merit ("top1"), `rows` are its rows that have this figure and a signature, `settings`
    all that can be called, `names` the classes. Where the network has exits, policies are settings too, by the names of their
    rows: pictures leave at exits of their own, and the answer's `exit` and `score` tell where and how sure it was there.

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
        self._exits = Exits(self._export) if self._export.policy else None
        runs = [row for row in table["rows"] if tables.runs(row)]
        self._policies = {row["setting"]: self._policy(row) for row in runs if "policy" in row and self._exits}
        self.settings = [row["setting"] for row in runs if row["setting"] in {*self._export.settings, *self._policies}]
        self.rows = [row for row in tables.settings(table, self.score, "macs") if row["setting"] in self.settings]
        if not self.rows:
            raise ExportError(
                f"{self._export.table_place} must have a setting with {self.score}, macs and a signature: "
                f"evaluate before export. Received: settings {', '.join(self.settings) or 'none'}."
            )
        self._sides = [row_sides(row, self._export.table_place) for row in self.rows]
        self.cache = pathlib.Path(cache) if cache else timing.default_cache()
        self._times = {}
        self._measuring = threading.Lock()

    @property
    def machine(self) -> str:
        """One line that names this machine and what runs the export."""
        return self._export.backend.host()["machine"]

    @property
    def largest(self) -> tuple[int, int]:
        """Height and width of the largest resolution in the table.

        Raises:
            ExportError: the table has none.
        """
        if not any(self._sides):
            raise ExportError(f"{self._export.table_place} must have the `resolution` of its settings. Received: none.")
        return max(sides for sides in self._sides if sides)

    def measure(self, shape: Sequence[int] | None = None, anew: bool = False) -> dict[str, float]:
        """Time every setting on this machine, once: the result is kept in the cache for this export, machine and shape.

        A cache that cannot be read or written costs time and a line in the log, nothing else.

        Args:
            shape: `(batch, height, width)` of the uint8 pictures; default one picture of the largest resolution.
            anew: measure again.

        Returns:
            setting -> ms that 95 % of its calls do not exceed; of a policy by its `shares` of the exits and by the times of
            calls in which all pictures leave at the same one (see `exit_times.policy_time`).

        Raises:
            ValueError: another shape. ExportError: no shape, and the table has no resolutions.
        """
        shape = (1, *self.largest) if shape is None else checked_shape(shape)
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

    def predict(
        self,
        images: ArrayLike,
        budget_ms: float | None = None,
        setting: Setting | str | None = None,
        policy: Policy | Mapping | str | os.PathLike | None = None,
    ) -> Answer:
        """Answer for pictures by the setting with the best score that the budget allows.

        Args:
            images: uint8 RGB `(batch, height, width, 3)`, any size; they are resized to the setting's resolution.
            budget_ms: milliseconds for the call; None for the best setting.
            setting: this one, whatever it takes.
            policy: when to leave a network with exits, in place of a policy of the table: a `Policy`, its fields or the path
                of its file.

        Raises:
            tfres.table.BudgetError: see `choose`. ValueError: unknown setting, no budget, other or no pictures, or a policy
                that is none or is for another network.
        """
        images = checked_pictures(images)
        if policy is not None:
            if (budget_ms, setting) != (None, None):
                raise ValueError(f"Give `policy` alone. Received: budget_ms={budget_ms}, setting={setting}.")
            return self._run("policy", images, self._with_exits("policy").policy(policy))
        if setting is not None:
            if str(setting) not in self.settings:
                raise ValueError(f"`setting` must be one of {', '.join(self.settings)}. Received: setting={setting}.")
            return self._run(str(setting), images)
        if budget_ms is None:
            best = max(self.rows, key=lambda row: (row[self.score], -row["macs"]))
        else:
            best = self.choose(budget_ms, images.shape[:3])
        return self._run(best["setting"], images)

    def iterate(self, images: ArrayLike, refine: str = "last") -> Iterator[Answer]:
        """Answers of one exit after the other; nothing of an exit is computed before its answer is asked for.

        Args:
            images: as in `predict`.
            refine: what an answer is made of: "last" (that exit), "confident" (per picture the exit so far with the largest
                margin between its two best classes) or "mean" (the geometric mean of the probabilities of all so far).

        Returns:
            iterator of answers; `ms` counts all stages so far.

        Raises:
            ValueError: another `refine`, no exits, or other or no pictures.

        Example:
            for answer in model.iterate(pictures, refine="confident"):
                if time.monotonic() > deadline:
                    break
        """
        return self._with_exits("iterate").stages(checked_pictures(images), refine)

    def _with_exits(self, name: str) -> Exits:
        if self._exits is None:
            raise ValueError(f"`{name}` is for exports of all exits of a network. Received: {self.path} without.")
        return self._exits

    def _policy(self, row: dict) -> Policy:
        try:
            return self._exits.policy(row["policy"])
        except PolicyError as error:
            raise ExportError(f"{self._export.table_place}: row {row['setting']}: {error}") from error

    def _measured(self, shape: tuple[int, int, int], anew: bool) -> dict[str, float]:
        settings = [row["setting"] for row in self.rows]
        known = timing.circumstances(self._export.fingerprint, shape, self._export.backend.host())
        kept = None if anew else timing.read(self.cache, known, settings)
        if kept is not None:
            return kept
        images = np.zeros([*shape, 3], np.uint8)
        policies = [setting for setting in settings if setting in self._policies]
        calls = {setting: functools.partial(self._ms, setting, images) for setting in settings if setting not in policies}
        if policies:
            calls |= self._exits.calls(images)
        taken = timing.taken(calls, self.measure_seconds)
        times = {name: timing.quantile(values) for name, values in taken.items() if name in settings}
        times |= {setting: self._exits.time(self._policies[setting], taken, shape[0]) for setting in policies}
        timing.write(self.cache, known, times)
        return times

    def _run(self, setting: str, images: np.ndarray, policy: Policy | None = None) -> Answer:
        policy = policy or self._policies.get(setting)
        start = time.perf_counter()
        if policy:
            outputs = self._exits.run(policy, images)
        else:
            outputs = self._export.backend.call(f"{PREFIX}{setting}", {"images": images})
        return Answer(setting, 1000 * (time.perf_counter() - start), outputs)

    def _ms(self, setting: str, images: np.ndarray) -> float:
        return self._run(setting, images).ms
