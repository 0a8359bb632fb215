"""Outcomes of thresholds: where pictures leave, accuracy, mean cost, bootstrap."""

import numpy as np
import pytest

from tests.evaluation.early_exit_pictures import COSTS, pictures
from tfres.evaluation.early_exit.outcomes import check_scores, intervals, mean_cost, outcome, taken

SCORES = np.array([[0.9, 0.5, 0.1, 0.5], [0.2, 0.8, 0.3, 0.1], [0.1, 0.1, 0.1, 0.1]], np.float32)
HITS = np.array([[1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1]], bool)


def test_a_picture_leaves_at_the_first_exit_whose_threshold_it_reaches():
    assert taken(SCORES, [0.6, 0.3]).tolist() == [0, 1, 1, 2]
    assert taken(SCORES, [0.5, None]).tolist() == [0, 0, 2, 0]
    assert taken(SCORES, [None, None]).tolist() == [2, 2, 2, 2]
    assert taken(SCORES, [-1e8, 0.0]).tolist() == [0, 0, 0, 0]
    assert taken(SCORES[:1], []).tolist() == [0, 0, 0, 0]


def test_thresholds_are_compared_in_the_precision_of_the_scores():
    """As a served graph does: 0.1 is above float32's 0.1 in float64."""
    assert taken(np.float32([[0.3], [0.0]]), [0.3]).tolist() == [0]
    assert taken(np.float32([[0.7], [0.0]]), [0.7]).tolist() == [0]


def test_outcome():
    found = outcome(SCORES, HITS, [1, 2, 4], [0.6, 0.3])
    assert found.accuracy == 0.75
    assert found.cost == (1 + 2 + 2 + 4) / 4
    assert found.shares == (0.25, 0.5, 0.25)


def test_a_mean_is_rounded_once():
    assert mean_cost([0, 3, 0], [1, 0.1, 9]) == 0.1
    assert mean_cost([1, 1, 1], [1, 2, 4]) == 7 / 3
    costs = np.random.default_rng(0).uniform(1, 60, 6)
    for index, cost in enumerate(costs):
        assert mean_cost([4999 * (index == other) for other in range(6)], costs) == cost


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_scores_that_are_not_finite(value):
    scores = SCORES.copy()
    scores[1, [0, 2]] = value
    words = "`scores` must be finite. Received: NaN or infinity for 2 of 4 pictures at the 2nd of 3 exits"
    for ask in (
        lambda: taken(scores, [0, 0]),
        lambda: outcome(scores, HITS, [1, 2, 3], [0, 0]),
        lambda: intervals(scores, HITS, [1, 2, 3], [0, 0]),
    ):
        with pytest.raises(ValueError, match=words):
            ask()


@pytest.mark.parametrize("shape", [(0, 5), (3, 0)])
def test_nothing_at_all(shape):
    with pytest.raises(ValueError, match="`scores` must have at least one exit and one picture"):
        check_scores(np.zeros(shape))


def test_what_does_not_fit():
    with pytest.raises(ValueError, match=r"`scores` must be an array of numbers \(exits, pictures\)"):
        check_scores([0.1, 0.2])
    with pytest.raises(ValueError, match=r"`scores` must be an array of numbers .* Received: <U1"):
        check_scores([["a"]])
    with pytest.raises(ValueError, match="`thresholds` must be 2, one for every exit but the last of 3. Received: 3"):
        taken(SCORES, [0.1, 0.2, 0.3])
    with pytest.raises(ValueError, match="`thresholds` must not be NaN; None is for never"):
        taken(SCORES, [0.1, np.nan])
    for hits in (HITS[:2], HITS.astype(int)):
        with pytest.raises(ValueError, match="`hits` must be an array of bool like `scores`"):
            outcome(SCORES, hits, [1, 2, 3], [0, 0])
    for costs in ([1, 2], [1, 2, np.nan], [1, -2, 3], [[1, 2, 3]], ["1", "2", "3"]):
        with pytest.raises(ValueError, match="`costs` must be 3 finite numbers, not negative, one per exit"):
            outcome(SCORES, HITS, costs, [0, 0])


def test_intervals_hold_the_value_and_are_repeatable():
    scores, hits = pictures()
    thresholds = [0.8, 0.8, None, 0.7, 0.6]
    found = outcome(scores, hits, COSTS, thresholds)
    ends = intervals(scores, hits, COSTS, thresholds)
    for name, value in (("accuracy", found.accuracy), ("cost", found.cost)):
        low, high = ends[name]
        assert low < value < high
    assert ends == intervals(scores, hits, COSTS, thresholds)
    assert ends != intervals(scores, hits, COSTS, thresholds, seed=1)
    width = ends["accuracy"][1] - ends["accuracy"][0]
    normal = 2 * 1.96 * (found.accuracy * (1 - found.accuracy) / hits.shape[1]) ** 0.5
    np.testing.assert_allclose(width, normal, rtol=0.1)


def test_intervals_cover_the_truth_as_often_as_they_say():
    thresholds, sets = [0.8, 0.8, 0.8, 0.7, 0.6], 200
    scores, hits = pictures(number=300 * sets)
    truth = outcome(scores, hits, COSTS, thresholds)
    covered = np.zeros(2)
    for part in np.split(np.arange(300 * sets), sets):
        ends = intervals(scores[:, part], hits[:, part], COSTS, thresholds, level=0.9, repeats=400)
        covered += [
            low <= value <= high for (low, high), value in zip(ends.values(), (truth.accuracy, truth.cost), strict=True)
        ]
    assert (np.abs(covered / sets - 0.9) < 0.07).all()


def test_intervals_of_one_picture_and_of_one_exit():
    assert intervals(SCORES[:, :1], HITS[:, :1], [1, 2, 4], [0.5, None])["cost"] == (1.0, 1.0)
    assert intervals(SCORES[:1], HITS[:1], [2], [])["cost"] == (2.0, 2.0)
    with pytest.raises(ValueError, match="`level` must be between 0 and 1. Received: level=95"):
        intervals(SCORES, HITS, [1, 2, 4], [0, 0], level=95)
    with pytest.raises(ValueError, match="`repeats` must be at least 1"):
        intervals(SCORES, HITS, [1, 2, 4], [0, 0], repeats=0)
