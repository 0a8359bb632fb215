"""Recipes from the command line, in two steps: architecture and task first, then only the fields that these have."""

from __future__ import annotations

import argparse
import pathlib
from collections.abc import Sequence
from typing import Any

from tfres.cli import Parser, given_fields
from tfres.errors import RecipeError
from tfres.families.recipes import DEFAULT_ARCH, DEFAULT_TASK, kinds, read_recipe
from tfres.files import read_yaml
from tfres.recipe import Recipe

_LARGEST_FILE = 10**6


def read_command_line(parser: Parser, argv: Sequence[str]) -> tuple[argparse.Namespace, Recipe]:
    """The arguments of a parser with the options of a recipe, and the recipe.

    Adds `--recipe FILE`, `--task` and `--group.field` for the fields of the architecture and the task; options win over the
    file.

    Raises:
        RecipeError: an unknown architecture, task or field, a value that is not allowed, or a file that is no recipe.
    """
    parser.add_argument("--recipe", help="YAML file with task, model, objective, data and training; options win over it")
    parser.add_argument("--task", help=f"what the network is trained for (default {DEFAULT_TASK})")
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False, argument_default=argparse.SUPPRESS)
    for name in ("--recipe", "--task", "--model.arch"):
        first.add_argument(name, nargs="?")
    early = vars(first.parse_known_args(argv)[0])
    values = read_recipe_file(early["recipe"]) if early.get("recipe") else {}
    model = values.get("model") if isinstance(values.get("model"), dict) else {}
    arch = early.get("model.arch") or model.get("arch") or DEFAULT_ARCH
    task = early.get("task") or values.get("task") or DEFAULT_TASK
    groups = kinds(_text("arch", arch), _text("task", task))
    for group, kind in groups.items():
        parser.add_fields(group, kind)
    arguments = parser.parse_args(argv)
    merged: dict[str, Any] = {**values, "task": task}
    for group, kind in groups.items():
        given = given_fields(arguments, group, kind)
        if given:
            merged[group] = {**(merged.get(group) or {}), **given}
    return arguments, read_recipe(merged)


def read_recipe_file(path: str) -> dict[str, Any]:
    """The mapping of a recipe's file.

    Raises:
        RecipeError: no file, or not YAML of a mapping.
    """
    place = pathlib.Path(path)
    if not place.is_file() or place.stat().st_size > _LARGEST_FILE:
        raise RecipeError(f"`recipe` must be a YAML file of at most {_LARGEST_FILE} bytes. Received: recipe={path}.")
    values = read_yaml(place, f"`recipe` {path}", RecipeError)
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise RecipeError(f"`recipe` must be a file with a mapping of groups. Received: {path}, {type(values).__name__}.")
    return values


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise RecipeError(f"`{name}` must be text. Received: {name}={value!r}.")
    return value
