"""Class folders as TFRecord shards in the classic ImageNet schema."""

from __future__ import annotations

import pathlib

from tfres.data import shards
from tfres.tasks.classification.source import open_folder


def prepare(
    folder: str | pathlib.Path, out: str | pathlib.Path, per_shard: int = shards.PER_SHARD
) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Write the shards that are not there yet, or not whole; see `write_shards`.

    Pictures are kept as they are encoded, and labelled from 1. Unreadable ones are left out.

    Args:
        folder: with `train/` and `val/`.
        out: folder of the shards.
        per_shard: pictures per shard.

    Returns:
        `(split -> number of records, list of (path, reason) of skipped pictures)`.

    Raises:
        SourceError: no pictures. DataError: `out` belongs to other pictures, or a split without any that can be read.
    """
    unreadable: list[tuple[str, str]] = []
    source = open_folder(pathlib.Path(folder), unreadable, calibration=True)
    splits = {
        name: [(path, int(label) + 1) for path, label in zip(split.paths, split.labels, strict=True)]
        for name, split in source.splits.items()
    }

    def encode(item: shards.Item) -> tuple[bytes | None, str]:
        path, label = item
        features, fault = shards.read_picture(path)
        if features is None:
            return None, fault
        text = {"image/class/label": label, "image/class/text": source.classes[label - 1]}
        return shards.serialized({**features, **text}), ""

    counts, skipped = shards.write_shards(folder, out, splits, per_shard, encode, source.classes)
    return counts, unreadable + skipped
