"""Three arrangements of a step: the same numbers; and the one public function that makes a step."""

import numpy as np
import pytest
import tensorflow as tf

import tfres
from tests.engines.plans import FLOAT, LOW_BIT, make_plan
from tests.models.test_rsnet import tiny
from tests.reference import relative
from tests.tasks.fakes import classification
from tfres.engines.keras_engine import TrainingModel
from tfres.engines.optimizer import MomentumSGD
from tfres.engines.steps import Step
from tfres.models.weights import variable_name
from tfres.objectives import EnsembleDistillation

OBJECTIVE = EnsembleDistillation(kd=True, weight_decay=1e-3, decay_on="all", ensemble=True)


def _batch(rng, size=4):
    return {
        "images": tf.constant(rng.integers(0, 256, (size, 16, 16, 3)), tf.uint8),
        "targets": tf.constant(rng.integers(0, 5, size), tf.int32),
        "draws": tf.constant(rng.uniform(size=(size, 5)), tf.float32),
        "shared": tf.zeros([0]),
    }


def _run(network, batch, **arrangement):
    """Terms, gradients and updated statistics; the network's own values are restored."""
    step = Step(network, classification(5, flip="independent"), OBJECTIVE, **arrangement)
    before = network.get_weights()

    @tf.function
    def made():
        terms, grads, scope = step.compute(batch)
        scope.apply()
        return terms, grads

    terms, grads = made()
    after = network.get_weights()
    network.set_weights(before)
    return {k: float(v) for k, v in terms.items()}, [g.numpy() for g in grads], after


def _assert_same(one, other, bound=1e-5):
    terms, grads, weights = one
    assert other[0] == pytest.approx(terms, rel=bound)
    for a, b in zip([*grads, *weights], [*other[1], *other[2]], strict=True):
        assert relative(b, a) < bound or np.abs(b - a).max() < bound * 0.01


@pytest.mark.parametrize("bits", [32, 2])
def test_one_setting_at_a_time(rng, bits):
    """Low-bit networks too: kernels are quantized once per setting, not once per step, to the same values."""
    network, batch = tiny(weight_bits=bits, activation_bits=bits), _batch(rng)
    _assert_same(_run(network, batch), _run(network, batch, low_memory=True))


def test_accumulated_parts(rng):
    """Two equal parts give the terms, gradients and statistics of one; different ones the mean of their gradients."""
    network, one, other = tiny(weight_bits=32, activation_bits=32), _batch(rng), _batch(rng)
    first = _run(network, one)
    _assert_same(first, _run(network, _joined(one, one), accumulate=2))
    _, second, _ = _run(network, other, low_memory=True)
    _, mean, _ = _run(network, _joined(one, other), accumulate=2)
    for a, b, c in zip(first[1], second, mean, strict=True):
        assert relative(c, (a + b) / 2) < 1e-5 or np.abs(c).max() < 1e-7


def _joined(one, other):
    return {name: tf.concat([one[name], other[name]], 0) for name in one}


@pytest.mark.parametrize("model", [LOW_BIT, FLOAT], ids=["2/2", "float"])
def test_public_step_is_the_engines(tmp_path, model):
    """`tfres.training_step` gives the terms, gradients and updates of a step of the keras engine."""
    plan = make_plan(tmp_path, "keras", model=model)
    training, objective, network = plan.recipe.training, plan.objective(), plan.build()
    batch = next(iter(plan.task.training_batches(plan.source, plan.sizes, training.seed, shared=objective.random_numbers)))
    for variable in network.weights:
        variable.assign(plan.start[variable_name(variable)])
    before = {variable_name(variable): variable.numpy() for variable in network.weights}
    step = Step(network, plan.task, objective)
    expected_terms, expected_gradients, _ = step.compute(batch)
    optimizer = MomentumSGD(plan.rate(0), training.momentum, training.nesterov)
    result = tfres.training_step(network, plan.task, objective, optimizer, batch)
    assert {k: float(v) for k, v in result.terms.items()} == pytest.approx({k: float(v) for k, v in expected_terms.items()})
    trainable = [variable_name(variable) for variable in network.trainable_variables]
    found = {name: gradient for name, gradient in zip(trainable, expected_gradients, strict=True) if gradient is not None}
    assert set(result.gradients) == set(found)
    for name, gradient in found.items():
        gradient = tf.convert_to_tensor(gradient)
        assert relative(result.gradients[name], gradient) < 1e-5 or np.abs(result.gradients[name]).max() < 1e-7, name

    engine = TrainingModel(plan)
    terms = tf.function(engine.train_step)(batch)
    assert {k: float(v) for k, v in result.terms.items()} == pytest.approx({k: float(v) for k, v in terms.items()}, rel=1e-5)
    assert set(result.updates) == set(before)
    for variable in engine.network.weights:
        name = variable_name(variable)
        update = variable.numpy() - before[name]
        assert relative(result.updates[name], update) < 1e-3 or np.abs(result.updates[name] - update).max() < 1e-6, name
    moved = [name for name, update in result.updates.items() if np.any(update)]
    assert any(name.endswith("moving_mean") for name in moved) and any(name.endswith("/kernel") for name in moved)
