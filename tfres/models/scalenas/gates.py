"""Which blocks and paths of a supernet run, as numbers for `quant.step.optional`: 0 runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import tensorflow as tf

if TYPE_CHECKING:
    from tfres.models.scalenas.masks import Mask, Space

Gate = int | tf.Tensor


class MaskGates:
    """Those of a mask: Python numbers, so that only what runs is traced."""

    def __init__(self, mask: Mask) -> None:
        self._mask = mask

    def block(self, module: int, branch: int, step: int) -> Gate:
        """0 where the block runs, else 1."""
        return int(step >= self._mask.depths[module][branch])

    def path(self, module: int, step: int, source: int, target: int, before: list[int]) -> Gate:
        """0 where the path runs, else 1, but 2 where one from the sources `before` does."""
        paths = self._mask.paths[module]
        if (step, source, target) in paths:
            return 0
        return 1 + any((step, other, target) in paths for other in before)


class TensorGates:
    """Those of a mask that is known when the graph runs.

    Args:
        vector: bool, see `Mask.vector`.
        space: of the masks.
        least: blocks that every mask runs.
    """

    def __init__(self, vector: tf.Tensor, space: Space, least: int) -> None:
        self._on, self._places, self._least = tf.unstack(tf.cast(vector, tf.int32), len(space.places)), space.places, least

    def block(self, module: int, branch: int, step: int) -> Gate:
        """See `MaskGates`."""
        return 0 if step < self._least else 1 - self._on[self._places[module, branch, step]]

    def path(self, module: int, step: int, source: int, target: int, before: list[int]) -> Gate:
        """See `MaskGates`."""
        on = self._on[self._places[module, (step, source, target)]]
        if not before:
            return 1 - on
        others = [self._on[self._places[module, (step, other, target)]] for other in before]
        return (1 - on) * (1 + tf.reduce_max(others))
