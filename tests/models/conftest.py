"""Large networks whose values do not matter."""

import pytest
import tensorflow as tf

from tfres.layers import FanOutNormal


@pytest.fixture
def unfilled(monkeypatch):
    """Kernels begin with zeros: for tests that only count, random values of large networks take seconds."""
    for kind in (FanOutNormal, tf.keras.initializers.RandomNormal, tf.keras.initializers.RandomUniform):
        monkeypatch.setattr(kind, "__call__", lambda self, shape, dtype=None, **_: tf.zeros(shape, dtype or tf.float32))
