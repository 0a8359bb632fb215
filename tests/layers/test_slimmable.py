"""Layers that run at any width."""

import json

import numpy as np
import pytest
import tensorflow as tf

from quant import At, QuantConv2D, QuantDense, QuantDepthwiseConv2D, StepScope
from tfres.layers import (
    SlimChannels,
    SlimmableBatchNorm,
    SlimmableConv2D,
    SlimmableDense,
    SlimmableDepthwiseConv2D,
    assign,
    served_form,
)

CHANNELS = SlimChannels(16, upper=1.5)


def _images(rng, channels=6):
    return tf.constant(rng.standard_normal((4, 5, 5, channels)), tf.float32)


PAIRS = {
    "conv": (
        lambda bits: SlimmableConv2D(SlimChannels(16), 3, weight_bits=bits, activation="relu"),
        lambda bits: QuantConv2D(16, 3, weight_bits=bits, activation="relu", use_bias=False),
    ),
    "depthwise": (
        lambda bits: SlimmableDepthwiseConv2D(3, weight_bits=bits),
        lambda bits: QuantDepthwiseConv2D(3, weight_bits=bits, use_bias=False),
    ),
    "dense": (
        lambda bits: SlimmableDense(5, weight_bits=bits, activation="tanh", use_bias=False),
        lambda bits: QuantDense(5, weight_bits=bits, activation="tanh", use_bias=False),
    ),
    "dense with bias": (
        lambda bits: SlimmableDense(5, weight_bits=bits, bias_initializer="ones"),
        lambda bits: QuantDense(5, weight_bits=bits, bias_initializer="ones"),
    ),
}


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("bits", [None, 2])
def test_width_one_is_the_ordinary_layer(rng, name, bits):
    slim, plain = (make(bits) for make in PAIRS[name])
    x = _images(rng) if "dense" not in name else _images(rng)[:, 0, 0]
    plain(x), slim(x)
    slim.set_weights(plain.get_weights())
    for training in (True, True, False):
        np.testing.assert_array_equal(slim(x, at=At("w1"), training=training), plain(x, training=training))
    for mine, theirs in zip(slim.weights, plain.weights, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_a_narrow_layer_uses_the_leading_part_of_the_quantized_kernel(rng):
    layer, x = SlimmableConv2D(CHANNELS, 3, weight_bits=2), _images(rng)
    layer(x)
    kernel = layer.quantized_kernel()
    assert kernel.shape[-1] == 24 and len(np.unique(kernel[..., 0])) <= 4
    expected = tf.nn.conv2d(x[..., :4], kernel[:, :, :4, :8], 1, "VALID")
    np.testing.assert_allclose(layer(x[..., :4], at=At("w0.5")), expected, rtol=1e-5, atol=1e-6)
    traced = tf.function(lambda x, width: layer(x, at=At(width_mult=width)))
    np.testing.assert_allclose(traced(x[..., :4], tf.constant(0.5)), expected, rtol=1e-5, atol=1e-6)
    with StepScope() as step:
        for setting in ("w1", "w0.5"):
            layer(x, at=At(setting), training=True)
    assert len(step.records()[0][1]) == 1


@pytest.mark.parametrize("private", [False, True])
def test_served_norms_and_kernels(rng, private):
    widths = ["w1", "w0.5"]
    conv, norm = SlimmableConv2D(CHANNELS, 3, weight_bits=3, name="c"), SlimmableBatchNorm(CHANNELS, widths, private, name="n")
    x = _images(rng)
    for setting in widths:
        at = At(setting)
        norm(conv(rng.uniform(1, 2) * x, at=at, training=True), at=at, training=True)
    served = [served_form(layer, widths) for layer in (conv, norm)]
    served[1](served[0](x, at=At(index=0)), at=At(index=0))
    for copy, layer in zip(served, (conv, norm), strict=True):
        assign(copy, layer)

    @tf.function
    def one_graph(x, number):
        at = At(index=number)
        return served[1](served[0](x, at=at), at=at)

    for number, setting in enumerate(widths):
        at = At(setting)
        np.testing.assert_allclose(one_graph(x, tf.constant(number)), norm(conv(x, at=at), at=at), rtol=1e-5, atol=1e-5)


def test_slim_channels_are_a_value():
    for channels in (CHANNELS, SlimChannels(8, counts={"a": 4, "b": 6}), SlimChannels(8, fixed=True, settings=["r2-w1"])):
        text = json.dumps(tf.keras.saving.serialize_keras_object(channels))
        assert SlimChannels.of(json.loads(text)) == channels
    assert CHANNELS() == CHANNELS(At()) == CHANNELS(At("r8")) == 24 and CHANNELS(At("r8-w0.5")) == 8
    assert int(CHANNELS(At("w1", width_mult=tf.constant(0.5)))) == 8
    assert int(CHANNELS.serving(["w1", "w0.5"])(At(index=tf.constant(1)))) == 8


def test_errors(rng):
    with pytest.raises(ValueError, match="`setting` must have a width of at most 1.5. Received: setting=w2"):
        CHANNELS(At("w2"))
    with pytest.raises(ValueError, match="`setting` must name one of the sub-networks a. Received: setting=netb"):
        SlimChannels(8, counts={"a": 4})(At("netb"))
    with pytest.raises(ValueError, match="`at` must have a setting or a width, not an index"):
        CHANNELS(At(index=0))
    layer = SlimmableConv2D(SlimChannels(8), 3, groups=2)
    layer(_images(rng))
    with pytest.raises(ValueError, match="must have 1 to 6 channels, a multiple of 2.*5, 5, 3"):
        layer(_images(rng, 3))
    norm = SlimmableBatchNorm(CHANNELS, ["w1"], private=True)
    norm.build((None, 5, 5, 24))
    with pytest.raises(ValueError, match="`at` must have one of the settings w1, which have a gamma"):
        norm(_images(rng, 8), at=At("w0.5"), training=True)
    with pytest.raises(ValueError, match="w0.5 has no statistics; those that have are w1. Calibrate it"):
        SlimmableBatchNorm(CHANNELS, ["w1"])(_images(rng, 8), at=At("w0.5"))
