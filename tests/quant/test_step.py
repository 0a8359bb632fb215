"""One training step: conditions, tensors computed once, sums over scopes and replicas."""

import numpy as np
import pytest
import tensorflow as tf

from quant import ActivationQuantizer, At, QuantConv2D, StepScope, WeightQuantizer
from quant.step import cond, once, switch_case
from tests.quant.replicas import two_replicas
from tfres.layers import SwitchableBatchNorm


class _Pair:
    """A convolution, a norm and a quantizer, each in two copies, of which a condition runs one."""

    def __init__(self, update="sequential"):
        names = ["r2", "r1"]
        self.stages = [
            [
                QuantConv2D(3, 1, weight_bits=2, use_bias=False),
                SwitchableBatchNorm(names),
                ActivationQuantizer(2, settings=names, update=update),
            ]
            for _ in range(2)
        ]

    def build(self, x):
        for stage in self.stages:
            y = x
            for layer in stage:
                y = layer(y, at=At("r1"))
        return self

    def run(self, number, x, setting="r1"):
        for layer in self.stages[number]:
            x = layer(x, at=At(setting), training=True)
        return x

    def values(self, number):
        return [variable.numpy() for layer in self.stages[number] for variable in layer.weights]

    def copy_from(self, other):
        for number in range(2):
            for mine, theirs in zip(self.stages[number], other.stages[number], strict=True):
                mine.set_weights(theirs.get_weights())
        return self


def _images(rng, batch=4):
    return tf.constant(rng.standard_normal((batch, 3, 3, 2)), tf.float32)


def _equal(ours, theirs):
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("update", ["sequential", "pooled", "largest", "private"])
@pytest.mark.parametrize("scoped", [True, False])
def test_what_did_not_run_does_not_move(rng, update, scoped):
    x = _images(rng)
    pair = _Pair(update).build(x)
    plain = _Pair(update).build(x).copy_from(pair)

    @tf.function
    def step(first):
        def branches():
            return cond(first, lambda: pair.run(0, x, "r2"), lambda: pair.run(1, x, "r2"))

        if not scoped:
            return branches()
        with StepScope() as scope:
            y = branches()
        scope.apply()
        return y

    before = pair.values(0)
    ours = step(tf.constant(False))
    with StepScope() as scope:
        theirs = plain.run(1, x, "r2")
    scope.apply()
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    _equal(pair.values(0), before)
    _equal(pair.values(1), plain.values(1))
    step(tf.constant(True))
    _equal(pair.values(1), plain.values(1))
    assert not np.allclose(pair.values(0)[2], before[2]) or not np.allclose(pair.values(0)[1], before[1])


def test_eager_and_static_conditions_run_one_function(rng):
    x = _images(rng)
    for index in (tf.constant(1), 1):
        pair = _Pair().build(x)
        before = pair.values(0)
        with StepScope() as scope:
            switch_case(index, [lambda p=pair: p.run(0, x), lambda p=pair: p.run(1, x)])
        scope.apply()
        _equal(pair.values(0), before)
        assert len(scope.records()) == 3


def test_strict_quantizer_that_did_not_run(rng):
    """Its empty system is singular and no proximal term helps."""
    x = tf.abs(_images(rng))
    layers = [ActivationQuantizer(2, strict=True) for _ in range(2)]
    for layer in layers:
        layer.build(x.shape)

    @tf.function
    def step(index):
        with StepScope() as scope:
            switch_case(index, [lambda: layers[0](x, training=True), lambda: layers[1](x, training=True)])
        scope.apply()

    start = layers[0].bases[0].numpy()
    step(tf.constant(1))
    np.testing.assert_array_equal(layers[0].bases[0], start)
    assert np.all(np.isfinite(layers[1].bases[0])) and layers[1].weights[2].numpy() == 1
    assert layers[0].weights[2].numpy() == 0


def test_gradients_and_nested_conditions(rng):
    x = _images(rng)
    pair = _Pair().build(x)

    @tf.function
    def gradient(outer, inner):
        with StepScope() as scope, tf.GradientTape() as tape:
            y = cond(
                outer, lambda: cond(inner, lambda: pair.run(0, x), lambda: pair.run(1, x)), lambda: tf.zeros([4, 3, 3, 3])
            )
            loss = tf.reduce_sum(tf.square(y))
        scope.apply()
        return tape.gradient(loss, [stage[0].kernel for stage in pair.stages])

    before = pair.values(0)
    first, second = gradient(tf.constant(True), tf.constant(False))
    assert np.all(first == 0) and np.any(second != 0)
    _equal(pair.values(0), before)
    after = pair.values(1)
    gradient(tf.constant(False), tf.constant(False))
    _equal(pair.values(1), after)


def test_a_kernel_inside_and_outside_counts_once(rng):
    x = _images(rng)
    layer = QuantConv2D(3, 1, weight_bits=2)
    layer(x)

    @tf.function
    def step(inside, first):
        def run():
            return layer(x, training=True)

        with StepScope() as scope:
            if first:
                run()
            cond(inside, run, run)
            cond(inside, run, lambda: tf.zeros([4, 3, 3, 3]))
            if not first:
                run()
        scope.apply()

    for number, (inside, first) in enumerate([(True, True), (False, True), (True, False), (False, False)], 1):
        step(tf.constant(inside), first)
        assert layer.weight_quantizer.weights[2].numpy() == number


