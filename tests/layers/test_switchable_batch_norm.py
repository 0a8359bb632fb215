"""Batch norms with private branches."""

import numpy as np
import pytest
import tensorflow as tf

from quant import At, StepScope
from tfres.layers import StackedBatchNorm, SwitchableBatchNorm


def _images(rng, dtype=tf.float32):
    return tf.constant(2 * rng.standard_normal((4, 5, 5, 3)) + 1, dtype)


def test_one_setting_equals_the_stock_layer(rng):
    ours, theirs = SwitchableBatchNorm(["r8"]), tf.keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5)
    x = _images(rng)
    for training in (True, True, False):
        np.testing.assert_allclose(ours(x, training=training), theirs(x, training=training), rtol=1e-5, atol=1e-6)
    for mine, stock in zip(ours.weights, theirs.weights, strict=True):
        np.testing.assert_allclose(mine, stock, rtol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_statistics_are_private_and_unbiased(rng, dtype):
    layer, x = SwitchableBatchNorm(["r8", "r4"], dtype=dtype), _images(rng, dtype)
    layer(x, at=At("r4"), training=True)
    values = x.numpy().reshape(-1, 3)
    np.testing.assert_allclose(layer.variables_of("r4")["moving_mean"], 0.1 * values.mean(0), rtol=1e-5)
    np.testing.assert_allclose(layer.variables_of("r4")["moving_variance"], 0.9 + 0.1 * values.var(0, ddof=1), rtol=1e-5)
    assert layer.variables_of("r8")["moving_mean"].numpy().tolist() == [0, 0, 0]


def test_a_scope_holds_the_update_back(rng):
    layer, x = SwitchableBatchNorm(["r8"]), _images(rng)
    with StepScope() as step:
        layer(x, training=True)
    assert layer.variables_of()["moving_mean"].numpy().tolist() == [0, 0, 0]
    step.apply()
    assert np.all(layer.variables_of()["moving_mean"].numpy() > 0)


def test_stacked_form_is_equal_at_every_setting(rng):
    layer, x = SwitchableBatchNorm(["r8", "r4", "r2"]), _images(rng)
    for setting in layer.settings:
        layer(x * rng.uniform(), at=At(setting), training=True)
    stacked = StackedBatchNorm(layer.settings)
    stacked.build(x.shape)
    stacked.assign(layer)
    for number, setting in enumerate(layer.settings):
        np.testing.assert_array_equal(stacked(x, at=At(index=tf.constant(number))), layer(x, at=At(setting)))


def test_reload_keeps_every_branch(rng, tmp_path):
    model = tf.keras.Sequential([SwitchableBatchNorm(["r8"], momentum=0.8, epsilon=1e-4, gamma_initializer="zeros")])
    x = _images(rng)
    model(x, training=True)
    model.save(tmp_path / "m.keras")
    loaded = tf.keras.models.load_model(tmp_path / "m.keras")
    assert loaded.layers[0].get_config() == model.layers[0].get_config()
    np.testing.assert_array_equal(loaded(x), model(x))


def test_errors(rng):
    with pytest.raises(ValueError, match="`settings` must be distinct"):
        SwitchableBatchNorm(["r8", "r8"])
    with pytest.raises(ValueError, match="`setting` must be one of r8, r4. Received: setting=r5"):
        SwitchableBatchNorm(["r8", "r4"])(_images(rng), at=At("r5"))
