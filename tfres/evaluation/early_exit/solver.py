"""Thresholds found jointly: the best accuracy for a budget, or the least cost for an accuracy, on calibration pictures.

The published rule and single exits are the starts. From the best of them thresholds are moved until nothing gets better: one
exit, for which all cuts are weighed at once, then two exits together, on grids of cuts. To move one alone for a fixed price of
cost ends below the published rule, because exits with nearly the same scores must move together.

With two exits, or three of which the first two have at most 64 distinct scores, nothing better exists. Otherwise nothing
better differs in one threshold, or in two on their grids. Equal input gives equal results.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tfres.evaluation.early_exit.cuts import Cuts, Pictures
from tfres.evaluation.early_exit.outcomes import Outcome, check_outcomes, outcome
from tfres.evaluation.early_exit.reference import reference_family
from tfres.table import BudgetError

# (hits, cost) of all pictures -> figures, the most important first, each the larger the better.
_Goal = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, ...]]
_ROUNDS = 50
_STARTS = 3  # so many are moved


class AccuracyError(ValueError):
    """An accuracy that no thresholds reach."""


@dataclasses.dataclass(frozen=True)
class Solution:
    """Thresholds and what they do to the pictures that they were found on.

    Args:
        thresholds: one for every exit but the last, in the middle between two scores; None where nobody leaves.
        outcome: on the calibration pictures.
    """

    thresholds: tuple[float | None, ...]
    outcome: Outcome


class Solver:
    """Searches thresholds on calibration pictures.

    Args:
        scores: `(exits, pictures)`.
        hits: `(exits, pictures)` of bool, whether an exit's answer is right.
        costs: one number per exit, not negative: multiply-adds or ms up to it, or the probability that a call that leaves
            there takes longer than allowed. They need not ascend.
        exits: numbers of the exits for messages; default 1, 2, ...
        show: how a cost is written in messages, such as `"{:.3g} ms".format`.

    Raises:
        ValueError: see `check_outcomes`; another number of `exits`.
    """

    def __init__(
        self,
        scores: Any,
        hits: Any,
        costs: Any,
        exits: Sequence[int] | None = None,
        show: Callable[[float], str] = "{:.4g}".format,
    ) -> None:
        self._given = check_outcomes(scores, hits, costs)
        self._pictures = Pictures(*self._given)
        self._exits = tuple(range(1, self._pictures.exits + 1)) if exits is None else tuple(exits)
        if len(self._exits) != self._pictures.exits:
            raise ValueError(f"`exits` must be {self._pictures.exits} numbers, one per exit. Received: exits={exits}.")
        self._show = show
        self._known: dict[Cuts, tuple[float, float]] = {}  # hits and cost
        family = [self._pictures.of(thresholds) for thresholds in reference_family(self._given[0]).values()]
        singles = [self._pictures.single(index) for index in range(self._pictures.exits)]
        self._starts = list(dict.fromkeys((*singles, *family)))

    def for_budget(self, budget: float) -> Solution:
        """The most accurate thresholds whose mean cost is at most the budget.

        Args:
            budget: in the unit of the costs.

        Returns:
            A solution that does not exceed the budget on these pictures, and is there at least as accurate as every single
            exit and all thresholds of the published rule that do not exceed it either.

        Raises:
            BudgetError: it is below the cheapest exit, which is named.
            ValueError: it is no finite number.
        """
        if not math.isfinite(budget):
            raise ValueError(f"`budget` must be a finite number. Received: budget={budget}.")
        costs = self._given[2]
        cheapest = int(np.argmin(costs))
        if budget < costs[cheapest]:
            raise BudgetError(
                f"`budget` must be at least {self._show(costs[cheapest])}, what exit {self._exits[cheapest]} costs. "
                f"Received: {self._show(budget)}."
            )
        total = budget * self._pictures.number
        found = self._solution(self._best(_goal_of_budget(total * (1 + 1e-14))))
        if found.outcome.cost <= budget:
            return found
        # Sums in floating point let a little too much pass: keep off the limit, but for what stood exactly on it.
        border = [cuts for cuts in self._starts if abs(self._known[cuts][1] - total) <= 1e-11 * total]
        solutions = [self._solution(cuts) for cuts in [self._best(_goal_of_budget(total * (1 - 1e-12))), *border]]
        fitting = [solution for solution in solutions if solution.outcome.cost <= budget]
        return max(fitting, key=lambda solution: (solution.outcome.accuracy, -solution.outcome.cost))

    def for_accuracy(self, accuracy: float) -> Solution:
        """The cheapest thresholds with at least this accuracy.

        Args:
            accuracy: 0 to 1.

        Raises:
            AccuracyError: no thresholds that were found reach it; the best accuracy is named.
            ValueError: it is not from 0 to 1.
        """
        if not 0 <= accuracy <= 1:
            raise ValueError(f"`accuracy` must be from 0 to 1. Received: accuracy={accuracy}.")
        number = self._pictures.number
        least = int(accuracy * number)
        needed = next(hits for hits in (least - 1, least, least + 1, least + 2) if hits / number >= accuracy)
        found = self._solution(self._best(_goal_of_accuracy(needed)))
        if found.outcome.accuracy < accuracy:
            raise AccuracyError(
                f"`accuracy` must be at most {found.outcome.accuracy:.4g}, the best that any thresholds found reach. "
                f"Received: {accuracy:.4g}."
            )
        return found

    def _best(self, goal: _Goal) -> Cuts:
        starts = sorted(self._starts, key=lambda cuts: self._key(cuts, goal), reverse=True)[:_STARTS]
        return max((self._ascend(start, goal) for start in starts), key=lambda cuts: self._key(cuts, goal))

    def _ascend(self, cuts: Cuts, goal: _Goal) -> Cuts:
        """Move single exits and pairs, one after the other, until nothing gets better."""

        def choose(index: int, hits: np.ndarray, cost: np.ndarray) -> int:
            return _pick(goal(hits, cost), preferred=cuts[index])

        def choose_pair(places: tuple[int, int], hits: np.ndarray, cost: np.ndarray) -> tuple[int, int]:
            figures = tuple(figure.ravel() for figure in goal(hits, cost))
            return divmod(_pick(figures, preferred=places[0] * hits.shape[1] + places[1]), hits.shape[1])

        for _ in range(_ROUNDS):
            better = self._pictures.visit(cuts, choose)
            better = self._pictures.visit_pairs(better, choose_pair)
            if self._key(better, goal) <= self._key(cuts, goal):
                break
            cuts = better
        return cuts

    def _key(self, cuts: Cuts, goal: _Goal) -> tuple[float, ...]:
        """How good cuts are."""
        if cuts not in self._known:
            self._known[cuts] = self._pictures.totals(cuts)
        return tuple(map(float, goal(*map(np.asarray, self._known[cuts]))))

    def _solution(self, cuts: Cuts) -> Solution:
        thresholds = self._pictures.thresholds(cuts)
        return Solution(thresholds, outcome(*self._given, thresholds))


def for_budget(scores: Any, hits: Any, costs: Any, budget: float, **words: Any) -> Solution:
    """`Solver(scores, hits, costs, **words).for_budget(budget)`; for several budgets keep the solver.

    Args:
        scores, hits, costs, words: see `Solver`.
        budget: see `Solver.for_budget`.

    Raises:
        BudgetError, ValueError: see there.
    """
    return Solver(scores, hits, costs, **words).for_budget(budget)


def for_accuracy(scores: Any, hits: Any, costs: Any, accuracy: float, **words: Any) -> Solution:
    """`Solver(scores, hits, costs, **words).for_accuracy(accuracy)`; for several accuracies keep the solver.

    Args:
        scores, hits, costs, words: see `Solver`.
        accuracy: see `Solver.for_accuracy`.

    Raises:
        AccuracyError, ValueError: see there.
    """
    return Solver(scores, hits, costs, **words).for_accuracy(accuracy)


def _goal_of_budget(limit: float) -> _Goal:
    return lambda hits, cost: (np.minimum(limit - cost, 0), hits, -cost)


def _goal_of_accuracy(needed: float) -> _Goal:
    return lambda hits, cost: (np.minimum(hits - needed, 0), -cost, hits)


def _pick(figures: tuple[np.ndarray, ...], preferred: int) -> int:
    """The place of the best figures; of equally good ones the preferred, else the first."""
    places = np.arange(len(figures[0]))
    for figure in figures:
        values = figure[places]
        places = places[values == values.max()]
        if len(places) == 1:
            break
    return preferred if preferred in places else int(places[0])
