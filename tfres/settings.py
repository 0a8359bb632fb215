"""The setting: one runnable point of a network. `Private`: what belongs to one setting alone."""

from __future__ import annotations

import dataclasses
import decimal
import functools
import math
import numbers
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np

# Ways to run at a resolution that was not trained, see `tfres.evaluation.measuring`.
INFERENCE = ("proxy", "ideal", "ideal+calibration", "proxy+calibration", "data-free")
# Largest side in pixels (that of a JPEG file) and largest number of an exit.
LARGEST_SIDE, LARGEST_EXIT = 65535, 999
_NUMBER = "[1-9][0-9]{0,8}"
_PARTS = {
    "resolution": re.compile(f"r({_NUMBER})(?:x({_NUMBER}))?", re.ASCII),
    "width_mult": re.compile(r"w([0-9]{1,20}(?:\.[0-9]{1,400})?)", re.ASCII),
    "exit": re.compile(f"exit({_NUMBER})", re.ASCII),
    "subnet": re.compile("net([A-Za-z0-9_]{1,100})"),
}


@functools.total_ordering
@dataclasses.dataclass(frozen=True)
class Setting:
    """What a network runs at: resolution, width, exit, sub-network. Hashable; printed as `r160-w0.75`.

    At least one axis must be given. The printed form parses back to an equal setting.

    Args:
        resolution: input side in pixels, or `(height, width)`; a square pair becomes the one side.
        width_mult: width multiplier, positive and finite.
        exit: number of the exit, from 1.
        subnet: name of a sub-network (letters, digits, underscores).

    Settings sort from cheap to costly: by pixels, width, exit, name (numbers in it by value); an axis that is not given
    comes first.

    Raises:
        ValueError: an axis of another type or out of range, or no axis at all.

    Example:
        >>> str(Setting(resolution=(512, 1024), width_mult=0.75)), Setting.parse("r96")
        ('r512x1024-w0.75', Setting(resolution=96, width_mult=None, exit=None, subnet=None))
    """

    resolution: int | tuple[int, int] | None = None
    width_mult: float | None = None
    exit: int | None = None
    subnet: str | None = None

    def __post_init__(self) -> None:
        checks = {"resolution": _checked_resolution, "width_mult": _checked_width, "exit": _checked_exit}
        for name, check in {**checks, "subnet": _checked_subnet}.items():
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, check(value))
        if not any(getattr(self, name) is not None for name in _PARTS):
            raise ValueError("A setting must have a `resolution`, `width_mult`, `exit` or `subnet`. Received: none of them.")

    @property
    def sides(self) -> tuple[int, int] | None:
        """Height and width of the input in pixels, or None."""
        return (self.resolution, self.resolution) if isinstance(self.resolution, int) else self.resolution

    def __str__(self) -> str:
        parts = []
        if self.resolution is not None:
            parts.append(
                "r" + (str(self.resolution) if isinstance(self.resolution, int) else "{}x{}".format(*self.resolution))
            )
        if self.width_mult is not None:
            parts.append(f"w{_shortest(self.width_mult)}")
        if self.exit is not None:
            parts.append(f"exit{self.exit}")
        if self.subnet is not None:
            parts.append(f"net{self.subnet}")
        return "-".join(parts)

    def __lt__(self, other: object) -> bool:
        return self._order() < other._order() if isinstance(other, Setting) else NotImplemented

    def _order(self) -> tuple:
        sides = self.sides or (0, 0)
        name = [int(part) if place % 2 else part for place, part in enumerate(re.split("([0-9]+)", self.subnet or ""))]
        return (sides[0] * sides[1], sides, self.width_mult or 0, self.exit or 0, name, self.subnet or "")

    @classmethod
    def parse(cls, value: object) -> Setting:
        """A setting from its printed form, from a resolution (a number, a pair, or its text: "360x480") or from a setting.

        Raises:
            ValueError: the value is not a setting.
        """
        if isinstance(value, cls):
            return value
        if _is_whole(value) or isinstance(value, tuple):
            return cls(resolution=value)
        fields = {}
        for part in value.split("-") if isinstance(value, str) else [""]:
            part = f"r{part}" if part == value and re.fullmatch(f"{_NUMBER}(x{_NUMBER})?", part) else part
            matches = [(axis, form.fullmatch(part)) for axis, form in _PARTS.items()]
            axis, match = next(((axis, match) for axis, match in matches if match), (None, None))
            if axis is None or axis in fields:
                raise ValueError(
                    "A setting looks like 'r160', 'r512x1024', 'r160-w0.75', 'exit3' or 'netA', every axis at most once. "
                    f"Received: {_shown(value)}."
                )
            fields[axis] = match
        read = {
            "resolution": lambda m: int(m[1]) if m[2] is None else (int(m[1]), int(m[2])),
            "width_mult": lambda m: float(m[1]),
            "exit": lambda m: int(m[1]),
            "subnet": lambda m: m[1],
        }
        return cls(**{axis: read[axis](match) for axis, match in fields.items()})


@dataclasses.dataclass(frozen=True, eq=False)
class Private:
    """What belongs to one setting of a network and to no other.

    Args:
        values: variable's name -> array, of all variables that are the setting's own.
        options: arguments of the network's constructor that change with it (JSON-able), such as `{"encodings": {"208": 0.6}}`.
    """

    values: dict[str, np.ndarray]
    options: dict[str, Any] = dataclasses.field(default_factory=dict)


Resolution = int | tuple[int, int]


def mean_side(resolution: Resolution) -> float:
    """Side in pixels of the square that has as many pixels."""
    return resolution if isinstance(resolution, int) else math.sqrt(resolution[0] * resolution[1])


def next_smaller(trained: Iterable[Resolution], resolution: Resolution) -> Resolution:
    """The trained resolution whose norms a resolution without its own uses: the next smaller one, else the smallest."""
    trained, most = list(trained), mean_side(resolution)
    return max((r for r in trained if mean_side(r) <= most), default=min(trained, key=mean_side), key=mean_side)


def _is_whole(value: object) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:100]}..."


def _shortest(value: float) -> str:
    """The shortest text without an exponent that reads back as the same number, whole numbers without a point."""
    text = format(decimal.Decimal(repr(value)), "f")
    return text.removesuffix(".0")


def _checked_resolution(value: object) -> int | tuple[int, int]:
    sides = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    if len(sides) != 2 or not all(_is_whole(side) and 1 <= side <= LARGEST_SIDE for side in sides):
        raise ValueError(
            f"`resolution` of a setting must be whole pixels from 1 to {LARGEST_SIDE}, or a pair of them (height, width). "
            f"Received: resolution={_shown(value)}."
        )
    height, width = int(sides[0]), int(sides[1])
    return height if height == width else (height, width)


def _checked_width(value: object) -> float:
    number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or not 1e-9 <= value <= 1e9:
        raise ValueError(f"`width_mult` of a setting must be a positive, finite number. Received: width_mult={_shown(value)}.")
    return float(value)


def _checked_exit(value: object) -> int:
    if not _is_whole(value) or not 1 <= value <= LARGEST_EXIT:
        raise ValueError(
            f"`exit` of a setting must be a whole number from 1 to {LARGEST_EXIT}. Received: exit={_shown(value)}."
        )
    return int(value)


def _checked_subnet(value: object) -> str:
    if not isinstance(value, str) or not _PARTS["subnet"].fullmatch(f"net{value}"):
        raise ValueError(
            f"`subnet` of a setting must be at most 100 letters, digits and underscores. Received: subnet={_shown(value)}."
        )
    return value
