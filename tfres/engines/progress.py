"""Bar, running means and history of a run."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

import tqdm

from tfres.evaluation.evaluator import metric_names
from tfres.run import History

if TYPE_CHECKING:
    from tfres.engines.plan import Plan


class NonFiniteLoss(ArithmeticError):
    """The loss became infinite or not a number."""


class Progress:
    """Engines call `step` after every step and `validated` with the metrics of the settings."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._history = History(plan.run, plan.first_step) if plan.writes else None
        self._sums: dict[str, float] = {}
        self._count, self._since = 0, time.perf_counter()
        self._batch = plan.recipe.data.batch_size
        self._bar = tqdm.tqdm(
            total=plan.total_steps * self._batch,
            initial=plan.first_step * self._batch,
            unit=" images",
            unit_scale=True,
            dynamic_ncols=True,
            mininterval=0.5,
            desc="training",
            disable=not plan.writes,
        )

    def step(self, number: int, terms: Mapping[str, float]) -> None:
        """Step `number` (counted from 1) is done; `terms` maps loss terms to floats.

        Raises:
            NonFiniteLoss: the sum of the terms is not finite.
        """
        loss = sum(terms.values())
        if not math.isfinite(loss):
            raise NonFiniteLoss(
                f"The loss is {loss} at step {number} (last report: step {number - self._count - 1}). "
                "Lower the learning rate, or go on from the last checkpoint with another one."
            )
        for name, value in {**terms, "loss": loss}.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        self._count += 1
        self._bar.set_postfix_str(f"loss {self._sums['loss'] / self._count:.3f}", refresh=False)
        self._bar.update(self._batch)
        if number % self._plan.steps_per_save == 0:
            self._report(number)

    def validated(self, number: int, results: Mapping[str, Mapping[str, float]]) -> None:
        """Validation after step `number`: setting -> metrics."""
        self._add(number, metric_names(results))
        score = self._plan.task.score
        shown = "  ".join(f"{name} {values[score]:.3f}" for name, values in results.items())
        if self._plan.writes:
            self._bar.write(f"epoch {number // self._plan.steps_per_epoch}: {score} {shown}", file=self._bar.fp)
            if self._plan.recipe.training.select == "best":
                self._plan.run.keep_best(number, sum(values[score] for values in results.values()) / len(results))
        self._since = time.perf_counter()

    def close(self) -> None:
        """Remove the bar."""
        self._bar.close()

    def _report(self, number: int) -> None:
        means = {f"train_{name}": value / self._count for name, value in self._sums.items()}
        seconds = time.perf_counter() - self._since
        means["learning_rate"] = self._plan.rate(number - 1)
        means["images_per_second"] = self._count * self._batch / seconds
        self._add(number, means)
        self._sums, self._count, self._since = {}, 0, time.perf_counter()

    def _add(self, number: int, metrics: Mapping[str, float]) -> None:
        if self._history is not None:
            self._history.add(number, metrics)
