"""What the options of all networks have in common; no TensorFlow here."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

from tfres.errors import RecipeError
from tfres.recipe import check
from tfres.recipe.values import read_fields
from tfres.settings import Setting

FLOAT_BITS, MAX_BITS = 32, 8
LARGEST_SIDE, _MOST_CLASSES, _WIDEST = 8192, 10**6, 64.0


@dataclasses.dataclass(frozen=True)
class NetworkOptions:
    """What every network has.

    Args:
        resolutions: sides in pixels, distinct and positive, in any order.
        calibrated: further settings, never trained, with norms of their own.
        classes: number of classes.
        synchronised_norms: under a strategy, norms take the statistics of the whole batch, not of each replica's part.
    """

    resolutions: list[int] = dataclasses.field(default_factory=lambda: [224, 192, 160, 128, 96])
    calibrated: list[str] = dataclasses.field(default_factory=list, metadata={"recipe": False})
    classes: int = 1000
    synchronised_norms: bool = False

    def __post_init__(self) -> None:
        self.check_resolutions()
        check(2 <= self.classes <= _MOST_CLASSES, "classes", f"from 2 to {_MOST_CLASSES}", self.classes)
        try:
            names = [str(Setting.parse(setting)) for setting in self.calibrated]
        except ValueError as error:
            raise RecipeError(f"`calibrated` must be settings. {error}") from error
        check(len(set(names)) == len(names), "calibrated", "distinct settings", names)
        self._set(calibrated=names)

    def check_resolutions(self) -> None:
        """Raises RecipeError for what are no distinct sizes; sorts them, the largest first."""
        allowed = f"distinct positive integers up to {LARGEST_SIDE}"
        try:
            found = sorted(map(Setting.sized, self.resolutions), reverse=True)
        except ValueError:
            found = []
        distinct = bool(found) and len({*found}) == len(found) and max(max(one.sides) for one in found) <= LARGEST_SIDE
        check(distinct, "resolutions", allowed, self.resolutions)
        self._set(resolutions=[one.written_size for one in found])

    @property
    def sizes(self) -> list[int | tuple[int, int]]:
        """The resolutions as tasks call them: a side in pixels or (height, width); the largest first."""
        return [Setting.sized(size).resolution for size in self.resolutions]

    def _set(self, **values: Any) -> None:
        """Set fields of the frozen instance while it is made."""
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def to_dict(self) -> dict[str, Any]:
        """Constructor arguments of the network, plain values."""
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True)
class ResidualOptions(NetworkOptions):
    """What networks on the residual and mobile skeletons share.

    Args:
        kind: kind of the skeleton.
        blocks: blocks per group.
        widths: channels per group.
        width_mult: multiplies all channels, rounded to multiples of 8.
        stem: imagenet (7x7/2 and max pool) or cifar (3x3).
        groups: of a bottleneck's 3x3 convolution.
        base_width: of a bottleneck: its inner convolutions have int(width * base_width / 64) * groups channels.
        stride_in: convolution of a bottleneck that has the stride, 3x3 or 1x1.
    """

    kind: str = "basic"
    blocks: list[int] = dataclasses.field(default_factory=lambda: [2, 2, 2, 2])
    widths: list[int] = dataclasses.field(default_factory=lambda: [64, 128, 256, 512])
    width_mult: float = 1.0
    stem: str = "imagenet"
    groups: int = 1
    base_width: int = 64
    stride_in: str = "3x3"

    kinds: ClassVar[tuple[str, ...]] = ("basic", "bottleneck", "mobilenet_v2")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_word("kind", self.kind, self.kinds)
        check_word("stem", self.stem, ("imagenet", "cifar"))
        check_word("stride_in", self.stride_in, ("3x3", "1x1"))
        check(0 < self.width_mult <= _WIDEST, "width_mult", f"positive and at most {_WIDEST:g}", self.width_mult)
        for name in ("groups", "base_width"):
            value = getattr(self, name)
            check(0 < value <= 2**14, name, "positive and at most 16384", value)
        check_counts("blocks", self.blocks, 512)
        check_counts("widths", self.widths, 2**14)
        paired = self.kind not in ("basic", "bottleneck") or len(self.blocks) == len(self.widths) > 0
        check(paired, "widths", f"as many as blocks, {len(self.blocks)}, at least one", self.widths)


def check_word(name: str, value: Any, allowed: tuple[str, ...]) -> None:
    """Raises RecipeError unless the value is one of the allowed words."""
    check(value in allowed, name, f"one of {', '.join(allowed)}", value)


def check_counts(name: str, values: list[int], most: int) -> None:
    """Raises RecipeError unless all are positive whole numbers up to `most`."""
    check(all(0 < value <= most for value in values) and len(values) <= 64, name, f"from 1 to {most} each", values)


def check_bits(name: str, bits: int) -> None:
    """Raises RecipeError unless it is a number of bits; 32 is float."""
    check(1 <= bits <= MAX_BITS or bits == FLOAT_BITS, name, f"an integer from 1 to {MAX_BITS}, or 32 for float", bits)


def read_options(kind: type, arguments: Mapping[str, Any]) -> Any:
    """Options of a network from constructor arguments; None means the default, sequences and mappings may be of any kind.

    Raises:
        RecipeError: an unknown argument or a value that is not allowed.
    """
    hidden = {field.name for field in dataclasses.fields(kind) if not field.metadata.get("recipe", True)}
    given = {name: value for name, value in arguments.items() if value is not None}
    for name in hidden & set(given):
        check(isinstance(given[name], (list, tuple)), name, "a list of settings", given[name])
    texts = {name: [str(item) for item in given.pop(name)] for name in hidden & set(given)}
    return kind(**read_fields(kind, given), **texts)
