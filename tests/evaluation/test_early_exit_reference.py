"""The published rule against what the original finds."""

import numpy as np
import pytest

from tests.evaluation.early_exit_pictures import probabilities
from tfres.evaluation.early_exit.outcomes import outcome, taken
from tfres.evaluation.early_exit.reference import (
    ALWAYS,
    NEVER,
    STEPS,
    policy_thresholds,
    prior_shares,
    reference_family,
    reference_thresholds,
)
from tfres.policies import Policy


@pytest.fixture(params=range(3), ids=["plain", "saturated", "tiny"])
def case(request, golden):
    return golden("ranet_thresholds")["outputs"][request.param]


def _scores_and_hits(part):
    hits = np.array(part["pred"]) == np.array(part["label"])
    return np.array(part["conf"], np.float32), hits


def test_the_recipe_gives_the_listed_pictures(case):
    facts = case["case"]
    for part, number in (("val", facts["n"]), ("test", facts["n_test"])):
        seeds = facts[f"{part}_seed"], facts[f"{part}_label_seed"]
        found, labels = probabilities(facts["exits"], number, facts["classes"], *seeds, facts["temperature"])
        np.testing.assert_array_equal(labels, case[part]["label"])
        np.testing.assert_array_equal(found.argmax(-1), case[part]["pred"])
        np.testing.assert_allclose(found.max(-1), np.float32(case[part]["conf"]), rtol=3e-7)


def test_thresholds_and_outcomes_equal_the_originals(case):
    sets = {part: _scores_and_hits(case[part]) for part in ("val", "test")}
    family = reference_family(sets["val"][0])
    assert len(case["outputs"]) == len(family) == len(STEPS) == 39
    for (q, thresholds), expected in zip(family.items(), case["outputs"], strict=True):
        assert q == expected["q"]
        np.testing.assert_allclose(prior_shares(q, len(thresholds)), expected["probs"], rtol=2e-6)
        assert thresholds.dtype == np.float32
        np.testing.assert_array_equal(thresholds, np.float32(expected["T"]))
        for part, (scores, hits) in sets.items():
            number = scores.shape[1]
            found = outcome(scores, hits, case["flops"], policy_thresholds(thresholds))
            counts = np.bincount(taken(scores, policy_thresholds(thresholds)), minlength=len(scores))
            assert counts.tolist() == expected[f"{part}_exit_counts"]
            assert round(found.accuracy * number) == round(expected[f"{part}_acc"] * number / 100)
            np.testing.assert_allclose(100 * found.accuracy, expected[f"{part}_acc"], rtol=2e-7)
            np.testing.assert_allclose(found.cost, expected[f"{part}_flops"], rtol=1e-6)


def test_thresholds_of_a_policy(case):
    scores, _ = _scores_and_hits(case["val"])
    thresholds = reference_thresholds(scores, 0.05)
    assert thresholds[-1] == ALWAYS
    plain = policy_thresholds(thresholds)
    assert [value is None for value in plain] == (thresholds[:-1] == NEVER).tolist()
    policy = Policy("probability", plain, np.ones(len(scores)), np.arange(1, len(scores) + 1), rule="reference")
    kept = [NEVER if value is None else value for value in policy.thresholds]
    np.testing.assert_array_equal(np.float32(kept), thresholds[:-1])


def test_small_and_large_q():
    scores = np.random.default_rng(0).random((3, 10)).astype(np.float32)
    assert prior_shares(1, 4).tolist() == [0.25] * 4
    assert policy_thresholds(reference_thresholds(scores, 100.0)) == (None, None)
    assert reference_thresholds(scores[:1], 1).tolist() == [ALWAYS]
    for q in (0, -1, np.nan, np.inf):
        with pytest.raises(ValueError, match="`q` must be positive and finite"):
            reference_thresholds(scores, q)
    scores[1, 3] = np.nan
    with pytest.raises(ValueError, match="for 1 of 10 pictures at the 2nd of 3 exits"):
        reference_family(scores)


def test_all_ties_leave_together():
    scores = np.float32([[1, 1, 1, 0.5], [1, 1, 1, 1]])
    assert reference_thresholds(scores, 0.5).tolist() == [1, ALWAYS]
    assert taken(scores, [1]).tolist() == [0, 0, 0, 1]