@pytest.mark.parametrize("kind", ["norm", "quantizer"])
def test_plain_conditions_are_refused_by_name(rng, kind):
    x = _images(rng)
    layer = SwitchableBatchNorm(["r1"], name="my_norm") if kind == "norm" else ActivationQuantizer(2, name="my_norm")
    layer(x)

    @tf.function
    def step(run):
        with StepScope() as scope:
            tf.cond(run, lambda: layer(x, training=True), lambda: x)
        scope.apply()

    with pytest.raises(ValueError, match="'my_norm' gathers statistics inside a condition.*quant.step.cond"):
        step(tf.constant(True))


def test_two_kernels_of_one_layer_give_two_results(rng):
    layer = WeightQuantizer(2)
    kernels = [tf.constant(rng.standard_normal((2, 3)), tf.float32) for _ in range(2)]
    layer.build((2, 3))
    alone = [layer(kernel) for kernel in kernels]
    with StepScope() as scope:
        for _ in range(2):
            for kernel, expected in zip(kernels, alone, strict=True):
                np.testing.assert_array_equal(layer(kernel), expected)
                np.testing.assert_array_equal(layer(kernel, training=True), expected)
    assert len(scope.records()[0][1]) == 2


def test_a_tensor_made_inside_a_condition_stays_there():
    @tf.function
    def both(run):
        with StepScope():
            tf.cond(run, lambda: once("key", lambda: tf.constant(1.0) + 1), lambda: tf.constant(0.0))
            cond(run, lambda: once("key", lambda: tf.constant(1.0) + 2), lambda: tf.constant(0.0))
            outside = once("key", lambda: tf.constant(1.0) + 3)
            return outside, cond(run, lambda: once("key", lambda: tf.constant(0.0)), lambda: tf.constant(0.0))

    assert [float(value) for value in both(tf.constant(True))] == [4.0, 4.0]


def test_scopes_are_merged_and_joined(rng):
    x, other = _images(rng), _images(rng)
    norm, kernel = SwitchableBatchNorm(["r2", "r1"]), QuantConv2D(3, 1, weight_bits=2)
    scopes = []
    for images, setting in ((x, "r2"), (other, "r1")):
        with StepScope() as scope:
            norm(kernel(images, at=At(setting), training=True), at=At(setting), training=True)
        scopes.append(scope)
    joined = {layer.name: records for layer, records in StepScope.joined(scopes).records()}
    assert [record.setting for record in joined[norm.name]] == ["r2", "r1"]
    assert len(joined[kernel.weight_quantizer.name]) == 1
    merged = {layer.name: records for layer, records in StepScope.merged([scopes[0], scopes[0]]).records()}
    assert merged[norm.name][0].count == 2
    mean = scopes[0].records()[1][1][0].statistics[0]
    np.testing.assert_allclose(merged[norm.name][0].statistics[0], 2 * mean)


def test_replicas_take_different_branches(rng):
    """Counts of the replicas add up: each norm moves by the mean over those where it ran."""
    x = _images(rng)
    strategy = two_replicas()
    with strategy.scope():
        norms = [SwitchableBatchNorm(["r1"], name=name) for name in ("first", "second", "third")]
        for norm in norms:
            norm.build(x.shape)

    @tf.function
    def step(number):
        with StepScope() as scope:
            runs = [lambda norm=norm: norm(x, training=True) for norm in norms]
            switch_case(number, runs)
        scope.apply()

    numbers = strategy.experimental_distribute_values_from_function(
        lambda context: tf.constant(context.replica_id_in_sync_group)
    )
    strategy.run(step, args=(numbers,))
    expected = 0.1 * x.numpy().mean((0, 1, 2))
    for norm, moved in zip(norms, (1, 1, 0), strict=True):
        for value in strategy.experimental_local_results(norm.variables_of()["moving_mean"]):
            np.testing.assert_allclose(value, moved * expected, rtol=1e-5, atol=1e-6)


def test_a_graph_of_tensorflow_1(rng):
    x = rng.standard_normal((4, 3, 3, 2)).astype(np.float32)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        pair = _Pair().build(tf.constant(x))
        run = tf.compat.v1.placeholder(tf.bool, [])
        scopes = []
        for _ in range(2):
            with StepScope() as scope:
                cond(run, lambda: pair.run(0, tf.constant(x)), lambda: pair.run(1, tf.constant(x)))
            scopes.append(scope)
        update = StepScope.merged(scopes).apply()
        session.run(tf.compat.v1.global_variables_initializer())
        variables = [[v for layer in stage for v in layer.weights] for stage in pair.stages]
        before = session.run(variables)
        session.run(update, {run: True})
        after = session.run(variables)
        _equal(after[1], before[1])
        assert sum(not np.array_equal(a, b) for a, b in zip(after[0], before[0], strict=True)) == 8
