"""What the options of all networks have in common; no TensorFlow here."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from tfres.errors import RecipeError
from tfres.recipe import check
from tfres.recipe.values import read_fields
from tfres.settings import Setting

FLOAT_BITS, MAX_BITS = 32, 8
LARGEST_SIDE, _MOST_CLASSES, _WIDEST = 8192, 10**6, 64.0
POOLED, MAPS = "pooled", "maps"
Resolution = int | tuple[int, int] | str  # of a recipe; an integer or a pair once it was read


@dataclasses.dataclass(frozen=True)
class NetworkOptions:
    """What every network has.

    Args:
        resolutions: sides in pixels, or heights and widths such as 360x480; distinct and positive, in any order.
        calibrated: further settings, never trained, with norms of their own.
        classes: number of classes.
        synchronised_norms: under a strategy, norms take the statistics of the whole batch, not of each replica's part.
    """

    resolutions: list[Resolution] = dataclasses.field(default_factory=lambda: [224, 192, 160, 128, 96])
    calibrated: list[str] = dataclasses.field(default_factory=list, metadata={"recipe": False})
    classes: int = 1000
    synchronised_norms: bool = False

    heads: ClassVar[tuple[str, ...]] = (POOLED,)  # what the final layer may see, see `HeadedOptions`
    head: ClassVar[str] = POOLED

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
        self._set(resolutions=checked_resolutions(self.resolutions))

    @property
    def sizes(self) -> list[int | tuple[int, int]]:
        """The resolutions as tasks call them: a side in pixels or (height, width); the largest first."""
        return list(self.resolutions)

    def _set(self, **values: Any) -> None:
        """Set fields of the frozen instance while it is made."""
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def to_dict(self) -> dict[str, Any]:
        """Constructor arguments of the network, plain values."""
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True)
class HeadedOptions(NetworkOptions):
    """What networks have that tell something of a whole picture or of every pixel.

    Args:
        head: what the final layer sees: pooled (one vector per picture) or maps (one per pixel, see `PixelFeatures`).
        head_strides: of maps: strides of the backbone's maps that are used; null for all from 4 on (or the coarsest).
        head_channels: of maps: channels per pixel that the final layer sees; null for 128.
    """

    head: str = dataclasses.field(default=POOLED, metadata={"recipe": False})
    head_strides: list[int] | None = None
    head_channels: int | None = None

    heads: ClassVar[tuple[str, ...]] = (POOLED, MAPS)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_word("head", self.head, self.heads)
        for name in ("head_strides", "head_channels"):
            value = getattr(self, name)
            check(value is None or self.head == MAPS, name, "left out for tasks that tell something of a whole picture", value)
        strides, channels = self.head_strides, self.head_channels
        right = strides is None or (0 < len(strides) == len({*strides}) and min(strides) > 0)
        check(right, "head_strides", "distinct positive numbers", strides)
        check(channels is None or 0 < channels <= 2**14, "head_channels", "from 1 to 16384", channels)
        if self.head == MAPS:
            self._set(head_channels=channels or 128)


@dataclasses.dataclass(frozen=True)
class ResidualOptions(HeadedOptions):
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


def checked_resolutions(given: Sequence[Resolution]) -> list[int | tuple[int, int]]:
    """Sides or pairs of height and width, the one with the most pixels first.

    Raises:
        RecipeError: none, twice the same, or something else.
    """
    try:
        settings = {Setting.parse(resolution) for resolution in given}
        sides = [side for setting in settings for side in setting.sides]
        fits = (
            all(Setting(setting.resolution) == setting for setting in settings) and 0 < max(sides, default=0) <= LARGEST_SIDE
        )
    except (TypeError, ValueError):
        settings, fits = set(), False
    distinct = fits and len(settings) == len(given)
    check(distinct, "resolutions", f"distinct positive integers, or pairs such as 360x480, up to {LARGEST_SIDE}", given)
    return [setting.resolution for setting in sorted(settings, reverse=True)]


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
    hidden = {field.name: field for field in dataclasses.fields(kind) if not field.metadata.get("recipe", True)}
    given = {name: value for name, value in arguments.items() if value is not None}
    set_by_code: dict[str, Any] = {}
    for name in {*hidden} & {*given}:
        value = given.pop(name)
        if hidden[name].default is dataclasses.MISSING:  # settings
            check(isinstance(value, (list, tuple)), name, "a list of settings", value)
            value = [str(item) for item in value]
        set_by_code[name] = value
    return kind(**read_fields(kind, given), **set_by_code)
