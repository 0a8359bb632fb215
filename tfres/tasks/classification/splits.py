"""Splits of labelled pictures: as pixels, as files, as records, as bytes in memory."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

from tfres.data import records
from tfres.data.faults import read_file, unusable
from tfres.data.holdout import first_held_file, held_out


@dataclasses.dataclass(frozen=True)
class ArraySplit:
    """Pictures in memory: uint8 RGB `images` `(n, side, side, 3)`, int64 `labels` `(n,)`."""

    images: np.ndarray
    labels: np.ndarray

    @property
    def size(self) -> int:
        """Number of pictures."""
        return len(self.labels)

    def picked(self, indices: np.ndarray) -> ArraySplit:
        """Some of the pictures, in the order of the indices."""
        return ArraySplit(self.images[indices], self.labels[indices])

    def relabelled(self, mapping: np.ndarray) -> ArraySplit:
        """With label `mapping[i]` for i."""
        return dataclasses.replace(self, labels=mapping[self.labels])


@dataclasses.dataclass(frozen=True)
class FileSplit:
    """Picture files: `paths` and their int64 `labels`."""

    paths: list[str]
    labels: np.ndarray

    @property
    def size(self) -> int:
        """Number of pictures."""
        return len(self.paths)

    def picked(self, indices: np.ndarray) -> FileSplit:
        """Some of the pictures, in the order of the indices."""
        return FileSplit([self.paths[i] for i in indices], self.labels[indices])

    def relabelled(self, mapping: np.ndarray) -> FileSplit:
        """With label `mapping[i]` for i."""
        return dataclasses.replace(self, labels=mapping[self.labels])


@dataclasses.dataclass(frozen=True)
class MemorySplit:
    """Encoded pictures in memory: list of bytes, where each came from, and int64 `labels`."""

    encoded: list[bytes]
    names: list[str]
    labels: np.ndarray

    @property
    def size(self) -> int:
        """Number of pictures."""
        return len(self.encoded)

    def relabelled(self, mapping: np.ndarray) -> MemorySplit:
        """With label `mapping[i]` for i."""
        return dataclasses.replace(self, labels=mapping[self.labels])


@dataclasses.dataclass(frozen=True)
class RecordSplit:
    """TFRecord files with `counts[i]` records in `paths[i]`.

    A label is what is stored less `label_offset`, from 0 to `classes` - 1; then, where there is a `mapping`, `mapping[label]`.
    """

    paths: list[str]
    counts: list[int]
    schema: records.Schema
    label_offset: int
    classes: int
    mapping: tuple[int, ...] | None = None

    @property
    def size(self) -> int:
        """Number of pictures."""
        return sum(self.counts)

    def picked(self, files: slice) -> RecordSplit:
        """Some of the files."""
        return dataclasses.replace(self, paths=self.paths[files], counts=self.counts[files])

    def relabelled(self, mapping: np.ndarray) -> RecordSplit:
        """With label `mapping[i]` for i."""
        return dataclasses.replace(self, mapping=tuple(mapping.tolist()))


Split = ArraySplit | FileSplit | MemorySplit | RecordSplit


def read_all(split: FileSplit | MemorySplit | RecordSplit) -> Iterator[tuple[str, bytes | None, int | None, str | None]]:
    """`(where, bytes, label, fault)` of every picture of a split of encoded pictures.

    The label is before any mapping. Of what cannot be read, bytes and label are None and the fault says why; the rest of a
    damaged record file is left out.
    """
    if isinstance(split, MemorySplit):
        for name, encoded, label in zip(split.names, split.encoded, split.labels.tolist(), strict=True):
            yield name, encoded, label, None
    elif isinstance(split, FileSplit):
        for path, label in zip(split.paths, split.labels.tolist(), strict=True):
            encoded, fault = read_file(path)
            yield path, encoded, None if fault else label, fault
    else:
        for path in split.paths:
            yield from _read_records(path, split)


def _read_records(path: str, split: RecordSplit) -> Iterator[tuple[str, bytes | None, int | None, str | None]]:
    for number, encoded, stored, fault in records.read(path, split.schema):
        where = f"{path}, record {number}"
        if fault is None and not 0 <= stored - split.label_offset < split.classes:
            fault = f"label {stored} is out of range ({split.classes} classes, the first is {split.label_offset})"
        yield where, encoded, None if fault else stored - split.label_offset, fault


def hold_out(split: ArraySplit | FileSplit | RecordSplit, share: float) -> tuple[Split, Split]:
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
        first = first_held_file(split.paths, split.counts, share)
        return split.picked(slice(first)), split.picked(slice(first, None))
    kept, held = held_out(split.size, share)
    return split.picked(kept), split.picked(held)


def in_memory(split: Split) -> Split:
    """The split with its encoded pictures in memory.

    Raises:
        DataError: pictures or records that cannot be read (the first are named).
    """
    if isinstance(split, (ArraySplit, MemorySplit)):
        return split
    names, encoded, labels, faults = [], [], [], []
    for where, picture, label, fault in read_all(split):
        if fault is not None:
            faults.append(f"{where}: {fault}")
            continue
        names.append(where)
        encoded.append(picture)
        labels.append(label)
    if faults:
        raise unusable(faults)
    return MemorySplit(encoded, names, np.array(labels, np.int64))
