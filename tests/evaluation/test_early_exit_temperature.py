"""Temperatures: a known one comes back, the least likelihood, bounds."""

import numpy as np
import pytest

from tfres.evaluation.early_exit import temperature as temperatures_file
from tfres.evaluation.early_exit.temperature import HIGHEST, LOWEST, negative_log_likelihood, temperature, temperatures


def _honest(number=20000, classes=10, seed=0):
    """Logits whose softmax is the probability of the labels."""
    rng = np.random.default_rng(seed)
    logits = 2 * rng.standard_normal((number, classes))
    return logits, (logits + rng.gumbel(size=logits.shape)).argmax(1)


@pytest.mark.parametrize("known", [0.25, 1.0, 3.0, 10.0])
def test_a_known_temperature_comes_back(known):
    logits, labels = _honest()
    assert temperature(known * logits, labels) == pytest.approx(known, rel=0.03)
    assert temperature((known * logits).astype(np.float32), labels) == pytest.approx(
        temperature(known * logits, labels), rel=1e-5
    )


def test_it_has_the_least_likelihood():
    logits, labels = _honest(500)
    found = temperature(logits, labels)
    least = negative_log_likelihood(logits, labels, found)
    for factor in (0.1, 0.9, 0.999, 1.001, 1.1, 10):
        assert negative_log_likelihood(logits, labels, found * factor) > least


def test_likelihood_is_that_of_the_softmax():
    logits, labels = _honest(50)
    powers = np.exp(logits / 1.7)
    expected = -np.log(powers[np.arange(50), labels] / powers.sum(1)).mean()
    np.testing.assert_allclose(negative_log_likelihood(logits, labels, 1.7), expected, rtol=1e-12)


def test_rows_at_a_time_change_nothing(monkeypatch):
    logits, labels = _honest(1000)
    whole = temperature(logits, labels)
    monkeypatch.setattr(temperatures_file, "_CHUNK", 70)
    assert temperature(logits, labels) == pytest.approx(whole, rel=1e-9)


def test_bounds_where_there_is_no_optimum():
    right = np.eye(4)
    assert temperature(right, np.arange(4)) == LOWEST
    assert temperature(right, (np.arange(4) + 1) % 4) == HIGHEST
    for logits in (np.zeros((4, 5)), np.zeros((4, 1)), right * 1e30):
        assert temperature(logits, np.arange(4) % logits.shape[1]) == 1
    assert temperature(np.zeros((4, 5)), np.arange(4), lowest=2) == 2
    logits, labels = _honest(2000)
    assert temperature(logits, labels, lowest=2, highest=4) == 2


def test_large_logits_do_not_overflow():
    logits, labels = _honest(2000)
    shifted = temperature(logits * 5 + 1e5, labels)
    assert shifted == pytest.approx(temperature(logits * 5, labels), rel=1e-4)


def test_one_per_exit():
    logits, labels = _honest(3000)
    found = temperatures(np.stack([logits, 2 * logits]), labels)
    assert found == (temperature(logits, labels), temperature(2 * logits, labels))


def test_bad_input():
    logits, labels = _honest(10, 3)
    for wrong in (logits[0], logits[:0], logits.astype(str)):
        with pytest.raises(ValueError, match="`logits` must be an array of numbers"):
            temperature(wrong, labels)
    for wrong in (labels[:5], labels + 3, labels - 3, labels.astype(float)):
        with pytest.raises(ValueError, match="`labels` must be 10 whole numbers from 0 to 2"):
            temperature(logits, wrong)
    with pytest.raises(ValueError, match="`lowest` must be positive and below `highest`"):
        temperature(logits, labels, lowest=3, highest=2)
    logits[[2, 5], 1] = np.nan
    with pytest.raises(ValueError, match="`logits` must be finite. Received: NaN or infinity for 2 of 10 pictures"):
        temperature(logits, labels)
