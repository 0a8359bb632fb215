"""Options of ScaleNAS; no TensorFlow here."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
import warnings
from typing import Any, Literal

from tfres.errors import RecipeError
from tfres.files import read_json
from tfres.models.options import NetworkOptions, Resolution, check_counts
from tfres.models.scalenas.masks import Mask, Space, is_code
from tfres.models.scalenas.published import PUBLISHED
from tfres.recipe import check
from tfres.settings import Setting

STRIDE = 32  # of the coarsest map: sides of pictures are multiples of it


@dataclasses.dataclass(frozen=True)
class ScaleNASOptions(NetworkOptions):
    """The network.

    Args:
        resolutions: sides of pictures in pixels, or texts such as "512x1024" (height x width), multiples of 32; the largest is
            trained.
        width: channels of the finest branch; every coarser one has twice as many.
        stem_width: channels of the layers before the branches; a quarter of what these get.
        modules: of stages with 2, 3 and 4 branches.
        blocks: that every branch of a module has, which is the number of its steps.
        least_blocks: how many of them every mask runs.
        head: concatenated (all branches, for maps of classes) or finest (branch 0, which gathers the others at its last block,
            for joints); the task decides.
        subnets: sub-networks that are evaluated and exported: full, smallest, a published one (S1 to S4, P1 to P4), one of
            `masks`, or the code of a mask.
        masks: own sub-networks by name: what a mask's file (JSON) holds, the file's path, or a code.
        extracted: the network has only what `subnets` (and calibrated ones) use, not the whole supernet.
        norm_momentum: of the norms' moving statistics, how much stays; null for 0.99 with head concatenated, 0.9 with finest.
        up_momentum: the same of paths to finer branches; null for 0.9.
    """

    resolutions: list[Resolution] = dataclasses.field(default_factory=lambda: ["512x1024"])
    width: int = 32
    stem_width: int = 64
    modules: list[int] = dataclasses.field(default_factory=lambda: [1, 4, 3])
    blocks: int = 5
    least_blocks: int = 2
    head: Literal["concatenated", "finest"] = "concatenated"
    subnets: list[str] = dataclasses.field(default_factory=lambda: ["full", "smallest"])
    masks: dict[str, Any] = dataclasses.field(default_factory=dict)
    extracted: bool = False
    norm_momentum: float | None = None
    up_momentum: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, most in (("width", 1024), ("stem_width", 1024)):
            value = getattr(self, name)
            check(0 < value <= most, name, f"from 1 to {most}", value)
        check(len(self.modules) == 3, "modules", "three numbers: of stages with 2, 3 and 4 branches", self.modules)
        check_counts("modules", self.modules, 8)
        check(1 <= self.blocks <= 5, "blocks", "from 1 to 5", self.blocks)
        check(0 <= self.least_blocks <= self.blocks, "least_blocks", f"from 0 to {self.blocks}", self.least_blocks)
        check(self.space.digits <= 100, "modules", "so few that a mask has a name of 100 letters", self.modules)
        usual = 0.99 if self.head == "concatenated" else 0.9
        for name, value in (("norm_momentum", usual), ("up_momentum", 0.9)):
            given = getattr(self, name)
            check(given is None or 0 <= given <= 1, name, "from 0 to 1, or null", given)
            self._set(**{name: value if given is None else given})
        self._set(masks={name: self._own(name, value) for name, value in self.masks.items()})
        check(bool(self.subnets) and len({*self.subnets}) == len(self.subnets), "subnets", "distinct names", self.subnets)
        for name in self.subnets:
            self._check_subnet(name)
        for name in self.calibrated:
            setting = Setting.parse(name)
            sides = setting.sides or (1, 1)
            known = setting.subnet is not None and not any(side % STRIDE for side in sides)
            check(known and setting == Setting(setting.resolution, subnet=setting.subnet), "calibrated",
                  f"resolutions (multiples of {STRIDE}) and sub-networks, such as r512x1024-netS1", name)  # fmt: skip
            self.mask(setting.subnet)

    def check_resolutions(self) -> None:
        super().check_resolutions()
        wrong = [size for size in self.resolutions if any(side % STRIDE for side in Setting(size).sides)]
        check(not wrong, "resolutions", f"multiples of {STRIDE}", wrong)

    @functools.cached_property
    def space(self) -> Space:
        """What masks choose from."""
        stages = [[branches] * count for branches, count in zip((2, 3, 4), self.modules, strict=True)]
        return Space(tuple(branches for stage in stages for branches in stage), self.blocks)

    @property
    def channels(self) -> list[int]:
        """Of the branches, the finest first."""
        return [self.width * 2**branch for branch in range(4)]

    @property
    def gathered(self) -> bool:
        """Whether branch 0 alone gives the answer, see `Mask.gathered`."""
        return self.head == "finest"

    def mask(self, name: str) -> Mask:
        """The mask of a sub-network: one of `masks`, published, full, smallest or the code of one.

        Raises:
            RecipeError: unknown, or a mask of another structure.
        """
        if name in ("full", "smallest") and name not in self.masks:
            mask = Mask.full(self.space) if name == "full" else Mask.smallest(self.space, self.least_blocks)
            return mask.gathered() if self.gathered else mask
        known = {**PUBLISHED, **self.masks}
        value = known.get(name, name if is_code(name) else None)
        if value is None:
            names = ", ".join(("full", "smallest", *known))
            raise RecipeError(f"`subnet` must be one of {names}, or the code of a mask. Received: subnet={name!r}.")
        return self._of_subnet(name, value)

    def named(self, subnet: str) -> str:
        """The name of a sub-network: itself, or the code of the mask that a file holds (`.json`).

        Raises:
            RecipeError: no such file, or a mask of another structure.
        """
        if not subnet.endswith(".json"):
            return subnet
        return self._of_subnet(subnet, read_json(pathlib.Path(subnet), RecipeError)).code(self.space)

    @functools.cached_property
    def built(self) -> Mask:
        """What the network has."""
        if not self.extracted:
            return Mask.full(self.space)
        names = [*self.subnets, *(Setting.parse(name).subnet for name in self.calibrated)]
        return functools.reduce(lambda a, b: a | b, map(self.mask, names))

    def _own(self, name: str, value: Any) -> list[dict[str, Any]]:
        """One of `masks` in plain form."""
        named = name.isidentifier() and name.isascii() and len(name) <= 40 and not is_code(name)
        check(named and name not in ("full", "smallest"), "masks", "a mapping of names (letters, digits, underscores)", name)
        if isinstance(value, str) and not is_code(value):
            value = read_json(pathlib.Path(value), RecipeError)
        try:
            return Mask.read(value, self.space).to_json()
        except ValueError as error:
            raise RecipeError(f"`masks` must be masks of this network: {error}. Received: masks={name}.") from error

    def _of_subnet(self, subnet: str, value: Any) -> Mask:
        """The mask that `value` says of a sub-network, see `Mask.read`."""
        try:
            return Mask.read(value, self.space)
        except ValueError as error:
            raise RecipeError(f"`subnet` must be a mask of this network: {error}. Received: subnet={subnet!r}.") from error

    def _check_subnet(self, name: str) -> None:
        mask = self.mask(name)
        shallow = [depth for depth in mask.depths if min(depth) < self.least_blocks]
        allowed = f"of at least {self.least_blocks} blocks per branch, unless `extracted`"
        check(self.extracted or not shallow, "subnets", allowed, name)
        if self.gathered and not mask.gathers:
            warnings.warn(
                f"`subnets`: the mask {name} lacks paths into branch 0 of the last module at its last block, so that coarser "
                "branches do not reach the answer.",
                stacklevel=2,
            )
