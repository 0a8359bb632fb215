"""What low-bit layers and their served forms say of themselves."""

import numpy as np
import pytest
import tensorflow as tf

from quant import At, QuantConv2D, unpacking
from tfres.layers import MetaConv2D, SlimChannels, SlimmableConv2D, SwitchableBatchNorm, assign, served_form
from tfres.layers.serving import packed_kernel, snap

SETTINGS = ["r2", "r1"]


def _served(layer, rng, shape=(1, 6, 6, 4), settings=SETTINGS):
    """A layer with random values, and its served form."""
    layer.build(shape)
    for weight in layer.trainable_weights:
        weight.assign(rng.uniform(-0.5, 0.5, weight.shape))
    copy = served_form(layer, settings)
    copy.build(shape)
    assign(copy, layer)
    return copy


@pytest.mark.parametrize(
    "layer",
    [
        QuantConv2D(4, 3),
        SwitchableBatchNorm(SETTINGS),
        MetaConv2D(4, 3, encodings={"r2": 1.0, "r1": 0.5}),
        tf.keras.layers.Dense(3),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_float_layers_have_no_bits(layer, rng):
    copy = _served(layer, rng)
    values = [value.numpy() for value in copy.weights]
    assert snap(copy, layer) is False and packed_kernel(layer) is None
    for value, kept in zip(copy.weights, values, strict=True):
        np.testing.assert_array_equal(value, kept)


@pytest.mark.parametrize("at", [At(index=tf.constant(1)), At(shares=tf.constant([0.25, 0.75]))], ids=["index", "shares"])
def test_generated_kernels_lie_on_the_grid_in_every_call(at, rng):
    layer = MetaConv2D(5, 3, encodings={"r2": 1.0, "r1": 0.5}, weight_bits=2)
    copy = _served(layer, rng)
    exact = copy.quantized_kernel(at).numpy()
    assert snap(copy, layer) is True and packed_kernel(layer) is None
    found, step = copy.quantized_kernel(at).numpy(), np.abs(exact).max((0, 1, 2)).astype(np.float64) / 127
    np.testing.assert_array_equal(found, (np.round(exact / step) * step).astype(np.float32))
    assert (found != exact).any()


def test_layers_of_any_width_read_the_leading_part(rng):
    layer, settings = SlimmableConv2D(SlimChannels(8), 3, weight_bits=2), ["r2-w1", "r2-w0.5"]
    copy = _served(layer, rng, settings=settings)
    kernel, images = unpacking(packed_kernel(layer)), tf.constant(rng.standard_normal((1, 6, 6, 3)), tf.float32)
    copy.read_kernel(lambda: tf.reshape(kernel, layer.latent_kernel.shape))
    copy.latent_kernel.assign(tf.zeros_like(copy.latent_kernel))  # not read any more
    for number, setting in enumerate(settings):
        found = copy(images, at=At(index=tf.constant(number)))
        np.testing.assert_array_equal(found, layer(images, at=At(setting)))
