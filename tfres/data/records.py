"""TFRecord files of pictures: the classic ImageNet schema and the one of tensorflow-datasets."""

import json
import pathlib
import struct

import tensorflow as tf

from tfres.data.errors import DataError

# Schema: (feature of the bytes, feature of the label, first label).
SCHEMAS = {
    "imagenet": ("image/encoded", "image/class/label", 1),
    "tfds": ("image", "label", 0),
}
_HEADER, _FOOTER = 12, 4  # length (8) and its checksum (4) before a record, its checksum after it


def count(path):
    """Number of records of a file, read from the lengths alone.

    Raises:
        DataError: the file ends inside a record.
    """
    records, position = 0, 0
    size = pathlib.Path(path).stat().st_size
    with open(path, "rb") as file:
        while position < size:
            file.seek(position)
            header = file.read(_HEADER)
            if len(header) == _HEADER:
                position += _HEADER + struct.unpack("<Q", header[:8])[0] + _FOOTER
            if len(header) < _HEADER or position > size:
                raise DataError(f"{path} is cut off inside record {records}.")
            records += 1
    if not records:
        raise DataError(f"{path} holds no record.")
    return records


def inspect(path):
    """`(schema, label offset)` of a file, from its first record.

    Raises:
        DataError: neither schema.
    """
    example = tf.train.Example()
    example.ParseFromString(next(iter(tf.data.TFRecordDataset(path).take(1))).numpy())
    for schema, (image, label, offset) in SCHEMAS.items():
        if image in example.features.feature and label in example.features.feature:
            return schema, offset
    known = " or ".join(f"{image}, {label}" for image, label, _ in SCHEMAS.values())
    raise DataError(f"{path} must have the features {known}. Received: {', '.join(example.features.feature)}.")


def class_names(path):
    """Names from `classes.json` beside the file, as `tfres.data.prepare` writes it; None without one."""
    listing = pathlib.Path(path).parent / "classes.json"
    return json.loads(listing.read_text()) if listing.exists() else None


def parse(serialized, schema, label_offset):
    """One record to `(picture bytes, int64 label from 0)`."""
    image, label, _ = SCHEMAS[schema]
    features = {image: tf.io.FixedLenFeature([], tf.string), label: tf.io.FixedLenFeature([], tf.int64)}
    parsed = tf.io.parse_single_example(serialized, features)
    return parsed[image], parsed[label] - label_offset
