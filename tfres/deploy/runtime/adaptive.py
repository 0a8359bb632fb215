"""The run-time switch: an exported network that picks its setting call by call, by a time budget."""

from __future__ import annotations

import dataclasses
import itertools
import pathlib
import time
import weakref
from typing import TYPE_CHECKING

import numpy as np

from tfres import table as tables
from tfres.deploy.runtime import times as timing
from tfres.deploy.runtime.checks import check_alone, check_budget, checked_pictures, checked_shape, row_sides
from tfres.deploy.runtime.exits import Exits
from tfres.deploy.runtime.files import open_export
from tfres.deploy.runtime.running import ENOUGH, Runner
from tfres.errors import ExportError
from tfres.policies import PolicyError

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import ArrayLike

    from tfres.deploy.runtime.answer import Answer
    from tfres.policies import Policy
    from tfres.settings import Setting

TINY = 1e-9  # milliseconds: a budget that no setting meets
EXPLORE = 32  # of so many calls with a budget one takes guesses as they are


class AdaptiveModel:
    """An export of any family and task as one model that meets a time budget per call.

    A SavedModel needs nothing but TensorFlow, a `.tflite` file nothing but LiteRT and numpy.

    Every call teaches it how long settings take on this machine for pictures of that shape; what was not called yet is
    guessed, with a margin but in one of 32 calls. The first call of a new shape with a budget calls the cheapest setting too.
    Several threads may use one model, and no call waits for another. Times are those of calls beside each other then.

    Args:
        path: folder of the export's version or its `.tflite` file, with the query table inside (scores and MACs).
        cache: folder where times are kept between processes; default `$TFRES_CACHE` or `~/.cache/tfres`.
        measure_seconds: how long `measure` may take. Every setting is called at least twice, whatever that takes.

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
        known = self._export.settings | {*self._policies}
        self.settings = [row["setting"] for row in runs if row["setting"] in known]
        self.rows = [row for row in tables.settings(table, self.score, "macs") if row["setting"] in self.settings]
        if not self.rows:
            raise ExportError(
                f"{self._export.table_place} must have a setting with {self.score}, macs and a signature: "
                f"evaluate before export. Received: settings {', '.join(self.settings) or 'none'}."
            )
        self._sides = [row_sides(row, self._export.table_place) for row in self.rows]
        self.cache = pathlib.Path(cache) if cache else timing.default_cache()
        macs = {row["setting"]: row["macs"] for row in self.rows}
        self._runner = Runner(self._export, self._exits, self._policies, macs, self.cache)
        self._budgets = itertools.count(1)
        weakref.finalize(self, self._runner.memory.save)

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
        """The times of all settings on this machine, called for that within `measure_seconds` if they were not yet.

        Nothing needs this: calls with a budget find out by themselves. After it the first ones guess nothing and find all
        settings ready.

        Args:
            shape: `(batch, height, width)` of the uint8 pictures; default one picture of the largest resolution.
            anew: measure again, and forget what was known.

        Returns:
            setting -> ms that 95 % of its calls do not exceed; of a policy by its `shares` of the exits and by the times of
            calls in which all pictures leave at the same one (see `exit_times.policy_time`).

        Raises:
            ValueError: another shape. ExportError: no shape, and the table has no resolutions.
        """
        shape = self._shape(shape)
        self._runner.measure(shape, self.measure_seconds, anew)
        for _ in range(0 if self._runner.knows_besides else ENOUGH):
            self.predict(np.zeros([*shape, 3], np.uint8), budget_ms=TINY, on_miss="cheapest")
        return self._runner.times(shape)[0]

    def choose(self, budget_ms: float, shape: Sequence[int] | None = None, on_miss: str = "error") -> dict:
        """The row of the setting that a call with this budget takes; its `ms` is the time on this machine.

        Args:
            budget_ms, on_miss: see `predict`.
            shape: see `measure`.

        Raises:
            tfres.table.BudgetError: no setting is fast enough; the fastest is named. ValueError: a budget that is no positive
                number, another shape or `on_miss`.
        """
        check_budget(budget_ms, on_miss)
        images = np.zeros([*self._shape(shape), 3], np.uint8)
        self._runner.first(images)
        return self._chosen(images, budget_ms, on_miss)[0]

    def predict(
        self,
        images: ArrayLike,
        budget_ms: float | None = None,
        setting: Setting | str | None = None,
        policy: Policy | Mapping | str | os.PathLike | None = None,
        on_miss: str = "error",
    ) -> Answer:
        """Answer for pictures by the setting with the best score that the budget allows.

        Args:
            images: uint8 RGB `(batch, height, width, 3)`, any size; they are resized to the setting's resolution.
            budget_ms: milliseconds for the call; without it, and without the next two, the best setting runs.
            setting: this one, whatever it takes.
            policy: when to leave a network with exits, in place of a policy of the table: a `Policy`, its fields or the path
                of its file.
            on_miss: where no setting is within the budget: "error", or "cheapest" for the answer of the fastest.

        Returns:
            the answer; its `ms` are those of the whole call.

        Raises:
            tfres.table.BudgetError: see `choose`. ValueError: unknown setting, no budget, more than one of them, other or no
                pictures, or a policy that is none or is for another network.
        """
        start, images = time.perf_counter(), checked_pictures(images)
        check_alone(budget_ms=budget_ms, setting=setting, policy=policy, on_miss=on_miss)
        if policy is not None:
            answer = self._runner.run("policy", images, self._with_exits("policy").policy(policy))
        elif setting is not None:
            if str(setting) not in self.settings:
                raise ValueError(f"`setting` must be one of {', '.join(self.settings)}. Received: setting={setting}.")
            answer = self._runner.run(str(setting), images)
        elif budget_ms is None:
            answer = self._runner.run(max(self.rows, key=lambda row: (row[self.score], -row["macs"]))["setting"], images)
        else:
            check_budget(budget_ms, on_miss)
            return self._within_budget(images, budget_ms, on_miss, start)
        return dataclasses.replace(answer, ms=_ms_since(start))

    def close(self) -> None:
        """Keep what was learnt for other processes now, not only every half minute, when the model goes and at exit.

        A cache that cannot be read or written costs a line in the log, nothing else.
        """
        self._runner.memory.save()

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

    def _shape(self, shape: Sequence[int] | None) -> tuple[int, int, int]:
        return (1, *self.largest) if shape is None else checked_shape(shape)

    def _within_budget(self, images: np.ndarray, budget_ms: float, on_miss: str, start: float) -> Answer:
        """The answer of a call that began then."""
        answer = self._runner.first(images)
        row, called = self._chosen(images, budget_ms, on_miss, _ms_since(start) if answer else 0.0)
        apart = answer is not None or called
        if answer is None or answer.setting != row["setting"]:
            answer = self._runner.run(row["setting"], images)
        whole = _ms_since(start)
        if not apart:
            self._runner.judge(whole - answer.ms, whole <= row["ms"])
        return dataclasses.replace(answer, ms=whole)

    def _chosen(self, images: np.ndarray, budget_ms: float, on_miss: str, spent: float = 0.0) -> tuple[dict, bool]:
        """The row to run with its `ms`, and whether settings were called to find it.

        Args:
            spent: milliseconds of the budget that are over.
        """
        shape, bold, called = images.shape[:3], next(self._budgets) % EXPLORE == 0, False
        row, fastest = self._within(shape, budget_ms - spent, budget_ms, bold)
        if row is None and on_miss == "error" and self._runner.again(fastest["setting"], images):
            called = True
            row, fastest = self._within(shape, budget_ms, budget_ms, bold)
        if row is None:
            if on_miss == "error":
                tables.best({"score": self.score, "rows": [fastest]}, budget_ms=budget_ms)
            row = fastest
        return row, called

    def _within(self, shape: tuple[int, int, int], left: float, budget_ms: float, bold: bool) -> tuple[dict | None, dict]:
        """The best row that is within what is left, or else the fastest if it is within the budget; and the fastest."""
        times, careful = self._runner.times(shape)
        limits = times if bold else careful
        row = fastest = min(self.rows, key=lambda row: times[row["setting"]])
        fitting = [row for row in self.rows if limits[row["setting"]] <= left]
        if fitting:
            row = max(fitting, key=lambda row: (row[self.score], -times[row["setting"]]))
        row, fastest = ({**one, "ms": times[one["setting"]]} for one in (row, fastest))
        return (row if fitting or row["ms"] <= budget_ms else None), fastest


def _ms_since(start: float) -> float:
    return 1000 * (time.perf_counter() - start)
