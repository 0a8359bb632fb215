"""One sub-network per step: which, who teaches, what is decayed; the family's part of it."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tests.models.test_scalenas import TINY, Regression, make
from tfres.errors import RecipeError
from tfres.families import scalenas
from tfres.models.scalenas import Mask
from tfres.models.scalenas.options import ScaleNASOptions
from tfres.models.scalenas.sampling import SEED_STEP, groups, sample
from tfres.objectives import OneShot
from tfres.objectives.options import OneShotOptions
from tfres.recipe import TrainingOptions


@dataclasses.dataclass
class Parts:
    """A resolved recipe, as far as the family reads it."""

    model: ScaleNASOptions
    objective: OneShotOptions
    training: TrainingOptions = dataclasses.field(default_factory=lambda: TrainingOptions(weight_decay=0.1, decay_on="all"))


def recipe(model=None, **learning):
    options = ScaleNASOptions(**{**TINY, **(model or {})})
    return Parts(options, OneShotOptions(**{**scalenas.defaults(options)["objective"], **learning}))


def test_masks_are_drawn_from_groups_in_turn(monkeypatch):
    monkeypatch.setattr(scalenas, "_options", lambda recipe: recipe.model)
    made = recipe(fusions=[0.5])
    objective = scalenas.objective(made).ready(5)
    assert made.objective.depths == [[1, 2]]
    known = groups([0.5], [[1, 2]], sandwich=True, gathered=False)
    for step in (0, 1, 2, 4, 5, 7):
        fusion, depths = known[step % 5 % 3]
        mask = sample(step * SEED_STEP, made.model.space, fusion, depths, gathered=False)
        np.testing.assert_array_equal(objective.mask(tf.constant(step, tf.int64)), mask.vector(made.model.space))
    assert Mask.full(made.model.space).vector(made.model.space).all() and objective.mask(2).numpy().all()


def test_a_step(rng):
    """One sub-network learns from the targets and from the whole network; without drawing all that are named do."""
    network = make(rng)
    images, targets = tf.constant(rng.normal(size=(2, 64, 96, 3))), rng.normal(size=(2, 16, 24, 5))
    smallest = network.options.mask("smallest").vector(network.options.space)
    drawn = OneShot(kd=True, ratio=0.25, draw=lambda step, per_epoch: smallest, length=len(smallest))
    found = drawn(network, {(64, 96): images}, targets, Regression(), step=3)
    assert [*found.terms] == ["squares", "distillation"] and [*found.outputs] == ["subnet"]
    full = network(images, setting="netfull")
    distance = np.mean(np.square(full - found.outputs["subnet"]))
    assert float(found.terms["distillation"]) == pytest.approx(0.25 * distance)

    both = OneShot()(network, {(64, 96): images}, targets, Regression())
    assert [*both.terms] == ["squares_r64x96-netfull", "squares_r64x96-netsmallest"]
    assert float(both.terms["squares_r64x96-netsmallest"]) == pytest.approx(float(found.terms["squares"]))


def test_a_teacher_is_loaded_once(rng):
    network, made = make(rng), []
    objective = OneShot(kd=True, load=lambda: made.append(network) or network)
    assert objective.teacher is None and objective.ready(3).teacher is network and len(made) == 1
    assert OneShot(load=lambda: made.append(network)).ready(3).teacher is None and len(made) == 1


@pytest.mark.parametrize(
    ("model", "learning", "words"),
    [
        ({"extracted": True}, {"one_shot": True}, "`one_shot` must be false"),
        ({}, {"depths": [[1, 3]]}, "`depths` must be lists of numbers from 1 to 2"),
        ({"extracted": True}, {"kd": True}, "`teacher` must be a run or checkpoint"),
    ],
)
def test_groups_that_do_not_go_together(model, learning, words):
    with pytest.raises(RecipeError, match=words):
        scalenas.check(recipe(model, **learning))


@pytest.mark.parametrize(
    "options", [{"fusions": []}, {"fusions": [2.0]}, {"depths": []}, {"depths": [[0]]}, {"depths": [[]]}, {"ratio": 0.25}]
)
def test_bad_options(options):
    with pytest.raises(RecipeError, match=rf"`{next(iter(options))}` must"):
        OneShotOptions(**options)
