"""Adam, schedules and the best checkpoint."""

import json

import numpy as np
import pytest
import tensorflow as tf

from tests.engines.plans import FLOAT, assert_alike, final, make_plan, train
from tests.reference import generator
from tfres.engines.optimizer import Adam, MomentumSGD
from tfres.errors import RecipeError
from tfres.families.networks import load_run
from tfres.families.recipes import read_recipe, resolve_network
from tfres.models.weights import weights_by_name
from tfres.recipe import TrainingOptions, learning_rate
from tfres.run import checkpoints


def test_adam_is_the_formula():
    rng = generator(0)
    weight, m, v = rng.normal(size=(3, 4)), 0.0, 0.0
    variable, optimizer = tf.Variable(weight, dtype=tf.float64), Adam(0.1, 0.8)
    optimizer.build([variable])
    for step in range(1, 6):
        g = rng.normal(size=(3, 4)) * 10.0**-step
        optimizer.apply_gradients([(tf.constant(g), variable)])
        m, v = 0.8 * m + 0.2 * g, 0.999 * v + 0.001 * g**2
        weight = weight - 0.1 * (m / (1 - 0.8**step)) / (np.sqrt(v / (1 - 0.999**step)) + 1e-8)
        np.testing.assert_allclose(variable.numpy(), weight, rtol=1e-6)


@pytest.mark.parametrize("kind", [Adam, MomentumSGD])
def test_a_configuration_makes_the_same_optimizer(kind):
    made = kind(0.25, 0.5)
    again = tf.keras.optimizers.deserialize(tf.keras.optimizers.serialize(made))
    assert isinstance(again, kind) and again.get_config() == made.get_config()


@pytest.mark.parametrize(
    ("kind", "assignments"), [(Adam, {"AssignVariableOp": 3}), (MomentumSGD, {"ResourceApplyMomentum": 1})]
)
def test_a_step_writes_a_weight_once(kind, assignments):
    variable, optimizer = tf.Variable([1.0, 2.0]), kind(0.1)
    optimizer.build([variable])
    graph = tf.function(lambda: optimizer.apply_gradients([(tf.constant([1.0, 1.0]), variable)])).get_concrete_function().graph
    writes = [op.type for op in graph.get_operations() if op.type.startswith(("Assign", "ResourceApply"))]
    writes.remove("AssignAddVariableOp")  # of the number of steps
    assert {name: writes.count(name) for name in {*writes}} == assignments


def test_both_engines_and_a_resumed_run_do_the_same_with_adam(tmp_path):
    options = {"model": FLOAT, "objective": {}, "optimizer": "adam", "learning_rate": 0.01, "epochs": 2, "saves_per_epoch": 1}
    first, other = (train(tmp_path / engine, engine, nesterov=None, **options) for engine in ("keras", "tensorpack"))
    one, two = final(first), final(other)
    assert any(name.endswith("/Adam_1") for name in one)
    assert_alike(one, {name: value for name, value in two.items() if name in one}, bound=1e-3)
    newest = checkpoints.latest_checkpoint(first.checkpoints)
    for path in first.checkpoints.glob(newest.rsplit("/", 1)[1] + ".*"):
        path.unlink()
    train(tmp_path / "keras", "keras", nesterov=None, **options)
    assert_alike(one, final(first), bound=1e-3)


def test_defaults_with_adam():
    recipe = resolve_network(read_recipe({"training": {"optimizer": "adam"}}))
    assert (recipe.training.learning_rate, recipe.training.nesterov) == (0.001, None)
    with pytest.raises(RecipeError, match="`nesterov` must be left out with optimizer adam"):
        TrainingOptions(optimizer="adam", nesterov=True)


def test_poly_is_the_references():
    """After step t the rate becomes base (1 - t / T)^0.9: the first two steps have the base rate, the last is above 0."""
    training, total = TrainingOptions(learning_rate=0.1, schedule="poly", epochs=4), 40
    rates = [learning_rate(training, step, 10) for step in range(total)]
    assert rates[:2] == [0.1, 0.1]
    np.testing.assert_allclose(rates[2:], [0.1 * (1 - (step - 1) / total) ** 0.9 for step in range(2, total)])
    assert learning_rate(training, 100, 10) == 0


@pytest.mark.parametrize("engine", ["keras", "tensorpack"])
def test_the_best_checkpoint_is_kept_and_used(tmp_path, engine, monkeypatch):
    scores = iter([0.1, 0.5, 0.3])
    monkeypatch.setattr(
        "tfres.evaluation.evaluator.Evaluator.__call__", lambda self: {"r16": {"top1": (score := next(scores)), "top5": score}}
    )
    options = {"model": FLOAT, "objective": {}, "epochs": 3, "saves_per_epoch": 1, "keep_checkpoints": 1, "select": "best"}
    run = train(tmp_path / "run", engine, **options)
    steps = json.loads((run.path / "best.json").read_text())
    assert steps == {"step": 8, "score": 0.5} and list(checkpoints.found(run.best)) == [8]
    assert list(checkpoints.found(run.checkpoints)) == [12]
    kept = checkpoints.read_checkpoint(run.checkpoint())
    for name, value in weights_by_name(load_run(run.path)).items():
        np.testing.assert_array_equal(value, kept[name])
    assert run.delete() == [] and not run.path.exists()


def test_the_last_checkpoint_is_used_unless_the_best_is_asked_for(tmp_path):
    plan = make_plan(tmp_path, "keras", model=FLOAT, objective={})
    with pytest.raises(checkpoints.CheckpointError):
        plan.run.checkpoint()
    assert not plan.run.best.exists()
