"""Properties of the quantizer functions."""

import numpy as np
import pytest
import tensorflow as tf

from quant import lq
from tests.quant.oracle import activation_training_call
from tests.reference import relative

BITS = range(1, 9)


def _basis(bits, signed, channels=3):
    if signed:
        return tf.constant(lq.initial_weight_basis(bits, 18, channels))
    return tf.constant(lq.initial_activation_basis(bits))


def _input(rng, signed, shape=(6, 5, 4, 3)):
    x = rng.standard_normal(shape).astype(np.float32)
    return tf.constant(0.3 * x if signed else np.maximum(x, 0))


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("signed", [True, False])
def test_output_is_the_nearest_level(rng, bits, signed):
    basis, x = _basis(bits, signed), _input(rng, signed)
    y = lq.quantize(x, lq.level_table(basis, signed)).numpy()
    for channel in range(3):
        levels = lq.codes(bits, signed) @ basis.numpy()[:, channel if signed else 0]
        distance = np.abs(x.numpy()[..., channel, None] - levels)
        chosen = np.abs(x.numpy()[..., channel] - y[..., channel])
        np.testing.assert_allclose(chosen, distance.min(axis=-1), atol=1e-6)
        assert np.abs(y[..., channel, None] - levels).min(axis=-1).max() < 1e-6


@pytest.mark.parametrize("bits", [1, 2, 3, 4])
def test_training_call_equals_the_literal_formula(rng, bits):
    basis, x = _basis(bits, False), _input(rng, False, (8, 9, 9, 16))
    y, statistics = lq.quantize_with_statistics(x, lq.level_table(basis, False))
    literal, _ = activation_training_call(x, basis)
    _, solution = activation_training_call(tf.cast(x, tf.float64), tf.cast(basis, tf.float64))
    np.testing.assert_array_equal(y, literal)
    assert relative(lq.solve_basis(statistics, basis, proximal=0.0), solution) < 1e-5


def test_fused_and_plain_selection_are_equal(rng, monkeypatch):
    table = lq.level_table(_basis(3, False), False)
    x = _input(rng, False)
    plain = lq.quantize_with_statistics(x, table)
    monkeypatch.setattr(lq, "_FUSE_FROM", 1)
    fused = lq.quantize_with_statistics(x, table)
    np.testing.assert_array_equal(plain[0], fused[0])
    np.testing.assert_array_equal(plain[1].gram, fused[1].gram)


@pytest.mark.parametrize("signed", [True, False])
def test_comparing_and_searching_are_equal(rng, monkeypatch, signed):
    table, x = lq.level_table(_basis(3, signed), signed), _input(rng, signed)
    chain = lq.quantize_with_statistics(x, table)
    monkeypatch.setattr(lq, "_MAX_CHAIN_BITS", 0)
    search = lq.quantize_with_statistics(x, table)
    np.testing.assert_array_equal(chain[0], search[0])
    np.testing.assert_allclose(chain[1].gram, search[1].gram, rtol=1e-6)
    np.testing.assert_allclose(chain[1].moment, search[1].moment, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("bits", BITS)
def test_solution_minimises_the_quantization_error(rng, bits):
    """At v* the gradient of |x - B v|^2 + delta |v - v_old|^2 vanishes."""
    basis, x = _basis(bits, True), _input(rng, True, (9, 9, 8, 3))
    table = lq.level_table(basis, True)
    y, statistics = lq.quantize_with_statistics(x, table)
    solution = lq.solve_basis(statistics, basis).numpy().astype(np.float64)
    for channel in range(3):
        levels = table.levels.numpy()[channel]
        place = np.abs(y.numpy()[..., channel].ravel()[:, None] - levels).argmin(axis=1)
        codes = table.codes.numpy()[channel][place].astype(np.float64)
        residual = codes @ solution[:, channel] - x.numpy()[..., channel].ravel()
        gradient = codes.T @ residual + lq.PROXIMAL * (solution[:, channel] - basis.numpy()[:, channel])
        assert np.abs(gradient).max() < 1e-3


def test_gradient_of_activations_passes_up_to_the_top_level():
    basis = tf.constant([[1.0], [2.0]])
    x = tf.constant([-1.0, 0.4, 3.0, np.nextafter(np.float32(3), np.float32(4)), 9.0])
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = lq.quantize(x, lq.level_table(basis, signed=False))
    assert tape.gradient(y, x, tf.constant([1.0, 2, 3, 4, 5])).numpy().tolist() == [1, 2, 3, 0, 0]


def test_gradient_of_weights_is_the_identity(rng):
    x = _input(rng, True)
    g = tf.constant(rng.standard_normal(x.shape), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = lq.quantize(x, lq.level_table(_basis(2, True), signed=True))
    np.testing.assert_array_equal(tape.gradient(y, x, g), g)


@pytest.mark.parametrize("value", [0.0, 0.01, 5.0])
def test_constant_activations_do_not_stop_the_update(value):
    """All inputs on one level leave the system singular; the proximal term keeps the unseen directions."""
    basis = _basis(2, False)
    _, statistics = lq.quantize_with_statistics(tf.fill([64], value), lq.level_table(basis, False))
    solution = lq.solve_basis(statistics, basis)
    assert np.isfinite(solution).all()
    if value == 0.0:
        np.testing.assert_allclose(solution, basis, rtol=1e-6)
    with pytest.raises(tf.errors.InvalidArgumentError, match="not invertible"):
        lq.solve_basis(statistics, basis, proximal=0.0)


def test_first_average_is_the_solution_and_later_ones_are_debiased():
    biased, count = tf.zeros([1]), tf.constant(0.0)
    expected = []
    for k, value in enumerate([4.0, 2.0, 1.0], 1):
        average, biased, count = lq.debiased_average(biased, count, tf.constant([value]))
        expected = [0.9 * e for e in expected] + [0.1 * value]
        assert average.numpy()[0] == pytest.approx(sum(expected) / (1 - 0.9**k))


def test_equal_levels_put_the_higher_code_first():
    levels, order = lq.sorted_levels(tf.constant([[0.5], [0.5]]), signed=False)
    assert levels.numpy().tolist() == [[0, 0.5, 0.5, 1]]
    assert order.numpy().tolist() == [[0, 2, 1, 3]]


@pytest.mark.parametrize("bits", [0, 9, -1, 2.0, True, "2"])
def test_bits_out_of_range(bits):
    with pytest.raises(ValueError, match=r"`weight_bits` must be an integer from 1 to 8.*Received"):
        lq.check_bits("weight_bits", bits)


def test_32_bits_mean_float():
    assert lq.check_bits("weight_bits", 32) is None
    assert lq.check_bits("weight_bits", None) is None
