"""How sure a classifier is, and whether it is right."""

import numpy as np
import pytest
import tensorflow as tf

from tests.tasks.helpers import opened
from tfres.tasks.classification.confidence import SCORES, confidence
from tfres.tasks.classification.metrics import Accuracy, correct


@pytest.mark.parametrize("dtype", [tf.bfloat16, tf.float16, tf.float32, tf.float64])
@pytest.mark.parametrize("temperature", [1.0, 0.5, 3.0])
def test_against_the_formulas(rng, dtype, temperature):
    task, _ = opened("fake")
    logits = tf.cast(rng.standard_normal((20, 7)) * 3, dtype)
    z = np.asarray(tf.cast(logits, tf.float64)) / temperature
    log_p = np.sort(z - np.log(np.exp(z).sum(1, keepdims=True)), axis=1)
    expected = {
        "margin": log_p[:, -1] - log_p[:, -2],
        "probability": np.exp(log_p[:, -1]),
        "entropy": (np.exp(log_p) * log_p).sum(1),
    }
    assert tuple(expected) == SCORES
    for score, values in expected.items():
        for given in (temperature, tf.constant(temperature)):
            found = task.confidence(logits, score, given)
            assert found.dtype == tf.float32 and found.shape == (20,)
            np.testing.assert_allclose(found, values, rtol=2e-6, atol=2e-6)


def test_the_margin_is_exact_where_the_probability_is_one():
    logits = tf.constant([[100.0, 0.0, -5.0], [200.0, 0.0, -5.0], [3e38, -3e38, -3e38]])
    assert confidence(logits, "probability").numpy().tolist() == [1.0, 1.0, 1.0]
    assert confidence(logits, "margin").numpy().tolist() == [100.0, 200.0, np.inf]
    assert confidence(logits, "entropy").numpy().tolist()[-1] == 0.0


def test_the_least_sure_is_zero_margin():
    even = tf.zeros([2, 8])
    np.testing.assert_allclose(confidence(even, "margin"), 0.0)
    np.testing.assert_allclose(confidence(even, "probability"), 1 / 8)
    np.testing.assert_allclose(confidence(even, "entropy"), -np.log(8), rtol=1e-6)


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_no_number(score, value):
    logits = np.array([[1, 2, 3], [1, 2, 9], [4, 0, 0]], np.float32)
    logits[1, 2] = value
    assert np.isnan(confidence(logits, score)).tolist() == [False, True, False]


@pytest.mark.parametrize("score", SCORES)
def test_traced_for_any_batch(score):
    traced = tf.function(lambda outputs, t: confidence(outputs, score, t), reduce_retracing=True)
    traced = traced.get_concrete_function(tf.TensorSpec([None, 4]), tf.TensorSpec([]))
    logits = np.random.default_rng(0).standard_normal((5, 4)).astype(np.float32)
    np.testing.assert_allclose(traced(tf.constant(logits), tf.constant(2.0)), confidence(logits, score, 2.0), rtol=1e-6)
    assert traced(tf.zeros([0, 4]), tf.constant(2.0)).shape == (0,)


def test_bad_values():
    for score in ("Margin", "", None, 3):
        with pytest.raises(ValueError, match="`score` must be one of margin, probability, entropy. Received: score="):
            confidence(tf.zeros([2, 3]), score)
    for temperature in (0, -1.0, np.nan, np.inf, np.float32(0)):
        with pytest.raises(ValueError, match="`temperature` must be positive and finite. Received: temperature="):
            confidence(tf.zeros([2, 3]), "margin", temperature)
    with pytest.raises(ValueError, match="`outputs` must be of two classes at least for the margin"):
        confidence(tf.zeros([2, 1]), "margin")


@pytest.mark.parametrize("soft", [False, True])
def test_correct_is_what_accuracy_counts(rng, soft):
    """Ties among them, which go by index."""
    task, _ = opened("fake")
    logits, labels = rng.integers(0, 3, (200, 6)).astype(np.float32), rng.integers(0, 6, 200)
    targets = np.eye(6, dtype=np.float32)[labels] if soft else labels
    found = task.correct(logits, tf.constant(targets))
    assert found.dtype == tf.bool and found.numpy().tolist() == (logits.argmax(1) == labels).tolist()
    metrics = Accuracy()
    metrics.update(tf.constant(logits), tf.constant(targets))
    assert metrics.result()["top1"] == found.numpy().mean()


def test_what_is_not_finite_is_wrong():
    logits = np.array([[9, 0], [np.nan, 0], [np.inf, 0], [9, -np.inf], [9, 1]], np.float32)
    assert correct(logits, np.zeros(5, np.int32)).numpy().tolist() == [True, False, False, False, True]
    assert correct(tf.zeros([3, 2], tf.bfloat16), tf.constant([0, 1, 0])).numpy().tolist() == [True, False, True]
