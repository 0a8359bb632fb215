"""Generated kernels, float and low-bit."""

import numpy as np
import pytest
import tensorflow as tf

from quant import At, QuantConv2D, QuantDepthwiseConv2D, StepScope, lq
from tfres.layers import MetaConv2D, MetaDepthwiseConv2D

ENCODINGS = {"r2": 0.5, "r1": 0.25}


def _images(rng):
    return tf.constant(rng.standard_normal((4, 5, 5, 3)), tf.float32)


@pytest.mark.parametrize("bits", [None, 2])
@pytest.mark.parametrize("depthwise", [False, True])
@pytest.mark.parametrize("neutral", ["slope", "encoding"])
def test_encoding_0_and_slope_0_are_the_ordinary_layer(rng, bits, depthwise, neutral):
    encodings = {"r2": 0.0} if neutral == "encoding" else {"r2": 0.5}
    slope = "ones" if neutral == "encoding" else "zeros"
    options = {"encodings": encodings, "slope_initializer": slope, "weight_bits": bits}
    meta = MetaDepthwiseConv2D(3, **options) if depthwise else MetaConv2D(4, 3, **options)
    plain = QuantDepthwiseConv2D(3, weight_bits=bits) if depthwise else QuantConv2D(4, 3, weight_bits=bits)
    x = _images(rng)
    plain(x), meta(x)
    meta.latent_kernel.assign(plain.latent_kernel)
    for training in (True, True, False):
        np.testing.assert_array_equal(meta(x, at=At("r2"), training=training), plain(x, training=training))
    if bits:
        np.testing.assert_array_equal(meta.weight_quantizer.basis, plain.weight_quantizer.basis)


def test_low_bit_kernels_are_measured_once_per_setting(rng):
    layer, x = MetaConv2D(4, 3, encodings=ENCODINGS, slope_initializer="he_normal", weight_bits=2), _images(rng)
    layer(x, at=At("r2"))
    table = lq.level_table(tf.convert_to_tensor(layer.weight_quantizer.basis), True)
    with StepScope() as step:
        outputs = {setting: layer(x, at=At(setting), training=True) for setting in ("r2", "r1", "r2")}
    for setting, y in outputs.items():
        kernel = lq.quantize(layer.generated_kernel(At(setting)), table)
        np.testing.assert_array_equal(y, layer.convolve(x, kernel))
    ((_, records),) = step.records()
    assert [record.setting for record in records] == ["r2", "r1"]
    assert not np.allclose(records[0].statistics.moment, records[1].statistics.moment)
    step.apply()
    assert layer.weight_quantizer.weights[2].numpy() == 2


def test_two_encodings_in_one_scope_give_two_kernels(rng):
    layer, x = MetaConv2D(4, 3, encodings=ENCODINGS, slope_initializer="ones"), _images(rng)
    apart = [layer(x, at=At(setting)) for setting in ENCODINGS]
    with StepScope():
        together = [layer(x, at=At(setting)) for setting in ENCODINGS]
    np.testing.assert_array_equal(together, apart)


def test_by_number_and_by_shares(rng):
    layer, x = MetaConv2D(4, 3, encodings=ENCODINGS, slope_initializer="ones"), _images(rng)
    for number, setting in enumerate(ENCODINGS):
        expected = layer(x, at=At(setting))
        np.testing.assert_array_equal(layer(x, at=At(index=tf.constant(number))), expected)
        np.testing.assert_array_equal(layer(x, at=At(shares=tf.one_hot(number, 2))), expected)
    swapped = layer.served_form(["r1", "r2"])
    assert list(swapped.encodings) == ["r1", "r2"]


def test_errors(rng):
    with pytest.raises(ValueError, match="`setting` must be one of r2, r1. Received: setting=r3"):
        MetaConv2D(4, 3, encodings=ENCODINGS)(_images(rng), at=At("r3"))
