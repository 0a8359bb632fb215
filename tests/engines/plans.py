"""Complete small recipes, plans and runs: 2/2 bits or float, two resolutions, random pictures."""

import csv
import dataclasses

import numpy as np

from tests.reference import relative
from tfres.engines import plan as plans
from tfres.families.networks import describe_network
from tfres.families.recipes import read_recipe, resolve
from tfres.run import Run, checkpoints

LOW_BIT = {"arch": "resnet20", "blocks": [1, 1], "widths": [4, 6], "weight_bits": 2, "activation_bits": 2}
FLOAT = {"arch": "resnet20", "mode": "float", "blocks": [1], "widths": [4]}
MUTUAL = {"arch": "mutual_wideresnet10_2", "widths": [8, 16, 24, 32], "width_range": [0.5, 1.0]}


def make_recipe(engine="tensorpack", model=LOW_BIT, data=None, objective=None, **training):
    """A resolved recipe, its task and its source."""
    return resolve(
        read_recipe(
            {
                "model": {"resolutions": [16, 12], "classes": 5, **model},
                "data": {"source": "fake", "batch_size": 8, "fake_size": 32, "side": 16, "lighting": 0.1, **(data or {})},
                "objective": {"kd": True} if objective is None else objective,
                "training": {"engine": engine, "epochs": 2, "saves_per_epoch": 2, "learning_rate": 0.02, **training},
            }
        )
    )


def create(folder, recipe, task, source):
    """The run of a recipe."""
    run = Run(folder)
    steps, _ = plans.epoch_steps(recipe, task, source)
    run.create(recipe.to_dict(), {"classes": source.classes, "steps_per_epoch": steps})
    run.write_network(describe_network(recipe))
    return run


def make_plan(folder, engine="tensorpack", **options):
    """The plan of a new run."""
    recipe, task, source = make_recipe(engine, **options)
    return plans.make_plan(recipe, create(folder / engine, recipe, task, source), task, source)


def train(folder, engine="tensorpack", **options):
    """A run that is trained to its end."""
    recipe, task, source = make_recipe(engine, **options)
    run = create(folder, recipe, task, source)
    plans.train(recipe, run, task, source)
    return run


def train_float(folder, **options):
    """A float run of the keras engine: one epoch of two steps."""
    options = {"epochs": 1, "saves_per_epoch": 1, "objective": {}, "model": FLOAT, **options}
    return train(folder, "keras", data={"fake_size": 16, "lighting": 0.0}, **options)


def final(run):
    """Tensors of a run's newest checkpoint."""
    return checkpoints.read_checkpoint(checkpoints.latest_checkpoint(run.checkpoints))


def rows(run):
    """Rows of a run's `metrics.csv`."""
    with open(run.path / "metrics.csv") as file:
        return list(csv.DictReader(file))


def replan(plan, **training):
    """The plan with other training fields."""
    return dataclasses.replace(plan, recipe=plan.recipe.replace(training=training))


def assert_alike(one, other, bound=1e-4, smallest=1e-6):
    """Equal tensors of equal names, but for `bound` of their norm or `smallest` each."""
    assert set(one) == set(other)
    for name, value in one.items():
        assert relative(other[name], value) < bound or np.abs(other[name] - value).max() < smallest, name
