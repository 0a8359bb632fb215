"""Training pictures that are never trained on, for calibrating when a network is left at which exit."""

from __future__ import annotations

import numpy as np

from tfres.errors import SourceError
from tfres.tasks.classification.splits import ArraySplit, FileSplit, RecordSplit

SEED = 20030  # of the split, whatever the seed of the training


def hold_out(
    split: ArraySplit | FileSplit | RecordSplit, share: float
) -> tuple[ArraySplit | FileSplit | RecordSplit, ArraySplit | FileSplit | RecordSplit]:
    """A training split as what is trained on and what is held out, both in the order of the source.

    Args:
        split: all training pictures.
        share: to be held out, above 0. Of record files the last ones are, as many as come nearest to the share.

    Returns:
        `(training, calibration)`, without a picture in common.

    Raises:
        SourceError: one of the two would be empty.
    """
    if isinstance(split, RecordSplit):
        first = _first_held_file(split, share)
        return split.picked(slice(first)), split.picked(slice(first, None))
    kept, held = held_out(split.size, share)
    return split.picked(kept), split.picked(held)


def held_out(size: int, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Indices of `size` pictures that are kept and held out, ascending: the last ones of a random order are held out.

    The order depends on `size` alone (numpy promises never to change what `RandomState` draws), so that a smaller share's
    pictures are among a larger one's.

    Raises:
        SourceError: none would be kept or held out.
    """
    count = round(share * size)
    if not 0 < count < size:
        raise SourceError(
            "`holdout` must leave at least one picture to train on and one to calibrate with, or be 0. "
            f"Received: holdout={share:g}, which is {count} of {size} training pictures."
        )
    order = np.random.RandomState(SEED).permutation(size)
    return np.sort(order[: size - count]), np.sort(order[size - count :])


def _first_held_file(split: RecordSplit, share: float) -> int:
    if len(split.paths) < 2:
        raise SourceError(
            f"`holdout` must be 0 with one training shard, which cannot be divided. Received: holdout={share:g} with "
            f"{split.paths[0]} alone. Write more shards (python -m tfres.prepare, a smaller --per-shard), put the pictures to "
            "be held out into shards named calibration*, or set data.holdout 0."
        )
    behind = split.size - np.cumsum(split.counts[:-1])  # pictures in all shards from 1 on, from 2 on, ...
    distance = np.abs(behind - share * split.size)
    return len(distance) - int(np.argmin(distance[::-1]))
