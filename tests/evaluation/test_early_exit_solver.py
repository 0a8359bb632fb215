"""The joint search of thresholds: against all there are, against the published rule, at its limits."""

import itertools

import numpy as np
import pytest

from tests.evaluation.early_exit_pictures import COSTS, pictures
from tfres.evaluation.early_exit.outcomes import outcome
from tfres.evaluation.early_exit.reference import ALWAYS, policy_thresholds, reference_family
from tfres.evaluation.early_exit.solver import AccuracyError, Solver, for_accuracy, for_budget
from tfres.policies import Policy
from tfres.table import BudgetError


def _tiny(seed, exits=3):
    """A few pictures, with ties; costs are whole, broken or not ascending."""
    rng = np.random.default_rng(seed)
    number = rng.integers(1, 9)
    scores = rng.integers(0, rng.choice([3, 20]), (exits, number)).astype(np.float32)
    hits = rng.random((exits, number)) < np.linspace(0.4, 0.9, exits)[:, None]
    kinds = (np.arange(1, exits + 1), np.cumsum(rng.random(exits)), rng.random(exits), rng.integers(0, 2, exits))
    return scores, hits, kinds[seed % 4]


def _all_outcomes(scores, hits, costs):
    choices = [[None, *map(float, np.unique(row))] for row in scores[:-1]]
    return [outcome(scores, hits, costs, thresholds) for thresholds in itertools.product(*choices)]


@pytest.mark.parametrize("exits", [1, 2, 3])
def test_best_of_all_there_are(exits):
    for seed in range(40):
        scores, hits, costs = _tiny(seed, exits)
        solver, every = Solver(scores, hits, costs), _all_outcomes(scores, hits, costs)
        reachable = sorted({found.cost for found in every})
        for budget in (*reachable, *(value * 1.01 for value in reachable), 100.0):
            found = solver.for_budget(budget).outcome
            assert found.cost <= budget
            best = max((other.accuracy, -other.cost) for other in every if other.cost <= budget)
            assert found.accuracy == best[0]
            np.testing.assert_allclose(found.cost, -best[1], rtol=1e-9)
        for accuracy in {other.accuracy for other in every}:
            found = solver.for_accuracy(accuracy).outcome
            assert found.accuracy >= accuracy
            np.testing.assert_allclose(found.cost, min(o.cost for o in every if o.accuracy >= accuracy), rtol=1e-9)


def test_four_exits_within_a_picture_of_the_best():
    """A search by pairs; what it misses is seldom, and little."""
    missed = 0
    for seed in range(20):
        scores, hits, costs = _tiny(seed, 4)
        solver, every = Solver(scores, hits, costs), _all_outcomes(scores, hits, costs)
        for budget in sorted({found.cost for found in every})[::4]:
            best = max(other.accuracy for other in every if other.cost <= budget)
            lost = round((best - solver.for_budget(budget).outcome.accuracy) * scores.shape[1])
            assert lost <= 1
            missed += lost
    assert missed <= 2


