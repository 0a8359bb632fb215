"""Paths between maps: sizes, channels, repetition, the neutral case."""

import numpy as np
import pytest
import tensorflow as tf

from quant.step import StepScope, optional
from tests.models.parts import Conv, Norm
from tfres.layers.fusion import FusionPath, repeated
from tfres.models.backbones import Parts

PARTS = Parts(
    channels=lambda count, place, ratio=1: count,
    conv=lambda channels, size, strides, name: Conv(channels, size, strides, use_bias=False, name=name),
    depthwise=None,
    norm=lambda channels, name, **options: Norm(name=name, **options),
    quantizer=None,
)


@pytest.mark.parametrize(
    ("halvings", "shape"), [(1, (2, 4, 6, 5)), (3, (2, 1, 2, 5)), (-1, (2, 16, 24, 5)), (-2, (2, 32, 48, 5))]
)
def test_sizes(halvings, shape, rng):
    path = FusionPath(PARTS, 3, 5, halvings, {"momentum": 0.5})
    assert path(tf.constant(rng.normal(size=(2, 8, 12, 3)), tf.float32)).shape == shape
    assert [unit.conv.filters for unit in path.units] == [3] * (len(path.units) - 1) + [5]
    assert all(unit.norm.momentum == 0.5 for unit in path.units)


def test_repeated(rng):
    x = rng.normal(size=(2, 3, 4, 5))
    np.testing.assert_array_equal(repeated(tf.constant(x), 4), x.repeat(4, 1).repeat(4, 2))
    with tf.GradientTape() as tape:
        variable = tf.Variable(x)
        loss = tf.reduce_sum(repeated(variable, 2) * tf.constant(rng.normal(size=(2, 6, 8, 5))))
    assert tape.gradient(loss, variable).shape == x.shape


def test_no_path_to_the_same_size():
    with pytest.raises(ValueError, match="`halvings` must not be 0"):
        FusionPath(PARTS, 3, 5, 0)


def test_a_layer_on_a_condition_needs_a_scope(rng):
    """Otherwise nobody would learn whether its weights took part; static and eager calls need none."""
    layer, x = tf.keras.layers.Dense(2), tf.constant(rng.normal(size=(3, 4)), tf.float32)
    run = layer(x)
    assert optional(0, layer, lambda: layer(x), lambda: 0 * run) is not None
    np.testing.assert_array_equal(optional(tf.constant(1), layer, lambda: layer(x), lambda: x), x)

    @tf.function(autograph=False)
    def traced(index):
        return optional(index, layer, lambda: layer(x), lambda: run + 1)

    with pytest.raises(ValueError, match="must be called inside a StepScope"):
        traced(tf.constant(0))

    @tf.function(autograph=False)
    def scoped(index):
        with StepScope() as scope:
            result = optional(index, layer, lambda: layer(x), lambda: run + 1)
        return result, scope.running()[layer.kernel.ref()]

    for index, expected in ((0, run), (1, run + 1)):
        result, on = scoped(tf.constant(index))
        np.testing.assert_allclose(result, expected)
        assert bool(on) == (index == 0)
