"""Top-1 and top-5 by value and index."""

import numpy as np
import pytest
import tensorflow as tf

from tfres.errors import DataError
from tfres.tasks.classification.metrics import Accuracy


def _result(outputs, targets):
    metrics = Accuracy()
    metrics.update(tf.constant(outputs), tf.constant(targets))
    return metrics.result()


def test_against_sorting(rng):
    logits, labels = rng.standard_normal((200, 12)).astype(np.float32), rng.integers(0, 12, 200)
    order = np.argsort(-logits, axis=1)
    expected = {f"top{k}": (order[:, :k] == labels[:, None]).any(1).mean() for k in (1, 5)}
    assert _result(logits, labels) == pytest.approx(expected)
    assert _result(logits.astype(np.float16), labels).keys() == expected.keys()


@pytest.mark.parametrize("value", [0.0, -3.5, 1e30])
def test_equal_logits_are_no_hits(value):
    """They count in the order of their index: one class in ten is first, five are among five."""
    assert _result(np.full((10, 10), value, np.float32), np.arange(10)) == {"top1": 0.1, "top5": 0.5}


def test_ties_at_the_border_go_by_index():
    logits = np.array([[1, 0, 0, 0, 0, 0, 0.0]] * 7, np.float32)
    assert _result(logits, np.arange(7)) == pytest.approx({"top1": 1 / 7, "top5": 5 / 7})


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("kind", [DataError, ArithmeticError])
def test_logits_that_are_not_finite(value, kind):
    logits = np.zeros((8, 3), np.float32)
    logits[[1, 4, 5], 2] = value
    with pytest.raises(kind, match="Logits must be finite numbers. Received: .* for 3 of 8 pictures"):
        _result(logits, np.zeros(8, np.int32))


def test_fewer_than_five_classes_and_soft_targets():
    logits = np.eye(3, dtype=np.float32)
    soft = np.array([[0.6, 0.2, 0.2], [0.5, 0.4, 0.1], [0.1, 0.2, 0.7]], np.float32)
    assert _result(logits, soft) == pytest.approx({"top1": 2 / 3, "top5": 1.0})


def test_batches_add_up_and_measuring_can_be_traced(rng):
    logits, labels = rng.standard_normal((30, 7)).astype(np.float32), rng.integers(0, 7, 30)
    metrics = Accuracy()
    measure = tf.function(metrics.measure)
    for part in (slice(0, 20), slice(20, 30)):
        metrics.add(measure(tf.constant(logits[part]), tf.constant(labels[part])))
    assert metrics.result() == _result(logits, labels)


def test_no_picture():
    with pytest.raises(DataError, match="needs at least one picture"):
        Accuracy().result()
