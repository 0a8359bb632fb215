"""Batch norms with private branches."""

import numpy as np
import pytest
import tensorflow as tf

from quant import At, StepScope
from tests.quant.replicas import two_replicas
from tfres.layers import StackedBatchNorm, SwitchableBatchNorm, assign, served_form


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


def _on_two_replicas(layer, halves, weights):
    """Outputs and the gradients of sum(weights * outputs) by the inputs and by gamma, of the whole batch."""
    strategy = two_replicas()
    with strategy.scope():
        copy = SwitchableBatchNorm.from_config(layer.get_config())
        copy.build(halves[0].shape)

    @tf.function
    def step(x, w):
        with StepScope() as scope, tf.GradientTape() as tape:
            tape.watch(x)
            y = copy(x, training=True)
            loss = tf.reduce_sum(w * y)
        by_inputs, by_gamma = tape.gradient(loss, (x, copy.variables_of()["gamma"]))
        scope.apply()
        return y, by_inputs, by_gamma

    def spread(values):
        return strategy.experimental_distribute_values_from_function(lambda c: values[c.replica_id_in_sync_group])

    results = [strategy.experimental_local_results(r) for r in strategy.run(step, args=(spread(halves), spread(weights)))]
    return copy, tf.concat(results[0], 0), tf.concat(results[1], 0), tf.add_n(results[2])


@pytest.mark.parametrize(("mean", "deviation"), [(1.0, 2.0), (100.0, 0.01)])
def test_synchronised_is_the_norm_of_the_whole_batch(rng, mean, deviation):
    """Also where E[x^2] - E[x]^2 has no digit left in float32."""
    x = tf.constant(mean + deviation * rng.standard_normal((8, 5, 5, 3)), tf.float32)
    w = tf.constant(rng.standard_normal(x.shape), tf.float32)
    layer = SwitchableBatchNorm(["r8"], synchronised=True)
    copy, y, by_inputs, by_gamma = _on_two_replicas(layer, tf.split(x, 2), tf.split(w, 2))
    exact = SwitchableBatchNorm(["r8"], dtype="float64")
    with tf.GradientTape() as tape:
        wide = tf.cast(x, tf.float64)
        tape.watch(wide)
        expected = exact(wide, training=True)
        loss = tf.reduce_sum(tf.cast(w, tf.float64) * expected)
    gradients = tape.gradient(loss, (wide, exact.variables_of()["gamma"]))
    np.testing.assert_allclose(y, expected, rtol=1e-3, atol=2e-3)
    np.testing.assert_allclose(by_inputs, gradients[0], rtol=1e-2, atol=5e-3 / deviation)
    np.testing.assert_allclose(by_gamma, gradients[1], rtol=1e-2, atol=0.1)
    for mine, theirs in zip(copy.weights[2:], exact.weights[2:], strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-4)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_small_deviations_from_a_large_mean(rng, dtype):
    values = (100 + 0.01 * rng.standard_normal((8, 5, 5, 3))).astype(dtype)
    layer = SwitchableBatchNorm(["r8"], momentum=0.0, dtype=dtype)
    y = layer(values, training=True)
    wide = values.astype("f8")
    np.testing.assert_allclose(layer.variables_of()["moving_variance"], wide.var((0, 1, 2), ddof=1), rtol=1e-3)
    expected = (wide - wide.mean((0, 1, 2))) / np.sqrt(wide.var((0, 1, 2)) + layer.epsilon)
    np.testing.assert_allclose(y, expected, rtol=1e-3, atol=2e-3)


def test_two_passes_of_one_setting_move_twice(rng):
    layer, x = SwitchableBatchNorm(["r8"]), _images(rng)
    with StepScope() as step:
        layer(x, training=True)
        layer(2 * x, training=True)
    step.apply()
    mean = x.numpy().mean((0, 1, 2))
    np.testing.assert_allclose(layer.variables_of()["moving_mean"], 0.9 * 0.1 * mean + 0.1 * 2 * mean, rtol=1e-5)


def test_shares_mix_the_settings(rng):
    layer, x = SwitchableBatchNorm(["r8", "r4"]), _images(rng)
    for setting in layer.settings:
        layer(x * rng.uniform(), at=At(setting), training=True)
    stacked = served_form(layer, layer.settings)
    stacked.build(x.shape)
    assign(stacked, layer)
    np.testing.assert_array_equal(stacked(x, at=At(shares=tf.constant([0.0, 1.0]))), layer(x, at=At("r4")))
    with pytest.raises(ValueError, match="`at` must have an index or shares of 2 settings"):
        stacked(x)
