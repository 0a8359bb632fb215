"""Recipes of a family and a task: their fields, what fields that are left out become."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from tfres.errors import RecipeError
from tfres.families import Family, find
from tfres.recipe import Recipe, TrainingOptions, check, partial
from tfres.recipe.recipe import GROUPS
from tfres.recipe.values import fields_of, unknown
from tfres.settings import Setting
from tfres.tasks import TASKS, find_task

DEFAULT_ARCH, DEFAULT_TASK = "resnet20", "classification"


def kinds(arch: str, task: str) -> dict[str, type]:
    """The dataclass of every group of a recipe.

    Raises:
        RecipeError: unknown architecture or task, or a task that the family does not have.
    """
    family, options = find(arch), find_task(task).options
    known = [name for name in TASKS if _fits(family, name)]
    check(task in known, "task", f"one of {', '.join(known)} for {arch}", task)
    model = partial(family.model_options, arch=str)
    return {"model": model, "objective": family.objective_options, "data": options, "training": TrainingOptions}


def _fits(family: Family, task: str) -> bool:
    """Whether a family's networks can be trained for a task."""
    return task in family.tasks if family.tasks else TASKS[task].features in family.model_options.heads


def read_recipe(values: Mapping[str, Any]) -> Recipe:
    """A recipe from nested mappings: `task` and the groups `model`, `objective`, `data`, `training`.

    Raises:
        RecipeError: an unknown name (the nearest is named) or a value that is not allowed.
    """
    for name, value in values.items():
        if name not in ("task", *GROUPS):
            raise RecipeError(unknown("recipe key", str(name), ("task", *GROUPS)))
        if name != "task":
            check(value is None or isinstance(value, Mapping), name, "a group of fields", value)
    task, model = values.get("task") or DEFAULT_TASK, dict(values.get("model") or {})
    arch = model.setdefault("arch", DEFAULT_ARCH)
    check(isinstance(task, str), "task", f"one of {', '.join(TASKS)}", task)
    check(isinstance(arch, str), "arch", "the name of a network", arch)
    return Recipe.build(task, kinds(arch, task), {**values, "model": model})


def family_of(recipe: Recipe) -> Family:
    """The family of a recipe's network."""
    return find(recipe.model.arch)


def network_options(recipe: Recipe) -> dict[str, Any]:
    """Constructor arguments of a recipe's network: the preset's, those that the recipe gives, and the head for the task."""
    family, needed = family_of(recipe), find_task(recipe.task).features
    head = {"head": needed} if not family.tasks and needed in family.model_options.heads[1:] else {}
    given = {name: value for name, value in dataclasses.asdict(recipe.model).items() if value is not None and name != "arch"}
    return {**family.presets[recipe.model.arch], **family.tasks.get(recipe.task, {}), **given, **head}


def resolve(recipe: Recipe) -> tuple[Recipe, Any, Any]:
    """Fill in what the recipe leaves to the family, the preset and the data.

    Returns:
        `(resolved recipe, task, source)`.

    Raises:
        RecipeError: values that do not go together, or a number of classes that the data contradicts.
        DataError: no usable data.
    """
    family = family_of(recipe)
    if recipe.training.init is not None:
        recipe = family.pretrained_module(recipe.training.init).prepare(recipe)
    recipe, options = _with_network(recipe, family)
    recipe = recipe.filled(**_defaults(recipe, family, options))
    check(recipe.training.engine in family.engines, "engine", f"one of {', '.join(family.engines)}", recipe.training.engine)
    _check_engine(recipe)
    family.check(recipe)
    low_memory = recipe.training.low_memory
    check(not low_memory or family.objective(recipe).separable, "low_memory", f"false for {family.name}", low_memory)
    usual = max(map(Setting.parse, family.presets[recipe.model.arch]["resolutions"])).resolution
    kind, data = find_task(recipe.task).task, recipe.data.sized(options.resolutions, usual)
    source = kind.open(data, recipe.model.classes)
    classes = recipe.model.classes or len(source.classes)
    check(classes >= len(source.classes), "classes", f"at least the data's {len(source.classes)}", classes)
    data = data.resolved(source)
    recipe = dataclasses.replace(recipe, data=data).replace(model={"classes": classes})
    return recipe, kind(data, source.classes, classes), source


def resolve_network(recipe: Recipe) -> Recipe:
    """The recipe with what the family and the preset fill in, for networks that no data belong to."""
    recipe, options = _with_network(recipe, family_of(recipe))
    return recipe.filled(**_defaults(recipe, family_of(recipe), options))


def _defaults(recipe: Recipe, family: Family, options: Any) -> dict[str, Any]:
    """What the family wants of fields that are left out; rates and Nesterov's form are those of its own optimizer, SGD."""
    wanted = dict(family.defaults(options))
    if recipe.training.optimizer == "adam":
        others = {name: value for name, value in wanted.get("training", {}).items() if name != "nesterov"}
        wanted["training"] = {**others, "learning_rate": 0.001}
    return wanted


def _with_network(recipe: Recipe, family: Family) -> tuple[Recipe, Any]:
    """The recipe with the network's arguments filled in (but the classes, which data may decide), and these checked."""
    from tfres.models.options import read_options

    options = read_options(family.model_options, network_options(recipe))
    known = fields_of(family.model_options)
    values = {name: value for name, value in options.to_dict().items() if name in known and name != "classes"}
    return recipe.replace(model=values), options


def _check_engine(recipe: Recipe) -> None:
    synchronised = recipe.model.synchronised_norms
    wrong = synchronised and recipe.training.engine == "tensorpack"
    check(not wrong, "synchronised_norms", "false with the tensorpack engine (use engine keras)", synchronised)
