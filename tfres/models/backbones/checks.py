"""Checks of the backbones' arguments; all raise ValueError."""

from __future__ import annotations

import math
import numbers
from collections.abc import Collection, Sequence
from typing import Any


def whole_number(name: str, value: Any) -> int:
    """A positive whole number."""
    if not _whole(value) or value < 1:
        raise ValueError(f"`{name}` must be a positive whole number. Received: {name}={value!r}.")
    return int(value)


def whole_numbers(name: str, values: Any) -> list[int]:
    """A sequence of positive whole numbers, at least one."""
    listed = isinstance(values, Sequence) and not isinstance(values, (str, bytes))
    if not listed or not values or not all(_whole(value) and value > 0 for value in values):
        raise ValueError(f"`{name}` must be a list of positive whole numbers. Received: {name}={values!r}.")
    return [int(value) for value in values]


def number(name: str, value: Any, allowed: str, low: float, high: float = math.inf) -> float:
    """A finite number `low <= value < high`, which `allowed` says in words."""
    real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not real or not math.isfinite(value) or not low <= value < high:
        raise ValueError(f"`{name}` must be {allowed}. Received: {name}={value!r}.")
    return float(value)


def choice(name: str, value: Any, allowed: Collection[str]) -> str:
    """One of some words."""
    if not isinstance(value, str) or value not in allowed:
        words = " or ".join(allowed) if len(allowed) == 2 else f"one of {', '.join(allowed)}"
        raise ValueError(f"`{name}` must be {words}. Received: {name}={value!r}.")
    return value


def switch(name: str, value: Any) -> bool:
    """True or False."""
    if not isinstance(value, bool):
        raise ValueError(f"`{name}` must be True or False. Received: {name}={value!r}.")
    return value


def _whole(value: Any) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)
