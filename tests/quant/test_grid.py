"""The integer grid of low-bit values."""

import numpy as np
import pytest
import tensorflow as tf

from quant import (
    ActivationQuantizer,
    FixedLevels,
    QuantConv2D,
    QuantDense,
    QuantDepthwiseConv2D,
    kernel_on_grid,
    levels_on_grid,
    lq,
)


def _codes(values, top, steps):
    return values.astype(np.float64) / (top.astype(np.float64) / steps)


@pytest.mark.parametrize("bits", [1, 2, 3, 8])
def test_kernels(bits, rng):
    basis = lq.initial_weight_basis(bits, 63, 7) * rng.uniform(0.5, 2, (bits, 7)).astype(np.float32)
    table = lq.level_table(tf.constant(basis), True)
    kernel = lq.quantize(tf.constant(rng.standard_normal((3, 3, 5, 7)), tf.float32), table).numpy()
    found, top = kernel_on_grid(kernel, 7).numpy(), np.abs(kernel).max((0, 1, 2))
    codes = _codes(found, top, 127)
    np.testing.assert_allclose(codes, np.round(codes), rtol=0, atol=1e-4)  # rounded to float32
    step = top.astype(np.float64) / 127
    np.testing.assert_array_equal(found, (np.round(kernel / step) * step).astype(np.float32))
    assert (np.abs(found - kernel) <= 0.5 / 127 * top * (1 + 1e-5)).all()
    np.testing.assert_array_equal(np.abs(found).max((0, 1, 2)), top)
    np.testing.assert_array_equal(kernel_on_grid(found, 7), found)


@pytest.mark.parametrize("bits", [1, 2, 3, 8])
def test_levels(bits, rng):
    bases = lq.initial_activation_basis(bits) * rng.uniform(0.5, 2, (3, bits, 1)).astype(np.float32)
    levels = np.concatenate([lq.level_table(tf.constant(basis), False).levels for basis in bases])
    found, top = levels_on_grid(levels).numpy(), levels[:, -1:]
    codes = _codes(found, top, 255)
    np.testing.assert_allclose(codes, np.round(codes), rtol=0, atol=1e-4)
    assert (np.abs(found - levels) <= 0.5 / 255 * top * (1 + 1e-5)).all()
    np.testing.assert_array_equal(found[:, 0], np.zeros(3))
    np.testing.assert_array_equal(found[:, -1:], top)
    np.testing.assert_array_equal(levels_on_grid(found), found)


def test_a_channel_of_zeros_stays():
    np.testing.assert_array_equal(kernel_on_grid(tf.zeros([3, 3, 2, 4]), 4), np.zeros([3, 3, 2, 4]))
    np.testing.assert_array_equal(levels_on_grid(tf.zeros([1, 4])), np.zeros([1, 4]))


@pytest.mark.parametrize(
    ("layer", "shape", "axes"),
    [
        (QuantConv2D(6, 3, groups=2, weight_bits=2), (1, 8, 8, 4), (0, 1, 2)),
        (QuantDepthwiseConv2D(3, depth_multiplier=2, weight_bits=2), (1, 8, 8, 4), (0, 1)),
        (QuantDense(5, weight_bits=3), (1, 64), (0,)),
    ],
    ids=["grouped", "depthwise", "dense"],
)
def test_layers_know_their_integers(layer, shape, axes, rng):
    """One scale per output channel, whatever the kernel's axes are."""
    layer.build(shape)
    layer.latent_kernel.assign(0.3 * rng.standard_normal(layer.latent_kernel.shape))
    layer.weight_quantizer.basis.assign(layer.weight_quantizer.basis * rng.uniform(0.5, 2, layer.weight_quantizer.basis.shape))
    served = layer.served_form([])
    served.build(shape)
    served.assign(layer)
    exact = served.latent_kernel.numpy()
    assert served.snap(layer) is True
    found, top = served.latent_kernel.numpy(), np.abs(exact).max(axes, keepdims=True)
    step = top.astype(np.float64) / 127
    np.testing.assert_array_equal(found, (np.round(exact / step) * step).astype(np.float32))
    assert (found != exact).any()


def test_layers_without_bits_are_left_alone():
    layer = QuantConv2D(6, 3)
    layer.build((1, 8, 8, 4))
    served = layer.served_form([])
    served.build((1, 8, 8, 4))
    served.assign(layer)
    assert served.snap(layer) is False and layer.packed_kernel() is None
    np.testing.assert_array_equal(served.latent_kernel, layer.latent_kernel)


def test_thresholds_stay(rng):
    quantizer = ActivationQuantizer(2, settings=["r32", "r16"], update="private")
    quantizer.build((1, 4))
    for basis in quantizer.bases:
        basis.assign(rng.uniform(0.2, 1, basis.shape))
    served = quantizer.served_form(["r32", "r16"])
    assert isinstance(served, FixedLevels)
    served.build((1, 4))
    served.assign(quantizer)
    levels, thresholds = served.levels.numpy(), served.thresholds.numpy()
    assert served.snap(quantizer) is True
    np.testing.assert_array_equal(served.levels, levels_on_grid(levels))
    np.testing.assert_array_equal(served.thresholds, thresholds)
