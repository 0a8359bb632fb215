"""Checks of constructor arguments; every error tells the argument, what is allowed and what was received."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Iterable


def wrong(name: str, allowed: str, value: object) -> ValueError:
    """The error of an argument, to be raised by the caller."""
    return ValueError(f"`{name}` must be {allowed}. Received: {name}={value!r}.")


def whole(name: str, value: object, least: int = 1) -> int:
    """`value` as an int.

    Raises:
        ValueError: it is no integer, or less than `least`.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < least:
        raise wrong(name, "a positive integer" if least == 1 else f"an integer of at least {least}", value)
    return int(value)


def pair(name: str, value: object) -> tuple[int, int]:
    """Two positive integers, from one or from two of them.

    Raises:
        ValueError: anything else.
    """
    values = [value, value] if isinstance(value, numbers.Integral) else value
    try:
        first, second = (whole(name, entry) for entry in values)
    except (TypeError, ValueError):
        raise wrong(name, "a positive integer or two of them", value) from None
    return first, second


def number(name: str, value: object, allowed: str, holds: Callable[[float], bool] = lambda value: True) -> float:
    """`value` as a float.

    Args:
        name: of the argument.
        value: what was given.
        allowed: words for the error.
        holds: the condition beyond being a finite number.

    Raises:
        ValueError: it is no finite number, or `holds` does not.
    """
    real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not real or not math.isfinite(value) or not holds(value):
        raise wrong(name, allowed, value)
    return float(value)


def flag(name: str, value: object) -> bool:
    """`value`, which must be True or False.

    Raises:
        ValueError: anything else.
    """
    if not isinstance(value, bool):
        raise wrong(name, "True or False", value)
    return value


def choice(name: str, value: object, allowed: Iterable[str]) -> str:
    """`value`, which must be one of the allowed words.

    Raises:
        ValueError: anything else.
    """
    allowed = list(allowed)
    if not isinstance(value, str) or value not in allowed:
        raise wrong(name, f"one of {', '.join(allowed)}", value)
    return value


def names(name: str, values: object, least: int = 1) -> list[str]:
    """The printed forms of a list of settings.

    Raises:
        ValueError: it is no list, has fewer than `least` entries or one twice.
    """
    listed = [] if isinstance(values, (str, bytes)) or not isinstance(values, Iterable) else [str(entry) for entry in values]
    refused = isinstance(values, (str, bytes)) or not isinstance(values, Iterable)
    if refused or len(listed) < least or len(set(listed)) < len(listed) or not all(listed):
        raise wrong(name, "distinct and at least one" if least else "a list of distinct settings", values)
    return listed
