"""One training step gives the same losses and variables whichever engine makes it."""

import dataclasses
import functools

import numpy as np
import pytest
import tensorflow as tf
from tfres.data.pipeline import training_batches
from tfres.engines.training import variable_name, weights_by_name

from tests.engines.plans import build_model, replan
from tests.reference import relative
from tfres.engines import keras_engine, tensorpack_engine

tf1 = tf.compat.v1


def keras_step(plan):
    model = keras_engine.TrainingModel(plan)
    recipe = plan.recipe
    batches = training_batches(plan.source, recipe.data, recipe.training.seed, plan.first_step, model.crop.draws)
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


@pytest.mark.parametrize("basis_update", ["sequential", "pooled", "largest", "private"])
def test_one_step(plan, basis_update):
    plan = dataclasses.replace(plan, build_model=functools.partial(build_model, basis_update=basis_update))
    plan.start = {**weights_by_name(plan.build_model()), **{k: v for k, v in plan.start.items() if "basis" not in k}}
    terms, variables = keras_step(plan)
    other_terms, other_variables = tensorpack_step(plan)
    assert set(terms) == set(other_terms) and len(terms) == 5
    for name, value in terms.items():
        assert other_terms[name] == pytest.approx(value, rel=1e-5), name
    moved = 0
    for name, value in other_variables.items():
        if name in ("learning_rate", "global_step"):
            continue
        assert relative(value, variables[name]) < 1e-5 or np.abs(value - variables[name]).max() < 1e-6, name
        moved += name in plan.start and not np.array_equal(value, plan.start[name])
    assert moved > 0.9 * len([name for name in plan.start if name in other_variables]) - 1


def test_step_of_tensorpack_trainer_moves_the_bases(plan):
    _, variables = tensorpack_step(plan)
    for name, value in variables.items():
        if name.endswith("basis_updates"):
            assert value == (1 if "weight_quant" in name else 2), name


def test_two_towers_share_one_basis_of_the_whole_batch(plan):
    """Two towers with half the batch each: bases from the sums over both, gradients averaged, statistics averaged."""
    two = replan(plan, devices=[0, 1])
    terms, variables = tensorpack_step(two)
    assert all(np.isfinite(value) for value in terms.values())
    _, whole = tensorpack_step(plan)
    first = "backbone/group0/block0/conv1/weight_quant/basis"
    np.testing.assert_allclose(variables[first], whole[first], rtol=1e-5)
    assert set(variables) == set(whole)
    moved = [name for name in variables if name.endswith("/kernel")]
    assert all(not np.array_equal(variables[name], plan.start[name]) for name in moved)
