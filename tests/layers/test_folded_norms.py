"""Norms that become part of convolutions."""

import numpy as np
import pytest
import tensorflow as tf

from quant import QuantConv2D
from tfres.layers import SwitchableBatchNorm, assign, served_form
from tfres.layers.serving import normalised


def _pair(rng, settings, **options):
    """A convolution and a norm with values of their own, and their served forms."""
    options = {"padding": "symmetric", "name": "conv", **options}
    layers = QuantConv2D(6, bias_initializer="normal", **options), SwitchableBatchNorm(settings, name="norm")
    layers[1].build([None, 8, 8, 6])
    for variable in layers[1].variables:
        variable.assign(rng.uniform(0.5, 2.0, variable.shape))
    layers[0].build([None, 8, 8, 4])
    forms = [served_form(layer, settings) for layer in layers]
    for form, layer, channels in zip(forms, layers, (4, 6), strict=True):
        form.build([None, 8, 8, channels])
        assign(form, layer)
    forms[1].folded = True
    return layers, forms


@pytest.mark.parametrize("options", [{"kernel_size": 1}, {"kernel_size": 1, "strides": 2}, {"kernel_size": 3, "strides": 2}])
@pytest.mark.parametrize("more", [{}, {"use_bias": False}, {"weight_bits": 2}, {"groups": 2}])
def test_a_folded_norm_gives_what_the_norm_gives(options, more, rng):
    (conv, norm), served = _pair(rng, ["all"], **options, **more)
    inputs = tf.constant(rng.normal(size=(2, 8, 8, 4)), tf.float32)
    expected = tf.nn.relu(norm(conv(inputs)))
    np.testing.assert_allclose(normalised(conv, norm, inputs, tf.nn.relu), expected, rtol=0, atol=0)
    np.testing.assert_allclose(normalised(*served, inputs, tf.nn.relu), expected, rtol=1e-5, atol=1e-5)


def test_norms_of_several_settings_stay_apart(rng):
    _, (conv, norm) = _pair(rng, ["a", "b"], kernel_size=1)
    with pytest.raises(ValueError, match="`at` must have an index or shares of 2 settings"):
        normalised(conv, norm, tf.zeros([1, 8, 8, 4]), tf.nn.relu)


def test_a_1x1_convolution_is_a_product(rng):
    _, served = _pair(rng, ["all"], kernel_size=1)
    inputs = tf.constant(rng.normal(size=(2, 8, 8, 4)), tf.float32)
    traced = tf.function(lambda x: normalised(*served, x, tf.nn.relu)).get_concrete_function(inputs)
    kinds = {operation.type for operation in traced.graph.get_operations()}
    assert "MatMul" in kinds and "Conv2D" not in kinds
