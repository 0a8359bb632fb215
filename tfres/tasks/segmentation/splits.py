"""Splits of pictures with their label pictures: as files, as records, as bytes in memory."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Iterator, Sequence

import numpy as np
import tensorflow as tf

from tfres.data import records
from tfres.data.decoding import decode, reason, refuse_unless, shape_of
from tfres.data.faults import MOST, listed, read_file, unusable
from tfres.data.holdout import first_held_file, held_out

PICTURE, LABEL, NAME = "image/encoded", "image/segmentation/class/encoded", "image/filename"
_NO_GREY_PNG = "a label picture that is no PNG of one grey channel with 8 bits (a palette or colours are not taken)"


@dataclasses.dataclass(frozen=True)
class FilePairs:
    """Files: `pictures` and their `labels`."""

    pictures: list[str]
    labels: list[str]

    @property
    def size(self) -> int:
        """Number of pictures."""
        return len(self.pictures)

    @property
    def names(self) -> list[str]:
        """What the pictures are called."""
        return self.pictures

    def picked(self, indices: Sequence[int]) -> FilePairs:
        """Some of the pairs, in the order of the indices."""
        return FilePairs([self.pictures[i] for i in indices], [self.labels[i] for i in indices])


@dataclasses.dataclass(frozen=True)
class MemoryPairs:
    """Encoded `pictures` and `labels` in memory, and what they are called."""

    pictures: list[bytes]
    labels: list[bytes]
    names: list[str]

    @property
    def size(self) -> int:
        """Number of pictures."""
        return len(self.pictures)

    def picked(self, indices: Sequence[int]) -> MemoryPairs:
        """Some of the pairs, in the order of the indices."""
        return MemoryPairs(*([part[i] for i in indices] for part in (self.pictures, self.labels, self.names)))


@dataclasses.dataclass(frozen=True)
class RecordPairs:
    """TFRecord files with `counts[i]` records in `paths[i]`."""

    paths: list[str]
    counts: list[int]

    @property
    def size(self) -> int:
        """Number of pictures."""
        return sum(self.counts)

    @property
    def names(self) -> list[str]:
        """What the pictures are called: after the file and the number in it."""
        pairs = zip(self.paths, self.counts, strict=True)
        return [f"{pathlib.Path(path).name}-{number:05d}" for path, count in pairs for number in range(count)]


Split = FilePairs | MemoryPairs | RecordPairs


def hold_out(split: Split, share: float) -> tuple[Split, Split]:
    """`(training, calibration)` of a training split, the latter a share of it; see `tfres.data.holdout`."""
    if isinstance(split, RecordPairs):
        first = first_held_file(split.paths, split.counts, share)
        return tuple(RecordPairs(split.paths[part], split.counts[part]) for part in (slice(first), slice(first, None)))
    kept, held = held_out(split.size, share)
    return split.picked(kept), split.picked(held)


def fetch(split: Split, example: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Bytes of a picture and its label picture from an example of a pass: an index, or a serialized record."""
    if isinstance(split, RecordPairs):
        names = (PICTURE, LABEL)
        parsed = tf.io.parse_single_example(example, {name: tf.io.FixedLenFeature([], tf.string) for name in names})
        return parsed[PICTURE], parsed[LABEL]
    if isinstance(split, FilePairs):
        places = (tf.gather(tf.constant(paths), example) for paths in (split.pictures, split.labels))
        return tuple(tf.io.read_file(place) for place in places)
    found = tf.numpy_function(lambda i: (split.pictures[i], split.labels[i]), [example], (tf.string, tf.string))
    return tuple(tf.ensure_shape(encoded, []) for encoded in found)


def decode_pair(picture: tf.Tensor, label: tf.Tensor, table: Sequence[int]) -> tuple[tf.Tensor, tf.Tensor]:
    """A picture, uint8 RGB `(height, width, 3)`, and its classes, uint8 `(height, width)`.

    The operation fails where one of them cannot be read, they differ in size, or a label value is out of range.

    Args:
        picture, label: bytes.
        table: of a `LabelSet`.
    """
    image, values = decode(picture), _decode_label(label)
    same = refuse_unless(
        tf.reduce_all(tf.equal(tf.shape(image)[:2], tf.shape(values))),
        "a label picture of another size, (height, width)", tf.shape(values), "for", tf.shape(image)[:2],
    )  # fmt: skip
    classes = tf.gather(tf.convert_to_tensor(table, tf.int32), tf.cast(values, tf.int32))
    wrong = tf.reduce_max(tf.where(classes < 0, tf.cast(values, tf.int32), -1))
    with tf.control_dependencies([same, refuse_unless(wrong < 0, "the label value is out of range", wrong)]):
        return tf.identity(image), tf.cast(classes, tf.uint8)


