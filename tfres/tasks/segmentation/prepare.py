"""Folders of pictures with label pictures as TFRecord shards."""

from __future__ import annotations

import pathlib

import tensorflow as tf

from tfres.data import shards
from tfres.data.decoding import shape_of
from tfres.tasks.segmentation.source import open_folder
from tfres.tasks.segmentation.splits import LABEL, fault_of, read_files


def prepare(
    folder: str | pathlib.Path, out: str | pathlib.Path, per_shard: int = shards.PER_SHARD
) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Write the shards that are not there yet, or not whole; see `write_shards`.

    Pictures and label pictures are kept as they are encoded; what label values mean stands in `classes.json`. Left out are
    pictures that cannot be read, have no label picture or one of another size or with a value that is out of range.

    Args:
        folder: as training takes it.
        out: folder of the shards.
        per_shard: pictures per shard.

    Returns:
        `(split -> number of records, list of (path, reason) of skipped pictures)`.

    Raises:
        SourceError: no pictures. DataError: `out` belongs to other pictures, or a split without any that can be used.
    """
    skipped: list[tuple[str, str]] = []
    source = open_folder(str(folder), None, True, skipped)
    splits = {
        name: list(zip(split.pictures, split.labels, strict=True)) for name, split in source.splits.items() if split.size
    }

    def encode(item: shards.Item) -> tuple[bytes | None, str]:
        picture, label, fault = read_files(*item)
        fault = fault or fault_of(picture, label, source.table)
        if fault:
            return None, fault
        height, width = shape_of(tf.constant(picture)).numpy().tolist()
        more = {LABEL: label, "image/segmentation/class/format": "PNG"}
        return shards.serialized({**shards.picture_features(item[0], picture, height, width), **more}), ""

    counts, more = shards.write_shards(folder, out, splits, per_shard, encode, source.labels.to_dict())
    return counts, skipped + more
