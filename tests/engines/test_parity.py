"""One training step gives the same losses and variables whichever engine makes it."""

import numpy as np
import pytest
import tensorflow as tf

from tests.engines.plans import LOW_BIT, MUTUAL, final, make_plan, replan, rows, train
from tests.reference import relative
from tfres.engines import keras_engine, tensorpack_engine
from tfres.models.weights import variable_name

tf1 = tf.compat.v1


def keras_step(plan):
    model = keras_engine.TrainingModel(plan)
    shared = plan.objective().random_numbers
    batches = plan.task.training_batches(plan.source, plan.sizes, plan.recipe.training.seed, plan.first_step, shared=shared)
    terms = tf.function(model.train_step)(next(iter(batches)))
    return {k: float(v) for k, v in terms.items()}, {k: v.numpy() for k, v in model.checkpointed().items()}


def tensorpack_step(plan):
    with tf.Graph().as_default():
        trainer, network = tensorpack_engine.build(plan)
        fetches = network.term_fetches()
        with tf1.Session(config=tf1.ConfigProto(allow_soft_placement=True)) as session:
            session.run(tf1.global_variables_initializer())
            for variable in tf1.global_variables():
                if variable_name(variable) in plan.start:
                    variable.load(plan.start[variable_name(variable)], session)
            session.run([op for op in session.graph.get_operations() if op.type == "MakeIterator"])
            _, terms = session.run([trainer.train_op, fetches])
            return terms, {variable_name(v): session.run(v) for v in tf1.global_variables()}


def assert_equal_steps(plan, terms=5, bound=1e-5):
    ours, variables = keras_step(plan)
    others, other_variables = tensorpack_step(plan)
    assert set(ours) == set(others) and len(ours) == terms
    for name, value in ours.items():
        assert others[name] == pytest.approx(value, rel=bound), name
    moved = 0
    for name, value in other_variables.items():
        if name in ("learning_rate", "global_step"):
            continue
        assert relative(value, variables[name]) < bound or np.abs(value - variables[name]).max() < 1e-6, name
        moved += name in plan.start and not np.array_equal(value, plan.start[name])
    return moved / (len([name for name in plan.start if name in other_variables]) - 1)


@pytest.mark.parametrize("basis_update", ["sequential", "pooled", "largest", "private"])
def test_one_step(tmp_path, basis_update):
    plan = make_plan(tmp_path, model={**LOW_BIT, "basis_update": basis_update})
    assert assert_equal_steps(plan) > 0.9


def test_one_step_of_a_mutualnet(tmp_path):
    """The objective's draws come with the batch, so both engines see the same widths and sides."""
    plan = make_plan(tmp_path, model=MUTUAL, data={"fake_size": 16, "lighting": 0.0})
    assert_equal_steps(plan, terms=5, bound=1e-4)


def test_a_mutualnet_trains_in_the_tensorpack_engine(tmp_path):
    """Two steps in both engines: equal losses and metrics, every term of the sandwich rule."""
    options = {"model": MUTUAL, "data": {"fake_size": 16, "lighting": 0.0}, "epochs": 1, "saves_per_epoch": 1}
    runs = {engine: train(tmp_path / engine, engine, **options) for engine in ("keras", "tensorpack")}
    assert all(int(final(run)["global_step"]) == 2 for run in runs.values())
    one, other = (rows(runs[engine])[-1] for engine in ("keras", "tensorpack"))
    names = [name for name in one if name.startswith(("train_", "validation_"))]
    for term in ("cross_entropy", "distillation_w0.5", "distillation_random1", "distillation_random2", "weight_decay"):
        assert f"train_{term}" in names
    for name in names:
        assert float(other[name]) == pytest.approx(float(one[name]), rel=1e-3), name


@pytest.fixture(scope="module")
def one_tower(tmp_path_factory):
    """A plan, and terms and variables after one step of one tower."""
    plan = make_plan(tmp_path_factory.mktemp("plan"))
    return plan, tensorpack_step(plan)


def test_step_of_tensorpack_trainer_moves_the_bases(one_tower):
    _, (_, variables) = one_tower
    counts = {name: value for name, value in variables.items() if name.endswith("basis_updates")}
    assert counts
    for name, value in counts.items():
        assert value == (1 if "weight_quant" in name else 2), name


def test_two_towers_share_one_basis_of_the_whole_batch(one_tower):
    """Two towers with half the batch each: bases from the sums over both, gradients averaged, statistics averaged."""
    plan, (_, whole) = one_tower
    terms, variables = tensorpack_step(replan(plan, devices=[0, 1]))
    assert all(np.isfinite(value) for value in terms.values())
    first = "backbone/group0/block0/conv1/weight_quant/basis"
    np.testing.assert_allclose(variables[first], whole[first], rtol=1e-5)
    assert set(variables) == set(whole)
    moved = [name for name in variables if name.endswith("/kernel")]
    assert moved and all(not np.array_equal(variables[name], plan.start[name]) for name in moved)