def _decode_label(encoded: tf.Tensor) -> tf.Tensor:
    """The values of a label picture, uint8 `(height, width)`."""
    head = tf.strings.join([tf.strings.substr(encoded, 0, 26), b"\0" * 26])
    depth, colour = (tf.strings.substr(head, place, 1) for place in (24, 25))
    is_png = tf.equal(tf.strings.substr(head, 0, 8), b"\x89PNG\r\n\x1a\n")
    grey = refuse_unless(is_png & tf.equal(depth, b"\x08") & tf.equal(colour, b"\0"), _NO_GREY_PNG)
    with tf.control_dependencies([grey]):
        encoded = tf.identity(encoded)
    with tf.control_dependencies([shape_of(encoded)]):
        return tf.io.decode_png(encoded, channels=1)[:, :, 0]


def fault_of(picture: bytes, label: bytes, table: Sequence[int]) -> str | None:
    """What is wrong with a picture or its label picture, by decoding both; None when they are good."""
    try:
        _traced(picture, label, tf.constant(table, tf.int32))
    except tf.errors.OpError as error:
        return f"not usable ({reason(error)})"
    return None


@tf.function(input_signature=[tf.TensorSpec([], tf.string)] * 2 + [tf.TensorSpec([256], tf.int32)], autograph=False)
def _traced(picture: tf.Tensor, label: tf.Tensor, table: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    return decode_pair(picture, label, table)


def read_all(split: Split) -> Iterator[tuple[str, bytes | None, bytes | None, str | None]]:
    """`(where, picture, label, fault)` of every pair; of what cannot be read bytes are None and the fault says why."""
    if isinstance(split, MemoryPairs):
        yield from ((*pair, None) for pair in zip(split.names, split.pictures, split.labels, strict=True))
    elif isinstance(split, FilePairs):
        for paths in zip(split.pictures, split.labels, strict=True):
            yield paths[0], *read_files(*paths)
    else:
        for path in split.paths:
            for number, values, fault in records.read_features(path, {PICTURE: "bytes_list", LABEL: "bytes_list"}):
                yield f"{path}, record {number}", *(values or (None, None)), fault


def read_files(picture: str, label: str) -> tuple[bytes | None, bytes | None, str | None]:
    """Bytes of both files, or the fault of the first that cannot be read."""
    found = []
    for path in (picture, label):
        encoded, fault = read_file(path)
        if fault:
            return None, None, f"{path if path == label else 'it'}: {fault}"
        found.append(encoded)
    return *found, None


def find_faults(split: Split, table: Sequence[int], most: int = MOST) -> list[str]:
    """Reads everything, slowly, and says what is wrong with which pair; at most `most` messages."""
    found = ((where, fault or fault_of(picture, label, table)) for where, picture, label, fault in read_all(split))
    return listed(found, most)


def in_memory(split: Split) -> MemoryPairs:
    """The split with its encoded pictures in memory.

    Raises:
        DataError: files or records that cannot be read (the first are named).
    """
    if isinstance(split, MemoryPairs):
        return split
    found = list(read_all(split))
    faults = listed(((where, fault) for where, _, _, fault in found), None)
    if faults:
        raise unusable(faults)
    names = split.names if isinstance(split, FilePairs) else [pathlib.Path(where).name for where, *_ in found]
    return MemoryPairs([picture for _, picture, _, _ in found], [label for _, _, label, _ in found], names)


def drawn(size: int, height: int, width: int, classes: int, seed: int) -> MemoryPairs:
    """Generated pairs: rectangles of every class's colour on the first one's, with noise."""
    rng, pictures, labels = np.random.Generator(np.random.PCG64(seed)), [], []
    for _ in range(size):
        label = np.zeros((height, width), np.uint8)
        for number in rng.integers(0, classes, 6):
            (top, bottom), (left, right) = (np.sort(rng.integers(0, side + 1, 2)) for side in (height, width))
            label[top:bottom, left:right] = number
        shade = (np.arange(classes)[:, None] * [97, 59, 151] + 40) % 256
        image = np.clip(shade[label] + rng.normal(0, 12, (height, width, 3)), 0, 255).astype(np.uint8)
        pictures.append(tf.io.encode_png(image, compression=1).numpy())
        labels.append(tf.io.encode_png(label[..., None], compression=1).numpy())
    return MemoryPairs(pictures, labels, [f"fake{seed}-{number:05d}" for number in range(size)])
