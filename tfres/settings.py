"""The setting: one runnable point of a network; the branch: what a resolution adds to it."""

import dataclasses
import functools
import re

# Ways to run at a resolution that was not trained, see `tfres.evaluation.inference`.
INFERENCE = ("proxy", "ideal", "ideal+calibration", "proxy+calibration", "data-free")
_PART = re.compile(r"(?P<axis>exit|net|r|w)(?P<value>[0-9.]+|(?<=net)[A-Za-z0-9_]+)$")


@functools.total_ordering
@dataclasses.dataclass(frozen=True)
class Setting:
    """What a network runs at: resolution, width, exit, sub-network. Hashable; printed as `r160-w0.75`.

    Args:
        resolution: input side in pixels.
        width_mult: width multiplier.
        exit: number of the exit, from 1.
        subnet: name of a sub-network (letters, digits, underscores).

    Settings sort from cheap to costly: by resolution, width, exit, name (numbers in it by value); an axis that is not given
    comes first.

    Example:
        >>> str(Setting(resolution=160, width_mult=0.75)), Setting.parse("r96")
        ('r160-w0.75', Setting(resolution=96, width_mult=None, exit=None, subnet=None))
    """

    resolution: int | None = None
    width_mult: float | None = None
    exit: int | None = None
    subnet: str | None = None

    def __post_init__(self):
        for name in ("resolution", "width_mult", "exit"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"`{name}` of a setting must be positive. Received: {name}={value!r}.")
        if self.subnet is not None and not re.fullmatch(r"\w+", self.subnet):
            raise ValueError(f"`subnet` must be letters, digits and underscores. Received: subnet={self.subnet!r}.")

    def __str__(self):
        parts = (("r", self.resolution), ("w", self.width_mult), ("exit", self.exit), ("net", self.subnet))
        return "-".join(f"{axis}{value:g}" if axis == "w" else f"{axis}{value}" for axis, value in parts if value)

    def __lt__(self, other):
        return self._order() < other._order()

    def _order(self):
        name = [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", self.subnet or "")]
        return (self.resolution or 0, self.width_mult or 0, self.exit or 0, name)

    @classmethod
    def parse(cls, value):
        """A setting from its printed form, from an integer or its digits (a resolution) or from a setting.

        Raises:
            ValueError: the text is not a setting.
        """
        if isinstance(value, cls):
            return value
        if str(value).isdigit():
            return cls(resolution=int(value))
        fields = {}
        for part in str(value).split("-"):
            match = _PART.match(part)
            if match is None:
                raise ValueError(f"A setting looks like 'r160', 'r160-w0.75', 'exit3' or 'netA'. Received: {value!r}.")
            axis, text = match["axis"], match["value"]
            name = {"r": "resolution", "w": "width_mult", "exit": "exit", "net": "subnet"}[axis]
            fields[name] = text if axis == "net" else float(text) if axis == "w" else int(text)
        return cls(**fields)


@dataclasses.dataclass(frozen=True)
class Branch:
    """What a resolution that was not trained adds to a network.

    Args:
        norms: variable's name -> array, of all batch norms.
        encoding: of a SAN; None for the resolution's own.
    """

    norms: dict
    encoding: float | None = None


def next_smaller(trained, resolution):
    """The trained resolution whose norms a resolution without its own uses: the next smaller one, else the smallest."""
    return max((r for r in trained if r <= resolution), default=min(trained))
