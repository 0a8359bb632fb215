"""Policies of early exit: at which exit a picture leaves. Needs nothing but Python."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from tfres.errors import UsageError
from tfres.files import read_json, write_json
from tfres.settings import LARGEST_EXIT

if TYPE_CHECKING:
    import os

# Difference of the two largest log-probabilities; largest probability; negative entropy in nats.
SCORES = ("margin", "probability", "entropy")
# How thresholds are found: ours for a budget or an accuracy, the published one, by hand.
RULES = ("joint", "reference", "given")
_FINGERPRINT = re.compile("[0-9a-f]{8,128}")
_LARGEST = 3.4e38  # of float32, which served graphs compute in
_LONGEST_SHOWN = 80


class PolicyError(UsageError):
    """A policy that is none, or that is not for this network."""


@dataclasses.dataclass(frozen=True)
class Policy:
    """Where pictures leave: at the first exit whose score is at least its threshold; the last exit takes the rest.

    The logits of exit `k` are divided by `temperatures[k]`, then scored. A score that is NaN never leaves.

    Args:
        score: "margin" (difference of the two largest log-probabilities), "probability" (the largest one) or "entropy"
            (the negative entropy in nats).
        thresholds: one for every exit but the last; None where nobody leaves.
        temperatures: one for every exit, positive.
        exits: numbers of the exits, ascending.
        network: fingerprint (hex digits) of the weights that the policy was calibrated for; None fits all.
        shares: part of the calibration pictures that left at each exit.
        calibration: what it was calibrated on and for, such as {"split": "calibration", "pictures": 5000}; anything that
            JSON can hold.
        rule: "joint", "reference" (thresholds of the published rule) or "given" (by hand).

    Raises:
        PolicyError: a field of another type, length or range.
    """

    score: str
    thresholds: tuple[float | None, ...]
    temperatures: tuple[float, ...]
    exits: tuple[int, ...]
    network: str | None = None
    shares: tuple[float, ...] | None = None
    calibration: Mapping[str, Any] = dataclasses.field(default_factory=dict, hash=False)
    rule: str = "joint"

    def __post_init__(self) -> None:
        values = {
            "score": _word("score", self.score, SCORES),
            "exits": _checked_exits(self.exits),
            "network": None if self.network is None else _checked_fingerprint("network", self.network),
            "calibration": _checked_calibration(self.calibration),
            "rule": _word("rule", self.rule, RULES),
        }
        number = len(values["exits"])
        values["thresholds"] = _numbers("thresholds", self.thresholds, number - 1, none=True)
        values["temperatures"] = _numbers("temperatures", self.temperatures, number)
        if min(values["temperatures"]) <= 0:
            _refuse("temperatures", "positive", self.temperatures)
        if self.shares is not None:
            values["shares"] = _numbers("shares", self.shares, number)
            if min(values["shares"]) < 0 or abs(sum(values["shares"]) - 1) > 1e-3:
                _refuse("shares", "from 0 to 1 with sum 1", self.shares)
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON holds them; `from_dict` reads them."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}

    @classmethod
    def from_dict(cls, values: object, place: str = "the policy") -> Policy:
        """The policy of a mapping that may come from anywhere.

        Args:
            values: field -> value, such as `to_dict` makes them.
            place: of the mapping, to begin messages with.

        Raises:
            PolicyError: it is no mapping, a field is unknown, missing or wrong; names the place and the field.
        """
        if not isinstance(values, Mapping):
            raise PolicyError(f"{place} must be a mapping of fields to values. Received: {type(values).__name__}.")
        fields = {field.name: field for field in dataclasses.fields(cls)}
        strange = [name for name in values if name not in fields]
        if strange:
            raise PolicyError(f"{place} has an unknown field {_shown(strange[0])}. Known: {', '.join(fields)}.")
        for name, field in fields.items():
            no_default = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
            if no_default and name not in values:
                raise PolicyError(f"{place} must have the field `{name}`.")
        try:
            return cls(**values)
        except PolicyError as error:
            raise PolicyError(f"{place}: {error}") from error

    @classmethod
    def read(cls, path: str | os.PathLike) -> Policy:
        """The policy of a JSON file.

        Raises:
            PolicyError: there is none, it is damaged or holds no policy; names the file and the field.
        """
        return cls.from_dict(read_json(path, PolicyError), str(path))

    def write(self, path: str | os.PathLike) -> None:
        """Write the policy as JSON, whole or not at all.

        Raises:
            OSError: the folder cannot be written or the disk is full.
        """
        write_json(path, self.to_dict())

    def check_for(self, exits: Sequence[int], fingerprint: str | None = None) -> None:
        """Refuse a network that the policy is not for.

        Args:
            exits: numbers of the network's exits.
            fingerprint: of its weights; None where it is not known. A policy without `network` fits all weights.

        Raises:
            PolicyError: other exits, or other weights.
        """
        exits = tuple(int(number) for number in exits)
        if exits != self.exits:
            raise PolicyError(
                f"`policy` must be for the {len(exits)} exits {_listed(exits)} of this network. "
                f"Received: a policy for the {len(self.exits)} exits {_listed(self.exits)}."
            )
        if None not in (fingerprint, self.network) and fingerprint.lower() != self.network:
            raise PolicyError(
                f"`policy` must be calibrated for the weights of this network, {fingerprint[:12]}. "
                f"Received: a policy for {self.network[:12]}; calibrate again."
            )


def _refuse(name: str, allowed: str, value: object) -> NoReturn:
    raise PolicyError(f"`{name}` must be {allowed}. Received: {name}={_shown(value)}.")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."


def _listed(exits: tuple[int, ...]) -> str:
    return ", ".join(map(str, exits))


def _plain(value: object) -> object:
    """A number of numpy's as one of Python's."""
    return value.item() if getattr(value, "shape", None) == () else value


def _items(name: str, values: object, allowed: str) -> list[object]:
    """The items of a list, tuple or array."""
    values = values.tolist() if getattr(values, "shape", None) else values
    if not isinstance(values, (list, tuple)):
        _refuse(name, allowed, values)
    return [_plain(value) for value in values]


def _word(name: str, value: object, known: tuple[str, ...]) -> str:
    if not isinstance(value, str) or value not in known:
        _refuse(name, f"one of {', '.join(known)}", value)
    return value


def _numbers(name: str, values: object, number: int, none: bool = False) -> tuple[float | None, ...]:
    """So many finite numbers, or None where `none` allows it."""
    allowed = f"a list of {number} finite numbers{' or null' if none else ''}, one per exit{' but the last' if none else ''}"
    items = _items(name, values, allowed)
    good = [
        none if value is None else _is_number(value, (int, float)) and math.isfinite(value) and abs(value) <= _LARGEST
        for value in items
    ]
    if len(items) != number or not all(good):
        _refuse(name, allowed, values)
    return tuple(None if value is None else float(value) for value in items)


def _is_number(value: object, kinds: type | tuple[type, ...]) -> bool:
    """Whether this is a number of these kinds that a float can hold; true and false are none."""
    return isinstance(value, kinds) and not isinstance(value, bool) and abs(value) < 2**1023


def _checked_exits(values: object) -> tuple[int, ...]:
    allowed = f"a list of ascending whole numbers from 1 to {LARGEST_EXIT}"
    exits = _items("exits", values, allowed)
    good = bool(exits) and all(_is_number(value, int) and 1 <= value <= LARGEST_EXIT for value in exits)
    if not good or exits != sorted(set(exits)):
        _refuse("exits", allowed, values)
    return tuple(exits)


def _checked_fingerprint(name: str, value: object) -> str:
    if not isinstance(value, str) or not _FINGERPRINT.fullmatch(value.lower()):
        _refuse(name, "8 to 128 hex digits, the fingerprint of weights", value)
    return value.lower()


def _checked_calibration(values: object) -> dict[str, Any]:
    allowed = "a mapping of names to what JSON holds, with finite numbers"
    if not isinstance(values, Mapping) or not all(isinstance(name, str) for name in values):
        _refuse("calibration", allowed, values)
    try:
        plain = json.loads(json.dumps(dict(values), allow_nan=False))
    except (TypeError, ValueError, RecursionError):
        _refuse("calibration", allowed, values)
    if not isinstance(plain.get("split", ""), str):
        _refuse("calibration.split", "text", plain["split"])
    if not (_is_number(plain.get("pictures", 1), int) and plain.get("pictures", 1) > 0):
        _refuse("calibration.pictures", "a positive whole number", plain["pictures"])
    return plain
