"""The objective over exits: each option by the property that defines it."""

import numpy as np
import pytest
import tensorflow as tf

from tests.models.tiny_exits import pictures, tiny
from tests.tasks.fakes import classification
from tfres.engines.optimizer import MomentumSGD
from tfres.engines.steps import training_step
from tfres.families import find
from tfres.families.recipes import read_recipe, resolve_network
from tfres.models.ranet.layout import lay_out
from tfres.objectives import ExitsObjective

TASK, LABELS = classification(5), tf.constant([0, 3, 1, 4])


@pytest.fixture(scope="module")
def network():
    return tiny(dtype="float64")


def _run(network, objective):
    """Terms, outputs, and gradients of the sum by variable name."""
    images = pictures(4, dtype="float64")
    with tf.GradientTape() as tape:
        outcome = objective(network, {32: images}, LABELS, TASK)
        total = tf.add_n(list(outcome.terms.values()))
    gradients = tape.gradient(total, network.trainable_variables)
    names = [variable.name.removesuffix(":0") for variable in network.trainable_variables]
    terms = {name: float(term) for name, term in outcome.terms.items()}
    return terms, outcome.outputs, dict(zip(names, gradients, strict=True))


@pytest.fixture(scope="module")
def plain(network):
    return _run(network, ExitsObjective())


def test_sum_of_the_losses_of_all_exits(network, plain):
    terms, outputs, _ = plain
    assert list(terms) == [f"cross_entropy_exit{number}" for number in (4, 3, 2, 1)]
    for setting, logits in outputs.items():
        chosen = tf.gather(tf.nn.log_softmax(logits), LABELS, batch_dims=1)
        assert terms[f"cross_entropy_{setting}"] == pytest.approx(-float(tf.reduce_mean(chosen)), rel=1e-12)


def _stage(name, network):
    """The exit of the stage in which a weight of the trunk first acts."""
    number, stages = 1, {"stem": 1}
    for block in lay_out(network.options):
        stages[block.name] = number
        number += block.exit is not None
    return stages[name.split("/")[1]]


def test_equilibrium(network, plain):
    """Stage i of K gets its plain gradient over K - i + 1, heads get theirs; outputs and losses are the same."""
    terms, _, gradients = _run(network, ExitsObjective(equilibrium=True))
    assert terms == plain[0]
    stages = set()
    for name, gradient in gradients.items():
        stage = 4 if name.startswith("heads/") else _stage(name, network)
        stages.add(stage)
        expected = plain[2][name] / (4 - stage + 1)
        size = np.abs(expected).max() + 1e-4  # a bias before a norm has no gradient but rounding
        np.testing.assert_allclose(gradient, expected, rtol=1e-10, atol=1e-10 * size, err_msg=name)
    assert stages == {1, 2, 3, 4}


def test_exit_weights(network, plain):
    """Each factor is of its own exit, the first exit first."""
    weights = [0.5, 0.0, 2.0, 1.0]
    terms, _, gradients = _run(network, ExitsObjective(exit_weights=weights))
    for number, weight in enumerate(weights, 1):
        name = f"cross_entropy_exit{number}"
        assert terms[name] == pytest.approx(weight * plain[0][name], rel=1e-12)
        head = f"heads/exit{number}/linear/kernel"
        np.testing.assert_allclose(gradients[head], weight * plain[2][head], rtol=1e-10, atol=1e-14)


def test_distillation(network, plain):
    """The last exit teaches all others and learns nothing from them."""
    temperature, factor = 3.0, 0.5
    objective = ExitsObjective(kd=True, distillation=factor, temperature=temperature)
    terms, outputs, gradients = _run(network, objective)
    teacher = tf.nn.log_softmax(outputs["exit4"] / temperature)
    total = 0.0
    for number in (1, 2, 3):
        student = tf.nn.log_softmax(outputs[f"exit{number}"] / temperature)
        total += float(tf.reduce_mean(tf.reduce_sum(tf.exp(teacher) * (teacher - student), -1)))
    assert terms["distillation"] == pytest.approx(factor * temperature**2 * total, rel=1e-9)
    assert {name: terms[name] for name in plain[0]} == plain[0]
    for name in gradients:
        if name.startswith("heads/exit4/"):
            np.testing.assert_allclose(gradients[name], plain[2][name], rtol=1e-12, atol=1e-16)
    assert np.abs(gradients["heads/exit1/linear/bias"] - plain[2]["heads/exit1/linear/bias"]).max() > 1e-4
    assert "distillation" not in plain[0]


def test_heads_only_leaves_the_trunk_alone():
    """No gradients, no decay and no new statistics there."""
    network = tiny(scales=[1], channel_factors=[1], bottleneck_factors=[1], step=1)
    objective = ExitsObjective(weight_decay=1e-2, decay_on="all", heads_only=True)
    task = classification(5, side=32, batch_size=4, fake_size=4)
    source = task.open(task.data, 5)
    (batch,) = task.training_batches(source, [32], 0, shared=0).take(1)
    trunk = {variable.name.removesuffix(":0") for variable in network.backbone.weights}
    result = training_step(network, task, objective, MomentumSGD(0.1), batch)
    assert not trunk & set(result.gradients)
    changed = {name for name, change in result.updates.items() if np.any(change)}
    assert not trunk & changed
    assert changed == {variable.name.removesuffix(":0") for variable in network.classifier.weights}
    heads = tf.add_n(
        [
            tf.nn.l2_loss(weight - result.updates[weight.name.removesuffix(":0")])
            for weight in network.classifier.trainable_weights
        ]
    )
    assert float(result.terms["weight_decay"]) == pytest.approx(1e-2 * float(heads), rel=1e-5)


def test_options_of_recipes():
    """Fields of a recipe reach the objective; weights of other exits are refused."""

    def recipe(**objective):
        return resolve_network(read_recipe({"model": {"arch": "ranet_cifar"}, "objective": objective}))

    family = find("ranet_cifar")
    made = family.objective(recipe(distillation=0.5, temperature=2.0, exit_weights=[1, 1, 1, 1, 1, 2], equilibrium=True))
    assert made == ExitsObjective(True, 1e-4, "all", [1, 1, 1, 1, 1, 2], True, 0.5, 2.0)
    assert family.objective(recipe()) == ExitsObjective(False, 1e-4, "all")
    with pytest.raises(ValueError, match="`exit_weights` must be a number for each of the 6 exits"):
        family.check(recipe(exit_weights=[1, 2]))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"exit_weights": []}, "`exit_weights` must be zero or positive"),
        ({"exit_weights": [1, -1]}, "`exit_weights` must be zero or positive"),
        ({"exit_weights": [0, 0]}, "`exit_weights` must be zero or positive"),
        ({"exit_weights": ["x"]}, "`exit_weights` must be a list of numbers"),
        ({"distillation": -1}, "`distillation` must be from 0 to 10000"),
        ({"distillation": 1, "temperature": 0}, "`temperature` must be positive"),
        ({"temperature": 2.0}, "`temperature` must be 1 without `distillation`"),
        ({"heads_only": True, "equilibrium": True}, "`equilibrium` must be false with `heads_only`"),
    ],
)
def test_options_that_are_refused(options, told):
    with pytest.raises(ValueError, match=told):
        read_recipe({"model": {"arch": "ranet_cifar"}, "objective": options})
