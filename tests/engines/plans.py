"""A complete small plan: 2/2 bits, two resolutions, distillation, random pictures."""

import dataclasses

from tfres.engines.training import Plan, epoch_steps, starting_values

from tfres import session
from tfres.models.rsnet import RSNet
from tfres.recipe import DataRecipe, ModelRecipe, Recipe, TrainingRecipe
from tfres.run import Run


def make_recipe(engine="tensorpack", **training):
    """A resolved recipe and its source."""
    recipe = Recipe(
        ModelRecipe(weight_bits=2, activation_bits=2, resolutions=[16, 12], classes=5),
        DataRecipe(source="fake", batch_size=8, fake_size=32, side=16, lighting=0.1),
        TrainingRecipe(**{"engine": engine, "kd": True, "epochs": 2, "saves_per_epoch": 2, "learning_rate": 0.02, **training}),
    )
    return session.resolve(recipe)


def build_model(basis_update="sequential"):
    model = RSNet(
        widths=(4, 6),
        blocks=(1, 1),
        stem="cifar",
        resolutions=(16, 12),
        classes=5,
        weight_bits=2,
        activation_bits=2,
        basis_update=basis_update,
    )
    model.build()
    return model


def make_plan(folder, engine="tensorpack", **training):
    recipe, source = make_recipe(engine, **training)
    run = Run(folder / engine)
    if not run.exists():
        run.create(recipe, {"classes": source.classes})
    start = starting_values(recipe, run, build_model)
    return Plan(recipe, run, source, build_model, start, *epoch_steps(recipe, source))


def replan(plan, **training):
    """The plan with other training fields."""
    return dataclasses.replace(
        plan, recipe=dataclasses.replace(plan.recipe, training=dataclasses.replace(plan.recipe.training, **training))
    )
