"""Recipes and learning rates."""

import dataclasses
import pathlib

import pytest
import yaml

from tfres.recipe import DataRecipe, ModelRecipe, Recipe, RecipeError, TrainingRecipe, learning_rate
from tfres.train import make_parser, recipe_from

RECIPES = sorted((pathlib.Path(__file__).parents[1] / "experiments").glob("**/*.yaml"))


def test_round_trip():
    recipe = Recipe(ModelRecipe(weight_bits=2, resolutions=[12, 16]), DataRecipe(batch_size=8), TrainingRecipe(kd=True))
    assert Recipe.from_dict(recipe.to_dict()) == recipe
    assert recipe.model.resolutions == [16, 12]


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_committed_recipes_are_valid(path):
    recipe = recipe_from(make_parser().parse_args(["--recipe", str(path)]))
    given = yaml.safe_load(path.read_text())
    for group, values in given.items():
        for name, value in values.items():
            assert getattr(getattr(recipe, group), name) == value


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"modle": {}}, "Unknown recipe key `modle`. Did you mean `model`"),
        ({"model": {"weight_bit": 2}}, "Unknown recipe key `model.weight_bit`. Did you mean `model.weight_bits`"),
        ({"model": {"weight_bits": 9}}, "`weight_bits` must be an integer from 1 to 8, or 32"),
        ({"model": {"resolutions": [32, 32]}}, "`resolutions` must be distinct positive integers"),
        ({"data": {"batch_size": 0}}, "`batch_size` must be positive. Received: batch_size=0"),
        ({"training": {"milestones": [5, 2]}}, "`milestones` must be ascending"),
        ({"training": {"engine": "keras", "devices": [0]}}, "`devices` must be empty with the keras engine"),
        ({"training": {"engine": "tensorpack", "low_memory": True}}, "`low_memory` must be False with the tensorpack engine"),
        ({"training": {"load": "x", "init": "keras_resnet50"}}, "`init` must be left out when `load` is given"),
        ({"data": {"rules": "tensorpack", "antialias": False}}, "`antialias` must be true with rules tensorpack"),
        ({"training": {"ema": 1.5}}, "`ema` must be between 0 and 1"),
        ({"training": {"devices": [0, 1]}, "data": {"batch_size": 7}}, "`batch_size` must be a multiple of the 2 parts"),
    ],
)
def test_errors(values, message):
    with pytest.raises(RecipeError, match=message):
        Recipe.from_dict(values)


def _rates(steps, **fields):
    training = TrainingRecipe(**fields)
    return [learning_rate(training, step, 100) for step in steps]


def test_schedules():
    assert _rates([0, 50, 100], epochs=1, learning_rate=0.2) == pytest.approx([0.2, 0.1, 0.0])
    marks = _rates([2999, 3000, 5999, 6000, 8500, 9500, 10500], epochs=120, learning_rate=0.1, schedule="schedule")
    assert marks == pytest.approx([0.1, 0.01, 0.01, 1e-3, 1e-4, 1e-5, 1e-6])
    marks = _rates([99, 100, 250], epochs=3, learning_rate=0.1, schedule="schedule", milestones=[1, 2.5], decay=0.5)
    assert marks == pytest.approx([0.1, 0.05, 0.025])
    step = _rates([0, 199, 200, 499], epochs=5, learning_rate=0.1, schedule="step", step_epochs=2)
    assert step == pytest.approx([0.1, 0.1, 0.01, 1e-3])
    assert _rates([0, 99], epochs=1, schedule="constant", learning_rate=0.3) == [0.3, 0.3]
    assert _rates([0, 50, 100], epochs=3, schedule="constant", learning_rate=0.4, warmup_epochs=1) == pytest.approx(
        [0, 0.2, 0.4]
    )


def test_every_field_is_documented():
    for kind in (ModelRecipe, DataRecipe, TrainingRecipe):
        for field in dataclasses.fields(kind):
            assert f"        {field.name}: " in kind.__doc__
