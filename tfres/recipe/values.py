"""Dataclasses of options from untrusted values: types, unknown names and words for what is allowed."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import math
import re
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from tfres.errors import RecipeError
from tfres.yaml_file import parse_yaml

_LONGEST_SHOWN = 120
_LARGEST = 2**53  # whole numbers that are exact in every format
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_NOTHING = types.NoneType


def check(condition: bool, name: str, allowed: str, value: Any) -> None:
    """Raise the `RecipeError` of a value that is not allowed.

    Args:
        condition: whether it is allowed.
        name: of the option.
        allowed: what is, to follow "must be".
        value: what came.
    """
    if not condition:
        raise RecipeError(f"`{name}` must be {allowed}. Received: {name}={shown(value)}.")


def shown(value: Any) -> str:
    """The value as it is printed in messages, cut where it is long."""
    text = repr(value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."


def build(kind: type, values: Mapping[str, Any], path: str = "") -> Any:
    """An instance of a dataclass of options.

    Args:
        kind: the dataclass; its annotations say what is allowed.
        values: field -> value.
        path: what stands before an unknown name in messages, such as "training.".

    Raises:
        RecipeError: an unknown name (the nearest is named), a value of another type or out of range.
    """
    return kind(**read_fields(kind, values, path))


def read_fields(kind: type, values: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """The arguments of `build`, read by the fields' annotations."""
    check(isinstance(values, Mapping), path.rstrip(".") or "recipe", "a mapping of names to values", values)
    annotations = fields_of(kind)
    for key in values:
        if key not in annotations:
            raise RecipeError(unknown("recipe key", f"{path}{key}", [f"{path}{name}" for name in annotations]))
    return {key: read_value(key, value, annotations[key]) for key, value in values.items()}


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """The message of an unknown name, with the nearest known one."""
    known = list(known)
    near = difflib.get_close_matches(name, known, n=1)
    return f"Unknown {what} `{name}`." + (f" Did you mean `{near[0]}`?" if near else f" Known: {', '.join(known)}.")


@functools.cache
def fields_of(kind: type) -> dict[str, Any]:
    """Annotation of every field of a dataclass that a recipe may set."""
    hints = typing.get_type_hints(kind)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind) if field.metadata.get("recipe", True)}


@functools.cache
def partial(kind: type, **first: type) -> type:
    """The dataclass with the same fields, each of which may be left out (None).

    Args:
        kind: a dataclass of options.
        first: names and types of fields that stand before and must be given.
    """
    fields: list[Any] = list(first.items())
    fields += [(name, hint | None, dataclasses.field(default=None)) for name, hint in fields_of(kind).items()]
    namespace = {"__doc__": kind.__doc__, "documented": kind}
    return dataclasses.make_dataclass(kind.__name__.replace("Options", "Recipe"), fields, frozen=True, namespace=namespace)


def describe(kind: type, name: str) -> str:
    """What the docstring of a dataclass, or of one it is made of, says of a field."""
    for base in getattr(kind, "documented", kind).__mro__:
        found = re.search(rf"^        {name}: ((?:.|\n {{12}})*)$", base.__doc__ or "", re.MULTILINE)
        if found:
            return " ".join(found[1].split())
    raise KeyError(f"{kind.__name__} does not document {name}")


def read_text(name: str, text: str, annotation: Any) -> Any:
    """A value of a command line; see `read_value`."""
    if str in _alternatives(annotation):
        return None if text == "null" and _NOTHING in _alternatives(annotation) else text
    return read_value(name, parse_yaml(f"value: {text}", f"`{name}`", RecipeError)["value"], annotation)


def read_value(name: str, value: Any, annotation: Any) -> Any:
    """The value as its annotation wants it.

    Raises:
        RecipeError: it is of another type; numbers are finite, whole numbers below 2^53.
    """
    try:
        return _one_of(value, annotation)
    except ValueError as error:
        raise RecipeError(f"`{name}` must be {words(annotation)}. Received: {shown(value)}.") from error


def words(annotation: Any) -> str:
    """What an annotation allows, in words."""
    return " or ".join(map(_words, _alternatives(annotation)))


def _alternatives(annotation: Any) -> tuple[Any, ...]:
    union = typing.get_origin(annotation) in (typing.Union, types.UnionType)
    return typing.get_args(annotation) if union else (annotation,)


def _words(kind: Any, plural: bool = False) -> str:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_words(argument, plural) for argument in arguments)
    if origin is Literal:
        return f"one of {', '.join(map(str, arguments))}"
    if origin in (list, tuple):
        return f"{'lists' if plural else 'a list'} of {_words(arguments[0], plural=True)}"
    if origin is dict:
        keys, values = (_words(argument, plural=True) for argument in arguments)
        return f"{'mappings' if plural else 'a mapping'} of {keys} to {values}"
    one, many = {
        int: ("a whole number", "whole numbers"),
        float: ("a number", "numbers"),
        bool: ("true or false", "true or false"),
        str: ("text", "texts"),
        dict: ("a mapping", "mappings"),
        _NOTHING: ("null", "null"),
    }.get(kind, ("a value", "values"))
    return many if plural else one


def _read(value: Any, kind: Any) -> Any:  # noqa: PLR0911, PLR0912
    """The value as one alternative of an annotation; TypeError or ValueError where it is none."""
    if getattr(value, "shape", None) == ():
        value = value.item()  # a number of numpy's
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Literal:
        if not isinstance(value, (str, int)) or value not in arguments:
            raise ValueError(value)
        return value
    if origin in (list, tuple):
        if isinstance(value, (str, Mapping)):
            raise TypeError(value)
        return origin(_one_of(item, arguments[0]) for item in value)
    if origin is dict:
        if not isinstance(value, Mapping):
            raise TypeError(value)
        keys = [int(key) if arguments[0] is int and str(key).isdecimal() else key for key in value]  # JSON has texts only
        return {
            _one_of(key, arguments[0]): _one_of(item, arguments[1]) for key, item in zip(keys, value.values(), strict=True)
        }
    if kind is Any:
        return value
    if kind is float and isinstance(value, str) and _NUMBER.fullmatch(value):
        value = float(value)  # YAML takes 1e-4 for a text
    if kind is int and isinstance(value, float) and value.is_integer():
        value = int(value) if abs(value) < _LARGEST else value
    numeric = kind in (int, float) and isinstance(value, (int, float)) and not isinstance(value, bool)
    if kind is float and numeric:
        if not math.isfinite(value):
            raise ValueError(value)
        return float(value)
    if not isinstance(value, kind) or (kind is int and not (numeric and abs(value) < _LARGEST)):
        raise TypeError(value)
    return value


def _one_of(value: Any, annotation: Any) -> Any:
    """The value as the first alternative of an annotation that takes it; ValueError where none does."""
    for alternative in _alternatives(annotation):
        try:
            return _read(value, alternative)
        except (TypeError, ValueError, OverflowError):
            continue
    raise ValueError(value)
