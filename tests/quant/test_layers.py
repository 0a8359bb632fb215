"""Quantized Keras layers."""

import numpy as np
import pytest
import tensorflow as tf

from quant import ActivationQuantizer, At, FixedLevels, QuantConv2D, QuantDense, QuantDepthwiseConv2D, StepScope, lq
from tests.quant.replicas import two_replicas

LAYERS = {
    "conv": (QuantConv2D, tf.keras.layers.Conv2D, {"filters": 4, "kernel_size": 3, "padding": "same", "activation": "relu"}),
    "grouped": (QuantConv2D, tf.keras.layers.Conv2D, {"filters": 4, "kernel_size": 3, "groups": 2, "strides": 2}),
    "depthwise": (QuantDepthwiseConv2D, tf.keras.layers.DepthwiseConv2D, {"kernel_size": 3, "depth_multiplier": 2}),
    "dense": (QuantDense, tf.keras.layers.Dense, {"units": 5, "activation": "tanh"}),
}


def _images(rng):
    return tf.constant(rng.standard_normal((2, 6, 6, 4)), tf.float32)


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("bits", [None, 32])
def test_float_equals_the_stock_layer(rng, name, bits):
    quantized, stock, arguments = LAYERS[name]
    ours, theirs, x = quantized(weight_bits=bits, **arguments), stock(**arguments), _images(rng)
    ours(x), theirs(x)
    theirs.set_weights(ours.get_weights())
    np.testing.assert_array_equal(ours(x, training=True), theirs(x))


@pytest.mark.parametrize("name", LAYERS)
def test_low_bit_equals_the_stock_layer_with_a_quantized_kernel(rng, name):
    quantized, stock, arguments = LAYERS[name]
    ours, theirs, x = quantized(weight_bits=2, **arguments), stock(**arguments), _images(rng)
    ours(x), theirs(x)
    attribute = "depthwise_kernel" if name == "depthwise" else "kernel"
    kernel = ours.quantized_kernel()
    theirs.set_weights([kernel, ours.bias])
    np.testing.assert_array_equal(ours(x), theirs(x))
    assert not np.array_equal(kernel, getattr(ours, attribute))


def test_depthwise_has_a_basis_per_channel(rng):
    layer = QuantDepthwiseConv2D(3, weight_bits=2, depth_multiplier=2)
    layer(_images(rng))
    assert layer.weight_quantizer.basis.shape == (2, 8)


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("bits", [None, 3])
def test_saved_model_gives_the_same_outputs(rng, tmp_path, name, bits):
    quantized, _, arguments = LAYERS[name]
    model = tf.keras.Sequential([quantized(weight_bits=bits, **arguments), ActivationQuantizer(2)])
    x = _images(rng)
    model(x, training=True)
    model.save(tmp_path / "model.keras")
    loaded = tf.keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(x), model(x))


@pytest.mark.parametrize("jit_compile", [False, True])
def test_fit_moves_kernel_and_basis(rng, jit_compile):
    model = tf.keras.Sequential(
        [QuantConv2D(4, 3, weight_bits=2), ActivationQuantizer(2), tf.keras.layers.Flatten(), QuantDense(3)]
    )
    model.compile("sgd", tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True), jit_compile=jit_compile)
    x = _images(rng)
    model(x)
    before = [weight.numpy() for weight in model.weights]
    model.fit(x, np.array([0, 1]), epochs=1, verbose=0)
    moved = [not np.array_equal(old, new) for old, new in zip(before, model.weights, strict=True)]
    assert all(moved)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_keeps_the_bases_float32(rng, policy):
    conv, activation = QuantConv2D(4, 3, weight_bits=2, dtype=policy), ActivationQuantizer(2, dtype=policy)
    y = activation(conv(_images(rng), training=True), training=True)
    assert y.dtype == tf.keras.mixed_precision.Policy(policy).compute_dtype
    assert conv.weight_quantizer.basis.dtype == activation.bases[0].dtype == tf.float32


