"""Calibration error and AUROC against their definitions."""

import numpy as np
import pytest

from tfres.evaluation.early_exit.quality import auroc, calibration_error


def test_calibration_error_by_hand():
    probabilities = np.array([0.95, 0.95, 0.55, 0.55])
    hits = np.array([True, False, True, True])
    assert calibration_error(probabilities, hits) == pytest.approx(0.5 * 0.45 + 0.5 * 0.45)
    assert calibration_error(probabilities, hits, bins=1) == pytest.approx(0.0)


def test_calibration_error_of_honest_and_of_sure_answers():
    rng = np.random.default_rng(0)
    probabilities = rng.uniform(0.1, 1, 100000)
    assert calibration_error(probabilities, rng.random(100000) < probabilities) < 0.01
    assert calibration_error(np.ones(100), np.arange(100) < 70) == pytest.approx(0.3)
    assert calibration_error(np.zeros(3), np.zeros(3, bool)) == 0
    assert calibration_error(np.float32([1 + 1e-7]), np.array([True])) < 1e-6


def test_bins_include_their_upper_end():
    hits = np.array([True, False])
    assert calibration_error([0.5, 0.4], hits, bins=2) == pytest.approx(0.05)  # one bin: mean 0.45, half are right
    assert calibration_error([0.5, 0.6], hits, bins=2) == pytest.approx(0.55)  # two


@pytest.mark.parametrize("levels", [3, 1000])
def test_auroc_is_the_part_of_pairs_in_order(levels):
    rng = np.random.default_rng(0)
    scores, hits = rng.integers(0, levels, 200), rng.random(200) < 0.6
    gaps = scores[hits][:, None] - scores[~hits]
    assert auroc(scores, hits) == pytest.approx((gaps > 0).mean() + 0.5 * (gaps == 0).mean())


def test_auroc_at_its_ends():
    hits = np.array([False, False, True])
    assert auroc([1, 2, 3], hits) == 1
    assert auroc([3, 2, 1], hits) == 0
    assert auroc([1, 1, 1], hits) == 0.5
    assert auroc([-np.inf, 0, np.inf], hits) == 1
    assert auroc([1.0], np.array([True])) is None
    assert auroc([1.0], np.array([False])) is None


@pytest.mark.parametrize("measure", [auroc, calibration_error])
def test_bad_input(measure):
    hits = np.array([True, False])
    with pytest.raises(ValueError, match="must not be NaN. Received: NaN for 1 of 2 pictures"):
        measure([0.5, np.nan], hits)
    with pytest.raises(ValueError, match="at least one. Received: float64 of shape"):
        measure([], np.zeros(0, bool))
    with pytest.raises(ValueError, match="`hits` must be an array of bool"):
        measure([0.5, 0.4], [1, 0])
    with pytest.raises(ValueError, match="`hits` must be an array of bool"):
        measure([0.5, 0.4, 0.3], hits)


def test_probabilities_out_of_range():
    for value in (-0.1, 1.1, np.inf):
        with pytest.raises(ValueError, match="`probabilities` must be from 0 to 1"):
            calibration_error([0.5, value], np.array([True, False]))
    with pytest.raises(ValueError, match="`bins` must be at least 1"):
        calibration_error([0.5], np.array([True]), bins=0)
