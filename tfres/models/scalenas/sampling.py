"""Which sub-networks a supernet is trained with: random masks from groups; no TensorFlow here."""

from __future__ import annotations

import random
from collections.abc import Sequence

from tfres.models.scalenas.masks import Mask, Space

SEED_STEP = 10**6  # between the seeds of two steps

Group = tuple[float, list[int]]  # probability of a path, depths


def sample(seed: int, space: Space, fusion: float, depths: Sequence[int], gathered: bool) -> Mask:
    """A random mask, as the reference draws it from Python's generator.

    Args:
        seed: of the generator.
        space: of the masks.
        fusion: probability of a path.
        depths: of which every branch gets one.
        gathered: see `Mask.gathered`.
    """
    generator = random.Random(seed)
    chosen, kept = [], []
    for count in space.branches:
        depth, paths = [generator.choice(depths) for _ in range(count)], set()
        for target in range(count):
            for step in range(max(depths)):
                bits = generator.choices([0, 1], weights=[1 - fusion, fusion], k=count)
                if step < depth[target]:
                    paths |= {(step, source, target) for source, bit in enumerate(bits) if bit and source != target}
        chosen.append(tuple(depth))
        kept.append(frozenset(paths))
    mask = Mask(tuple(chosen), tuple(kept))
    return mask.gathered() if gathered else mask


def groups(fusions: Sequence[float], depths: Sequence[Sequence[int]], sandwich: bool, gathered: bool) -> list[Group]:
    """The groups whose masks are drawn in turn, one per step.

    Every list of depths goes with every probability, in the reference's order. With the sandwich rule the smallest masks come
    first (the smallest depth, half the smallest probability, none where branch 0 gathers) and the full one last.

    Args:
        fusions: probabilities of a path.
        depths: lists of depths.
        sandwich: with the extremes.
        gathered: see `Mask.gathered`.
    """
    count = len(fusions) * len(depths)
    found = [(fusions[g % count // len(depths)], list(depths[g % len(depths)])) for g in range(sandwich, count + sandwich)]
    if not sandwich:
        return found
    every = [depth for options in depths for depth in options]
    return [(0.0 if gathered else min(fusions) / 2, [min(every)]), *found, (1.0, [max(every)])]
