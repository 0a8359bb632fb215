"""Masks: which blocks and fusion paths of a supernet a sub-network has; no TensorFlow here.

A network is a row of modules. In a module with n branches (branch 0 has the finest map) branch i runs its first `depth[i]`
blocks, one per step; after every step paths add the map of one branch to another, brought to its size. A path is written
"step:source>target", counted from 0.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

Path = tuple[int, int, int]  # step, source, target

_DEPTH_BITS = 3
_PATH = re.compile(r"(\d):(\d)>(\d)", re.ASCII)
_CODE = re.compile("m[0-9a-f]+", re.ASCII)
_LEAST_DIGITS = 17  # shorter ones are names that somebody may give


@dataclasses.dataclass(frozen=True)
class Space:
    """What masks choose from.

    Args:
        branches: of every module.
        blocks: that every branch of a module has, which is the number of steps.
    """

    branches: tuple[int, ...]
    blocks: int

    @functools.cached_property
    def paths(self) -> tuple[tuple[Path, ...], ...]:
        """All paths of every module, by step, target and source."""
        return tuple(
            tuple(
                (step, source, target)
                for step, target, source in itertools.product(range(self.blocks), range(count), range(count))
                if source != target
            )
            for count in self.branches
        )

    @property
    def digits(self) -> int:
        """Of the code of a mask, with the letter before them."""
        bits = _DEPTH_BITS * sum(self.branches) + sum(map(len, self.paths))
        return max(_LEAST_DIGITS, 1 + math.ceil(bits / 4))

    @functools.cached_property
    def places(self) -> dict[tuple, int]:
        """Places in `Mask.vector`: of blocks (module, branch, step), of paths (module, path)."""
        keys: list[tuple] = []
        for module, count in enumerate(self.branches):
            keys += itertools.product([module], range(count), range(self.blocks))
            keys += [(module, path) for path in self.paths[module]]
        return {key: place for place, key in enumerate(keys)}


@dataclasses.dataclass(frozen=True)
class Mask:
    """A sub-network; equal masks run the same.

    Args:
        depths: blocks of every branch of every module.
        paths: of every module, in any order; those of steps that the module does not make are left out.
    """

    depths: tuple[tuple[int, ...], ...]
    paths: tuple[frozenset[Path], ...]

    def __post_init__(self) -> None:
        made = zip(self.depths, self.paths, strict=True)
        kept = tuple(frozenset(path for path in paths if path[0] < max(depth)) for depth, paths in made)
        object.__setattr__(self, "paths", kept)

    @classmethod
    def full(cls, space: Space) -> Mask:
        """All blocks and paths."""
        return cls(tuple((space.blocks,) * count for count in space.branches), tuple(map(frozenset, space.paths)))

    @classmethod
    def smallest(cls, space: Space, depth: int) -> Mask:
        """As many blocks everywhere, no paths."""
        return cls(tuple((depth,) * count for count in space.branches), (frozenset(),) * len(space.branches))

    @classmethod
    def read(cls, value: Any, space: Space) -> Mask:
        """A mask from its code, or from what `to_json` gives; also with `fuse[target][step][source]` of 0 and 1 in place of
        paths, and as the `modules` of a mapping. What is left out of `fuse` is 0; its entries target = source say nothing.

        Raises:
            ValueError: not a mask of this space; says what is wrong where.
        """
        if isinstance(value, str):
            return cls._decoded(value, space)
        modules = value.get("modules") if isinstance(value, Mapping) else value
        if not isinstance(modules, Sequence) or len(modules) != len(space.branches):
            raise ValueError(f"it has {len(space.branches)} modules, a list of mappings with `depth` and `paths`")
        depths, paths = [], []
        for number, (module, count) in enumerate(zip(modules, space.branches, strict=True)):
            where = f"of module {number}"
            if not isinstance(module, Mapping) or not {"depth"} < {*module} or not {"paths", "fuse"} & {*module}:
                raise ValueError(f"what is said {where} is a mapping with `depth` and `paths`")
            depths.append(_depth(module["depth"], count, space.blocks, where))
            if "paths" in module:
                paths.append(_paths(module["paths"], count, space.blocks, where))
            else:
                paths.append(_fused(module["fuse"], count, space.blocks, where))
        return cls(tuple(depths), tuple(paths))

    def to_json(self) -> list[dict[str, Any]]:
        """Per module `depth`, a number per branch, and `paths`, texts."""
        return [
            {"depth": list(depth), "paths": [f"{step}:{source}>{target}" for step, source, target in sorted(paths)]}
            for depth, paths in zip(self.depths, self.paths, strict=True)
        ]

    def code(self, space: Space) -> str:
        """The whole mask in letters and digits, which is a name for it: `Mask.read` takes it."""
        bits = "".join(f"{depth:0{_DEPTH_BITS}b}" for depth in itertools.chain(*self.depths))
        for every, own in zip(space.paths, self.paths, strict=True):
            bits += "".join("1" if path in own else "0" for path in every)
        digits = space.digits - 1
        return f"m{int(bits.ljust(4 * digits, '0'), 2):0{digits}x}"

    @classmethod
    def _decoded(cls, text: str, space: Space) -> Mask:
        if not is_code(text) or len(text) != space.digits:
            raise ValueError(f"a code is m and {space.digits - 1} hexadecimal digits")
        bits = f"{int(text[1:], 16):0{4 * (len(text) - 1)}b}"
        place, depths = 0, []
        for count in space.branches:
            ends = range(place, place + _DEPTH_BITS * count, _DEPTH_BITS)
            depths.append(_depth([int(bits[end : end + _DEPTH_BITS], 2) for end in ends], count, space.blocks, "in the code"))
            place += _DEPTH_BITS * count
        paths = []
        for every in space.paths:
            paths.append(frozenset(path for path, bit in zip(every, bits[place:], strict=False) if bit == "1"))
            place += len(every)
        mask = cls(tuple(depths), tuple(paths))
        if mask.code(space) != text:
            raise ValueError("the code has bits that say nothing")
        return mask

    def vector(self, space: Space) -> np.ndarray:
        """Which blocks and paths run, bool, by `Space.places`."""
        found = np.zeros(len(space.places), bool)
        for module, (depth, paths) in enumerate(zip(self.depths, self.paths, strict=True)):
            for branch, blocks in enumerate(depth):
                for step in range(blocks):
                    found[space.places[module, branch, step]] = True
            for path in paths:
                found[space.places[module, path]] = True
        return found

    def gathered(self) -> Mask:
        """The mask of a network that answers from branch 0 alone: in the last module it takes all others at its last block,
        and these take nothing at theirs.
        """
        depth, last = self.depths[-1], {*self.paths[-1]}
        ends = {(blocks - 1, branch) for branch, blocks in enumerate(depth)}
        kept = {(step, source, target) for step, source, target in last if (step, target) not in ends}
        kept |= {(depth[0] - 1, source, 0) for source in range(1, len(depth))}
        return dataclasses.replace(self, paths=(*self.paths[:-1], frozenset(kept)))

    @property
    def gathers(self) -> bool:
        """Whether branch 0 of the last module takes all others at its last block."""
        depth = self.depths[-1]
        return all((depth[0] - 1, source, 0) in self.paths[-1] for source in range(1, len(depth)))

    def live(self) -> Mask:
        """The mask without what cannot reach branch 0 of the last module; depths may become 0."""
        depths, paths, alive = [], [], {0}
        for place in reversed(range(len(self.depths))):
            depth, own, kept, blocks = self.depths[place], self.paths[place], set(), [0] * len(self.depths[place])
            for step in reversed(range(max(depth, default=0))):
                kept |= {path for path in own if path[0] == step and path[2] in alive}
                alive |= {source for made, source, _ in kept if made == step}
                for branch in alive:
                    blocks[branch] += step < depth[branch]
            depths.append(tuple(blocks))
            paths.append(frozenset(kept))
            alive = {min(branch, len(self.depths[place - 1]) - 1) for branch in alive}  # where a new branch comes from
        return Mask(tuple(depths[::-1]), tuple(paths[::-1]))

    def __or__(self, other: Mask) -> Mask:
        """What either has."""
        depths = tuple(tuple(map(max, *pair)) for pair in zip(self.depths, other.depths, strict=True))
        return Mask(depths, tuple(a | b for a, b in zip(self.paths, other.paths, strict=True)))

    def __le__(self, other: Mask) -> bool:
        """Whether the other has all of it."""
        return self | other == other


def is_code(text: str) -> bool:
    """Whether a name of a sub-network is the code of a mask."""
    return len(text) >= _LEAST_DIGITS and bool(_CODE.fullmatch(text))


def _depth(values: Any, count: int, blocks: int, where: str) -> tuple[int, ...]:
    whole = isinstance(values, Sequence) and len(values) == count and all(type(value) is int for value in values)
    if not whole or not all(0 <= value <= blocks for value in values):
        raise ValueError(f"`depth` {where} is {count} whole numbers up to {blocks}")
    return tuple(values)


def _paths(texts: Any, count: int, blocks: int, where: str) -> frozenset[Path]:
    wanted = f'`paths` {where} are texts "step:source>target", steps below {blocks}, branches below {count}'
    if not isinstance(texts, Sequence) or isinstance(texts, str):
        raise ValueError(wanted)
    found = []
    for text in texts:
        match = _PATH.fullmatch(text) if isinstance(text, str) else None
        step, source, target = map(int, match.groups()) if match else (blocks, 0, 0)
        if step >= blocks or source == target or max(source, target) >= count:
            raise ValueError(f"{wanted}, not {str(text)[:40]!r}")
        found.append((step, source, target))
    return frozenset(found)


def _fused(rows: Any, count: int, blocks: int, where: str) -> frozenset[Path]:
    wanted = f"`fuse` {where} is [target][step][source] of 0 and 1, {count} targets, {count} sources, at most {blocks} steps"
    lists = isinstance(rows, Sequence) and len(rows) == count and all(isinstance(row, Sequence) for row in rows)
    if not lists or not all(len(row) <= blocks for row in rows):
        raise ValueError(wanted)
    found = set()
    for target, row in enumerate(rows):
        for step, sources in enumerate(row):
            if not isinstance(sources, Sequence) or len(sources) != count or not all(bit in (0, 1) for bit in sources):
                raise ValueError(wanted)
            found |= {(step, source, target) for source, bit in enumerate(sources) if bit and source != target}
    return frozenset(found)
