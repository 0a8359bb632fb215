"""Training pictures that are never trained on, for calibrating when a network is left at which exit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tfres.errors import SourceError

SEED = 20030  # of the split, whatever the seed of the training


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


def first_held_file(paths: Sequence[str], counts: Sequence[int], share: float) -> int:
    """The first of the files of records, the last ones, that are held out: as many as come nearest to the share.

    Args:
        paths: of the files.
        counts: records in each.
        share: to be held out, above 0.

    Raises:
        SourceError: one file alone.
    """
    if len(paths) < 2:
        raise SourceError(
            f"`holdout` must be 0 with one training shard, which cannot be divided. Received: holdout={share:g} with "
            f"{paths[0]} alone. Write more shards (python -m tfres.prepare, a smaller --per-shard), put the pictures to "
            "be held out into shards named calibration*, or set data.holdout 0."
        )
    behind = sum(counts) - np.cumsum(counts[:-1])  # pictures in all shards from 1 on, from 2 on, ...
    distance = np.abs(behind - share * sum(counts))
    return len(distance) - int(np.argmin(distance[::-1]))