@pytest.mark.parametrize("temperature", [1.0, 12.0], ids=["plain", "saturated"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_no_worse_than_the_published_rule_and_single_exits(temperature, dtype):
    scores, hits = pictures(temperature=temperature)
    scores = scores.astype(dtype)
    costs = np.array(COSTS) / 1e6 + 1 / 3  # sums of these are rounded
    if temperature > 1:
        assert np.count_nonzero(scores == 1) > 100
    solver = Solver(scores, hits, costs)
    rule = [outcome(scores, hits, costs, policy_thresholds(thresholds)) for thresholds in reference_family(scores).values()]
    singles = [outcome(scores, hits, costs, [ALWAYS if k == exit else None for k in range(5)]) for exit in range(6)]
    for other in (*rule[::4], *singles):
        found = solver.for_budget(other.cost).outcome
        assert found.cost <= other.cost
        assert found.accuracy >= max(each.accuracy for each in (*rule, *singles) if each.cost <= other.cost)
        cheaper = solver.for_accuracy(other.accuracy).outcome
        assert cheaper.accuracy >= other.accuracy
        assert cheaper.cost <= other.cost * (1 + 1e-12)


def test_better_than_the_published_rule_by_points():
    scores, hits = pictures()
    solver = Solver(scores, hits, COSTS)
    rule = [outcome(scores, hits, COSTS, policy_thresholds(thresholds)) for thresholds in reference_family(scores).values()]
    gains = []
    for budget in np.linspace(10e6, 45e6, 6):
        gains.append(solver.for_budget(budget).outcome.accuracy - max(o.accuracy for o in rule if o.cost <= budget))
    assert np.mean(gains) > 0.01


def test_more_budget_is_no_worse_and_order_does_not_matter():
    scores, hits = pictures(number=400)
    budgets = np.linspace(COSTS[0], COSTS[-1], 5)
    forward, backward = Solver(scores, hits, COSTS), Solver(scores, hits, COSTS)
    found = [forward.for_budget(budget) for budget in budgets]
    assert found == [backward.for_budget(budget) for budget in budgets[::-1]][::-1]
    assert found[2] == for_budget(scores, hits, COSTS, budgets[2])
    accuracies = [solution.outcome.accuracy for solution in found]
    assert accuracies == sorted(accuracies)


def test_thresholds_fit_a_policy_and_lie_between_scores():
    scores, hits = pictures(number=400)
    found = for_budget(scores, hits, COSTS, 30e6)
    policy = Policy("probability", found.thresholds, [1] * 6, [1, 2, 3, 4, 5, 6], shares=found.outcome.shares)
    assert outcome(scores, hits, COSTS, policy.thresholds) == found.outcome
    assert outcome(scores + np.float32(1e-7), hits, COSTS, policy.thresholds).cost == pytest.approx(
        found.outcome.cost, rel=0.01
    )
    for row, threshold in zip(scores, found.thresholds, strict=False):
        assert threshold is None or threshold == ALWAYS or threshold == np.float32(threshold) and threshold not in row


def test_probabilities_of_being_late_as_costs():
    """A latency policy: at most 4 % of calls over the limit. Exits that never are late cost nothing."""
    scores, hits = pictures(number=500)
    late = [0.0, 0.0, 0.001, 0.03, 0.9, 0.4]
    found = for_budget(scores, hits, late, 0.04)
    assert found.outcome.cost <= 0.04
    assert found.outcome.accuracy > for_budget(scores, hits, late, 0).outcome.accuracy
    assert for_budget(scores, hits, late, 0).outcome.cost == 0
    assert for_budget(scores, hits, [0.0] * 6, 0).outcome.accuracy >= hits[-1].mean()


def test_the_cheapest_exit_and_below():
    scores, hits = pictures(number=100)
    found = for_budget(scores, hits, COSTS, COSTS[0])
    assert found.thresholds == (ALWAYS, None, None, None, None)
    words = "`budget` must be at least 8.361 million MACs, what exit 2 costs. Received: 8 million MACs"
    show = lambda macs: f"{macs / 1e6:.4g} million MACs"  # noqa: E731
    with pytest.raises(BudgetError, match=words):
        for_budget(scores, hits, COSTS, 8e6, exits=[2, 4, 6, 8, 10, 12], show=show)
    with pytest.raises(BudgetError, match="`budget` must be at least 1, what exit 3 costs. Received: -1"):
        for_budget(scores[:3], hits[:3], [3, 2, 1], -1)
    for budget in (np.nan, np.inf):
        with pytest.raises(ValueError, match="`budget` must be a finite number"):
            for_budget(scores, hits, COSTS, budget)


def test_accuracies_that_are_not_reached():
    scores, hits = pictures(number=100)
    solver = Solver(scores, hits, COSTS)
    best = solver.for_budget(COSTS[-1]).outcome.accuracy
    with pytest.raises(AccuracyError, match=f"`accuracy` must be at most {best:.4g}, the best that any .* Received: 0.999"):
        solver.for_accuracy(0.999)
    assert solver.for_accuracy(best).outcome.accuracy == best
    assert solver.for_accuracy(0).outcome.cost == COSTS[0]
    assert for_accuracy(scores, hits, COSTS, 0.5) == solver.for_accuracy(0.5)
    for accuracy in (-0.1, 1.1, 95, np.nan):
        with pytest.raises(ValueError, match="`accuracy` must be from 0 to 1"):
            solver.for_accuracy(accuracy)


def test_one_exit_only():
    scores, hits = pictures(exits=1, number=50)
    assert for_budget(scores, hits, [2], 2).thresholds == ()
    assert for_budget(scores, hits, [2], 2).outcome.accuracy == hits.mean()
    with pytest.raises(BudgetError, match="what exit 1 costs"):
        for_budget(scores, hits, [2], 1.9)


def test_equal_scores_leave_together():
    scores, hits = np.ones((3, 50), np.float32), np.zeros((3, 50), bool)
    hits[1, :30] = hits[2] = True
    assert for_budget(scores, hits, [1, 2, 4], 3.9).thresholds == (None, ALWAYS)
    assert for_budget(scores, hits, [1, 2, 4], 4).thresholds == (None, None)


def test_scores_of_any_size():
    """Below what `ALWAYS` is, and next to each other in their precision."""
    scores = np.float64([[-3e9, -2e9, -1e9], [0, 0, 0]])
    hits = np.array([[1, 1, 1], [0, 0, 0]], bool)
    assert for_budget(scores, hits, [1, 2], 1.0).outcome.shares == (1.0, 0.0)
    one = np.float32(1)
    scores = np.array([[one, np.nextafter(one, one * 2)], [0, 0]], np.float32)
    found = for_budget(scores, np.array([[0, 1], [1, 0]], bool), [1, 2], 1.5)
    assert found.outcome.accuracy == 1
    assert found.outcome.shares == (0.5, 0.5)


def test_bad_input():
    scores, hits = pictures(number=20)
    with pytest.raises(ValueError, match="`exits` must be 6 numbers, one per exit"):
        Solver(scores, hits, COSTS, exits=[1, 2])
    with pytest.raises(ValueError, match="`costs` must be 6 finite numbers"):
        Solver(scores, hits, COSTS[:5])
    with pytest.raises(ValueError, match="at least one exit and one picture"):
        Solver(scores[:, :0], hits[:, :0], COSTS)
    scores[5, 0] = np.nan
    with pytest.raises(ValueError, match="for 1 of 20 pictures at the 6th of 6 exits"):
        Solver(scores, hits, COSTS)
