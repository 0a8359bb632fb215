"""Option names of the reference's script as synonyms of recipe fields, and what they name."""

from __future__ import annotations

import argparse
import dataclasses
import pathlib
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tfres.errors import RecipeError
from tfres.files import checked_name

if TYPE_CHECKING:
    from tfres.recipe import Recipe

ACTIONS = {"d": "delete", "b": "backup", "k": "resume", "n": "new", "q": "quit"}
# Synonym -> (option, value); a value of None takes the next argument, `[]` all that follow up to the next option.
SYNONYMS = {
    "--arch": ("--model.arch", None),
    "--depth": ("--model.arch", "resnet{}"),
    "--mode": ("--model.mode", None),
    "--qw": ("--model.weight_bits", None),
    "--qa": ("--model.activation_bits", None),
    "--sizes": ("--model.resolutions", []),
    "--fixed-qa": ("--model.basis_update=largest", ""),
    "--data": ("--data.source", None),
    "--fake": ("--data.source=fake", ""),
    "--batch-size": ("--data.batch_size", None),
    "--lr": ("--training.learning_rate", None),
    "--learning-rate": ("--training.learning_rate", None),
    "--wd": ("--training.weight_decay", None),
    "--weight-decay": ("--training.weight_decay", None),
    "--momentum": ("--training.momentum", None),
    "--lr-decay": ("--training.schedule", None),
    "--schedule": ("--training.milestones", []),
    "--step": ("--training.step_epochs", None),
    "--gamma": ("--training.decay", None),
    "--warmup": ("--training.warmup_epochs=5", ""),
    "--kd": ("--objective.kd=true", ""),
    "--kd-type": ("--objective.kd_type", None),
    "--epochs": ("--training.epochs", None),
    "--engine": ("--training.engine", None),
    "--strategy": ("--training.strategy", None),
    "--seed": ("--training.seed", None),
    "--load": ("--training.load", None),
    "--init": ("--training.init", None),
    "--gpu": ("--training.devices", "[{}]"),
}
_LETTERS = {"-d": "--depth", "-s": "--sizes"}
HELP = "Synonyms: " + ", ".join(
    f"{name} = {target.removeprefix('--')}{'' if value is None or value in ('', []) else '=' + value.format('N')}"
    for name, (target, value) in SYNONYMS.items()
)


def expand(argv: Sequence[str]) -> list[str]:
    """The command line with synonyms replaced by recipe fields.

    Underscores and hyphens in names are the same (`--batch_size`, `--batch-size`).

    Example:
        >>> expand(["--qw", "2", "--sizes", "32", "24", "--kd", "--recipe", "x.yaml"])
        ['--model.weight_bits=2', '--model.resolutions=[32,24]', '--objective.kd=true', '--recipe', 'x.yaml']
    """
    expanded, arguments = [], list(argv)
    while arguments:
        word, equals, value = arguments.pop(0).partition("=")
        name = _LETTERS.get(word, word)
        name = name.replace("_", "-") if "." not in name else name
        if name not in SYNONYMS:
            expanded.append(word + equals + value)
        else:
            expanded.append(_replace(*SYNONYMS[name], [value] if equals else None, arguments))
    return expanded


def _replace(option: str, form: str | list | None, given: list[str] | None, arguments: list[str]) -> str:
    if form == "":
        return option if given is None else f"{option.split('=', maxsplit=1)[0]}={given[0]}"
    if form == []:
        values = given or []
        while given is None and arguments and _is_value(arguments[0]):
            values.append(arguments.pop(0))
        return f"{option}=[{','.join(values)}]"
    if given is None and not (arguments and _is_value(arguments[0])):
        return option
    value = given[0] if given else arguments.pop(0)
    return f"{option}={form.format(value) if form else value}"


def _is_value(word: str) -> bool:
    return not word.startswith("-") or word[1:].replace(".", "", 1).isdigit()


def evaluation(argv: Sequence[str]) -> list[str]:
    """The command line of `tfres.evaluate` for the reference's `--eval -ec RUN [-es SIZE] [-eos SIZE] [--fix_mean_var]`.

    Raises:
        RecipeError: options that do not go together.
    """
    parser = argparse.ArgumentParser(prog="python -m tfres.train --eval", allow_abbrev=False)
    parser.add_argument("--eval", action="store_true")
    parser.add_argument("-ec", required=True, help="run folder to evaluate")
    parser.add_argument("-es", help="size to evaluate at; default all")
    parser.add_argument("-eos", help="trained size whose batch norms are used at size -es")
    parser.add_argument("--fix_mean_var", action="store_true", help="mean and variance from the run with -eos replaced by -es")
    given = parser.parse_args(argv)
    if given.fix_mean_var and given.eos is None:
        raise RecipeError("`--fix_mean_var` needs `-eos SIZE`.")
    words = ["--run", given.ec]
    words += [] if given.es is None else ["--size", given.es]
    words += [] if given.eos is None else ["--evaluation.norms_of", given.eos]
    if given.fix_mean_var:
        words += ["--evaluation.statistics_run", given.ec.replace(str(given.eos), str(given.es))]
    return words


def run_name(recipe: Recipe, arguments: argparse.Namespace) -> pathlib.Path:
    """The run's folder: as given, or runs/ and a name made of what the reference's log directories name.

    Raises:
        RecipeError: a note that is no part of a name.
    """
    for option in ("note", "logdir_id"):
        if getattr(arguments, option):
            checked_name(option, getattr(arguments, option))
    if arguments.run is not None:
        if not arguments.run.strip():
            raise RecipeError(f"`run` must be a folder. Received: run={arguments.run!r}.")
        return pathlib.Path(arguments.run)
    source, usual = recipe.data.source, type(recipe.data)().source
    parts = [recipe.model.arch, *_given(recipe.model, ("arch",)), *_given(recipe.objective)]
    parts += [pathlib.Path(source).name.split("*")[0]] if source != usual else []
    parts += [arguments.note] if arguments.note else []
    return pathlib.Path("runs") / ("-".join(part for part in parts if part) + arguments.logdir_id)


def _given(group: Any, names: Sequence[str] = ()) -> list[str]:
    """Values of a group's fields that are not the usual ones, as parts of a name."""
    texts = []
    for field in dataclasses.fields(group):
        value = getattr(group, field.name)
        usual = field.default_factory() if field.default is dataclasses.MISSING and field.name not in names else field.default
        if field.name in names or value == usual or value is None:
            continue
        text = ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
        texts.append(
            field.name if value is True or len(text) > 40 or isinstance(value, dict) else re.sub(r"[^\w.,]", "", text)
        )
    return texts
