"""Three arrangements of a step: the same numbers."""

import numpy as np
import pytest
import tensorflow as tf

from tests.models.test_rsnet import tiny
from tests.reference import relative
from tfres.engines import gradients
from tfres.layers import MultiResolutionCrop
from tfres.objectives import EnsembleDistillation


def _batch(rng, size=4):
    images = tf.constant(rng.integers(0, 256, (size, 16, 16, 3)), tf.uint8)
    return images, tf.constant(rng.integers(0, 5, size), tf.int32), tf.constant(rng.uniform(size=(size, 5)), tf.float32)


def _run(model, compute, batch, parts=1):
    """Terms, gradients and updated statistics; the model's own values are restored."""
    crop = MultiResolutionCrop([16, 12], "bilinear", flip="independent")
    objective = EnsembleDistillation(kd=True, weight_decay=1e-3, decay_on="all", ensemble=True)
    before = model.get_weights()

    @tf.function
    def step():
        terms, grads, scope = gradients.accumulated(
            lambda *part: compute(model, crop, objective, part, lambda loss: loss), batch, parts
        )
        scope.apply()
        return terms, grads

    terms, grads = step()
    after = model.get_weights()
    model.set_weights(before)
    return {k: float(v) for k, v in terms.items()}, [g.numpy() for g in grads], after


def _assert_same(one, other, bound=1e-5):
    terms, grads, weights = one
    assert other[0] == pytest.approx(terms, rel=bound)
    for a, b in zip([*grads, *weights], [*other[1], *other[2]], strict=True):
        assert relative(b, a) < bound or np.abs(b - a).max() < bound * 0.01


@pytest.mark.parametrize("bits", [None, 2])
def test_one_setting_at_a_time(rng, bits):
    """Low-bit networks too: kernels are quantized once per setting, not once per step, to the same values."""
    model, batch = tiny(weight_bits=bits, activation_bits=bits), _batch(rng)
    _assert_same(_run(model, gradients.all_settings, batch), _run(model, gradients.one_setting_at_a_time, batch))


def test_accumulated_equal_halves_are_the_half(rng):
    """Two equal parts: the mean of their terms and gradients is that of one, and so are the norms' statistics."""
    model, half = tiny(weight_bits=None, activation_bits=None), _batch(rng)
    twice = [tf.concat([tensor, tensor], 0) for tensor in half]
    _assert_same(_run(model, gradients.all_settings, half), _run(model, gradients.all_settings, twice, parts=2))


def test_accumulated_is_the_mean_of_the_parts(rng):
    model = tiny(weight_bits=None, activation_bits=None)
    halves = [_batch(rng), _batch(rng)]
    whole = [tf.concat(pair, 0) for pair in zip(*halves, strict=True)]
    _, first, _ = _run(model, gradients.all_settings, halves[0])
    _, second, _ = _run(model, gradients.one_setting_at_a_time, halves[1])
    _, mean, _ = _run(model, gradients.all_settings, whole, parts=2)
    for a, b, c in zip(first, second, mean, strict=True):
        assert relative(c, (a + b) / 2) < 1e-5 or np.abs(c).max() < 1e-7
