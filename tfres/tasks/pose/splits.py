"""Splits of people: in picture files (or their bytes in memory), or in records with a picture and a person each."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from tfres.data import records
from tfres.data.decoding import fault_of
from tfres.data.faults import MOST, listed, read_file, unusable
from tfres.tasks.pose.annotations import People
from tfres.tasks.pose.skeleton import COUNT

PICTURE, IDENTITY, BOX, JOINTS = "image/encoded", "image/id", "person/bbox", "person/keypoints"
_FEATURES = {
    PICTURE: tf.io.FixedLenFeature([], tf.string),
    IDENTITY: tf.io.FixedLenFeature([], tf.int64),
    BOX: tf.io.FixedLenFeature([4], tf.float32),
    JOINTS: tf.io.FixedLenFeature([3 * COUNT], tf.float32),
}


@dataclasses.dataclass(frozen=True)
class FilePeople:
    """People in picture files.

    Args:
        paths: of the pictures, or what they are called where they are in memory.
        places: int64 `(n,)`, the picture of each person, a place in `paths`.
        people: who they are.
        truth: the annotations that answers are judged by; None where nothing is judged.
        encoded: the bytes of the pictures, where they are in memory.
    """

    paths: list[str]
    places: np.ndarray
    people: People
    truth: dict[str, Any] | None
    encoded: list[bytes] | None = None

    @property
    def size(self) -> int:
        """Number of people."""
        return len(self.people)

    @property
    def names(self) -> list[str]:
        """What the people are called: after their pictures and the place in the list of people."""
        return [f"{pathlib.Path(self.paths[place]).stem}-{number:06d}" for number, place in enumerate(self.places.tolist())]

    def picked(self, indices: np.ndarray) -> FilePeople:
        """Some of the people."""
        return dataclasses.replace(self, places=self.places[indices], people=self.people.picked(indices))


@dataclasses.dataclass(frozen=True)
class RecordPeople:
    """TFRecord files with `counts[i]` people in `paths[i]`; `truth` as in `FilePeople`."""

    paths: list[str]
    counts: list[int]
    truth: dict[str, Any] | None = None

    @property
    def size(self) -> int:
        """Number of people."""
        return sum(self.counts)

    @property
    def names(self) -> list[str]:
        """What the people are called: after the file and the record in it."""
        pairs = zip(self.paths, self.counts, strict=True)
        return [f"{pathlib.Path(path).name}-{number:06d}" for path, count in pairs for number in range(count)]


Split = FilePeople | RecordPeople


def fetch(split: Split, example: tf.Tensor) -> dict[str, tf.Tensor]:
    """A person from an example of a pass (an index, or a serialized record).

    Returns:
        `encoded` (bytes of the picture), `picture` int64, `box` float32 `(4,)`, `joints` float32 `(17, 3)`, `score` float32.
    """
    if isinstance(split, RecordPeople):
        parsed = tf.io.parse_single_example(example, _FEATURES)
        joints = tf.reshape(parsed[JOINTS], [COUNT, 3])
        found = {"encoded": parsed[PICTURE], "picture": parsed[IDENTITY], "box": parsed[BOX]}
        return {**found, "joints": joints, "score": tf.ones([])}
    people, place = split.people, tf.gather(tf.constant(split.places), example)
    if split.encoded is None:
        encoded = tf.io.read_file(tf.gather(tf.constant(split.paths), place))
    else:
        encoded = tf.ensure_shape(tf.numpy_function(lambda i: split.encoded[i], [place], tf.string), [])
    arrays = {"picture": people.pictures, "box": people.boxes, "joints": people.joints, "score": people.scores}
    return {"encoded": encoded, **{name: tf.gather(tf.constant(array), example) for name, array in arrays.items()}}


def read_all(split: Split) -> Iterator[tuple[str, bytes | None, str | None]]:
    """`(where, bytes of the picture, fault)` of every picture or record; of what cannot be read bytes are None."""
    if isinstance(split, RecordPeople):
        for path in split.paths:
            for number, values, fault in records.read_features(path, {PICTURE: "bytes_list", IDENTITY: "int64_list"}):
                yield f"{path}, record {number}", values and values[0], fault
        return
    for place, path in enumerate(split.paths):
        if split.encoded is not None:
            yield path, split.encoded[place], None
        else:
            yield path, *read_file(path)


def find_faults(split: Split, most: int = MOST) -> list[str]:
    """Reads everything, slowly, and says what is wrong with which picture; at most `most` messages."""
    return listed(((where, fault or fault_of(encoded)) for where, encoded, fault in read_all(split)), most)


def in_memory(split: FilePeople) -> FilePeople:
    """The split with the bytes of its pictures in memory.

    Raises:
        DataError: files that cannot be read (the first are named).
    """
    if split.encoded is not None:
        return split
    found = list(read_all(split))
    faults = listed(((where, fault) for where, _, fault in found), None)
    if faults:
        raise unusable(faults)
    return dataclasses.replace(split, encoded=[encoded for _, encoded, _ in found])
