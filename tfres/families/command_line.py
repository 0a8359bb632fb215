"""Recipes from the command line, in two steps: architecture and task first, then only the fields that these have."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from tfres.cli import Parser, given_fields
from tfres.errors import RecipeError
from tfres.families.recipes import DEFAULT_ARCH, DEFAULT_TASK, kinds, read_recipe
from tfres.recipe import Recipe, check
from tfres.yaml_file import read_yaml


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
    values = read_yaml(early["recipe"], RecipeError) if early.get("recipe") else {}
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
        check(isinstance(merged.get(group) or {}, dict), group, "a group of fields", merged.get(group))
        if given:
            merged[group] = {**(merged.get(group) or {}), **given}
    return arguments, read_recipe(merged)


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise RecipeError(f"`{name}` must be text. Received: {name}={value!r}.")
    return value
