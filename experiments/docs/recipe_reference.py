"""Tables of all fields of recipes, from the dataclasses that define them."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterable, Mapping
from typing import Any

from tfres.errors import RecipeError
from tfres.families import FAMILIES
from tfres.families.family import Family
from tfres.models.options import read_options
from tfres.options import SYNONYMS
from tfres.recipe import EvaluationOptions, TrainingOptions, describe
from tfres.recipe.values import fields_of, words
from tfres.tasks import TASKS

_LISTED = 60  # characters of a list of conditions


def table(heads: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    """A Markdown table; vertical bars in cells are escaped."""
    lines = [[*heads], *([str(cell).replace("|", "\\|") for cell in row] for row in rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def fields(group: str, kind: type) -> str:
    """The fields of a dataclass of options."""
    own = {field.name: field for field in dataclasses.fields(kind)}
    rows = []
    for name, annotation in fields_of(kind).items():
        rows.append([f"`{name}`{_short(group, name)}", describe(kind, name), words(annotation), _value(_default(own[name]))])
    return table(("field", "what it is", "allowed", "default"), rows)


def architectures() -> str:
    """Names for `model.arch`."""
    rows = []
    for family in FAMILIES.values():
        for name in family.presets:
            options = read_options(family.model_options, family.presets[name])
            rows.append([f"`{name}`", family.name, " ".join(map(str, options.resolutions)), options.classes])
    return table(("`arch`", "family", "resolutions", "classes without data"), rows)


def models() -> str:
    """Fields of `model`, family by family."""
    return "\n\n".join(f"### {name}\n\n{fields('model', family.model_options)}" for name, family in FAMILIES.items())


def objectives() -> str:
    """Fields of `objective`, family by family."""
    return "\n\n".join(
        f"### How {name} learns\n\n{fields('objective', family.objective_options)}" for name, family in FAMILIES.items()
    )


def data() -> str:
    """Fields of `data`, task by task."""
    return "\n\n".join(f"### Data of {name}\n\n{fields('data', entry.options)}" for name, entry in TASKS.items())


def training() -> str:
    """Fields of `training`."""
    return fields("training", TrainingOptions)


def evaluation() -> str:
    """Fields of `evaluation`."""
    return fields("evaluation", EvaluationOptions)


def family_defaults() -> str:
    """What each family fills into fields that are left out, in all its variants."""
    columns = {label: values for family in FAMILIES.values() for label, values in _variants(family)}
    names = list(dict.fromkeys(name for values in columns.values() for name in values))
    rows = [[f"`{name}`", *(_value(values[name]) if name in values else "" for values in columns.values())] for name in names]
    return table(("field", *columns), rows)


def _variants(family: Family) -> list[tuple[str, Mapping[str, Any]]]:
    """`(label, "group.field" -> value)` of everything that the family's defaults can be."""
    found: list[tuple[dict[str, Any], list[str], list[str]]] = []
    for arch, preset in family.presets.items():
        for name, value in _changes(family.model_options):
            try:
                options = read_options(family.model_options, {**preset, **({name: value} if name else {})})
            except RecipeError:
                continue  # these do not go together
            flat = {f"{g}.{f}": v for g, fields in family.defaults(options).items() for f, v in fields.items()}
            entry = next((entry for entry in found if entry[0] == flat), None)
            if entry is None:
                found.append(entry := (flat, [], []))
            entry[1 if name else 2].append(f"{name} {value}" if name else arch)
    labels = []
    for number, (flat, changes, presets) in enumerate(found):
        told = ", ".join(dict.fromkeys(presets or changes))
        told = told if len(told) <= _LISTED else ", ".join(dict.fromkeys(arch.split("_")[0] + "_\\*" for arch in presets))
        labels.append((family.name if number == 0 else f"{family.name}: {told}", flat))
    return labels


def _changes(kind: type) -> list[tuple[str | None, Any]]:
    """No change, and every word of every field that takes words."""
    changes: list[tuple[str | None, Any]] = [(None, None)]
    for name, annotation in fields_of(kind).items():
        for part in (annotation, *typing.get_args(annotation)):
            if typing.get_origin(part) is typing.Literal:
                changes += [(name, word) for word in typing.get_args(part)]
    return changes


def _short(group: str, name: str) -> str:
    """The short options of a field."""
    target = f"--{group}.{name}"
    found = [
        short + (" ..." if value == [] else "")
        for short, (option, value) in SYNONYMS.items()
        if option.split("=")[0] == target
    ]
    return f" ({', '.join(f'`{short}`' for short in found)})" if found else ""


def _default(field: dataclasses.Field) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return None if field.default is dataclasses.MISSING else field.default


def _value(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_value, value))}]"
    return f"{value:g}" if isinstance(value, float) else str(value) if not isinstance(value, dict) else "{}"


SECTIONS = {
    "architectures": architectures,
    "models": models,
    "objectives": objectives,
    "data": data,
    "training": training,
    "evaluation": evaluation,
    "family-defaults": family_defaults,
}