def test_kernel_is_quantized_and_updated_once_per_step(rng):
    layer, x = QuantConv2D(4, 3, weight_bits=2), _images(rng)
    layer(x)
    with StepScope() as step:
        first, second = layer(x, training=True), layer(x, training=True)
        assert layer.quantized_kernel(training=True) is not None
    np.testing.assert_array_equal(first, second)
    assert layer.weight_quantizer.weights[2].numpy() == 0
    step.apply()
    assert layer.weight_quantizer.weights[2].numpy() == 1


def _solution(x, basis):
    return lq.solve_basis(lq.quantize_with_statistics(x, lq.level_table(basis, False))[1], basis)


def _two_sizes(layer, large, small):
    with StepScope() as step:
        layer(large, at=At("r2"), training=True)
        layer(small, at=At("r1"), training=True)
    step.apply()


def test_update_rules_over_two_settings(rng):
    large, small = (tf.constant(np.abs(rng.standard_normal(shape)), tf.float32) for shape in ((40,), (30,)))
    start = tf.constant(lq.initial_activation_basis(2))
    first, second = _solution(large, start), _solution(small, start)
    both = _solution(tf.concat([large, small], 0), start)
    average, m, k = lq.debiased_average(tf.zeros_like(start), tf.constant(0.0), first)
    sequential, _, _ = lq.debiased_average(m, k, second)
    expected = {"sequential": [sequential], "pooled": [both], "largest": [first], "private": [first, second]}
    for update, bases in expected.items():
        layer = ActivationQuantizer(2, settings=["r2", "r1"], update=update)
        layer.build(large.shape)
        _two_sizes(layer, large, small)
        assert len(layer.bases) == len(bases)
        for ours, theirs in zip(layer.bases, bases, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-5)


@pytest.mark.parametrize("update", ["sequential", "pooled", "largest"])
def test_two_replicas_update_the_basis_like_the_whole_batch(rng, update):
    batch = tf.constant(np.abs(rng.standard_normal((8, 5))), tf.float32)
    whole = ActivationQuantizer(2, settings=["r2"], update=update)
    with StepScope() as step:
        whole(batch, at=At("r2"), training=True)
    step.apply()
    strategy = two_replicas()
    with strategy.scope():
        shared = ActivationQuantizer(2, settings=["r2"], update=update)
        shared.build(batch.shape)

    @tf.function
    def replica(values):
        with StepScope() as step:
            shared(values, at=At("r2"), training=True)
        step.apply()

    halves = strategy.experimental_distribute_values_from_function(
        lambda context: batch[4 * context.replica_id_in_sync_group :][:4]
    )
    strategy.run(replica, args=(halves,))
    for value in strategy.experimental_local_results(shared.bases[0]):
        np.testing.assert_allclose(value, whole.bases[0], rtol=1e-5)


def test_served_levels_equal_the_quantizer(rng):
    for bits in (2, 6):
        layer, x = ActivationQuantizer(bits), tf.constant(np.abs(rng.standard_normal((50, 3))), tf.float32)
        layer(x, training=True)
        fixed = FixedLevels(bits)
        fixed.build(x.shape)
        fixed.assign(layer)
        np.testing.assert_array_equal(fixed(x), layer(x))
        sums = fixed.arithmetic_form()
        sums.build(x.shape)
        sums.set_weights(fixed.get_weights())
        edges = tf.concat([x, tf.tile(fixed.thresholds[0, :3, None], [1, 3])], 0)  # where comparing is strict
        np.testing.assert_allclose(sums(edges), fixed(edges), rtol=1e-6, atol=1e-6)


def test_errors_name_argument_and_value(rng):
    with pytest.raises(ValueError, match="`update` must be one of sequential.*update='median'"):
        ActivationQuantizer(2, update="median")
    with pytest.raises(ValueError, match="`settings` must name the settings"):
        ActivationQuantizer(2, update="private")
    with pytest.raises(ValueError, match="`bits` must be an integer from 1 to 8"):
        ActivationQuantizer(32)
    layer = ActivationQuantizer(2, settings=["r2"], update="private")
    with pytest.raises(ValueError, match="`setting` must be one of r2. Received: setting=r3"):
        layer(_images(rng), at=At("r3"))
