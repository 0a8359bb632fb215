"""TFRecord files of pictures: the classic ImageNet schema and the one of tensorflow-datasets."""

from __future__ import annotations

import functools
import glob
import json
import pathlib
import re
import struct
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import tensorflow as tf
from google.protobuf.message import DecodeError

from tfres.data.decoding import reason
from tfres.data.listing import file_fault
from tfres.errors import DataError, SourceError

_HEADER, _FOOTER = 12, 4  # length (8) and its checksum (4) before a record, its checksum after it
_SHARD = re.compile(r"(.*)-(\d+)-of-(\d+)(.*)")
_COMPRESSED = {b"\x1f\x8b": "gzip", b"\x78\x01": "zlib", b"\x78\x5e": "zlib", b"\x78\x9c": "zlib", b"\x78\xda": "zlib"}


class Schema(NamedTuple):
    """Names of the features that hold the picture's bytes and its label, and the number of the first label."""

    image: str
    label: str
    first_label: int


SCHEMAS = (Schema("image/encoded", "image/class/label", 1), Schema("image", "label", 0))


def find_files(text: str) -> list[str]:
    """Files of a TFRecord pattern or folder, sorted; empty when it is something else.

    Raises:
        SourceError: shards are missing, or something named like one is no file that can be read.
    """
    folder = pathlib.Path(text)
    if folder.is_dir():
        paths = [path for path in folder.iterdir() if _SHARD.fullmatch(path.name) or path.suffix == ".tfrecord"]
        paths = [path for path in paths if not path.name.startswith(".")]
        if not any(path.is_file() for path in paths):
            return []
    else:
        paths = [pathlib.Path(path) for path in glob.glob(text)]
    files = sorted(map(str, paths))
    for path in files:
        fault = file_fault(path)
        if fault:
            raise SourceError(f"{path} must be a TFRecord file. Received: it {fault}.")
    _check_complete(files)
    return files


def _check_complete(files: list[str]) -> None:
    groups: dict[tuple[str, str], dict[int, set[int]]] = {}
    for path in files:
        match = _SHARD.fullmatch(path)
        if match:
            groups.setdefault((match[1], match[4]), {}).setdefault(int(match[3]), set()).add(int(match[2]))
    for (before, after), by_total in groups.items():
        if len(by_total) > 1:
            raise SourceError(f"{before}-*{after} must be the shards of one set. Received: sets of {sorted(by_total)} shards.")
        ((total, found),) = by_total.items()
        if len(found) != total or max(found) >= total:
            missing = [number for number in range(min(total, max(found) + 2)) if number not in found]
            shown = ", ".join(map(str, missing[:10])) + (" ..." if len(missing) > 10 else "")
            raise SourceError(
                f"{before}-*-of-*{after} must be all {total} shards. Received: {len(found)} shards; number {shown} is missing."
            )


def count(path: str | pathlib.Path) -> int:
    """Number of records of a file, read from the lengths alone.

    Raises:
        DataError: no TFRecord file, compressed, empty, damaged, or it ends inside a record.
    """
    fault = file_fault(path)
    if fault:
        raise DataError(f"{path} must be a TFRecord file. Received: it {fault}.")
    records, position, size = 0, 0, pathlib.Path(path).stat().st_size
    with open(path, "rb") as file:
        while position < size:
            file.seek(position)
            header = file.read(_HEADER)
            if not records and header[:2] in _COMPRESSED and not _is_header(header):
                raise DataError(f"{path} is compressed ({_COMPRESSED[header[:2]]}); TFRecord files must be plain.")
            if len(header) == _HEADER:
                position += _HEADER + struct.unpack("<Q", header[:8])[0] + _FOOTER
            complete = len(header) == _HEADER and position <= size
            if (not complete or not records) and len(header) == _HEADER and not _is_header(header):
                raise DataError(
                    f"{path} is damaged at record {records}, or no TFRecord file: the checksum of the length is wrong."
                )
            if not complete:
                raise DataError(f"{path} is cut off inside record {records}.")
            records += 1
    return records


def _is_header(header: bytes) -> bool:
    """Whether a record's length has the right checksum."""
    if len(header) < _HEADER:
        return False
    crc = _crc32c(header[:8])
    masked = ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
    return masked == struct.unpack("<I", header[8:])[0]


def _crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _crc_table()[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


@functools.cache
def _crc_table() -> list[int]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return table


def inspect(path: str) -> Schema:
    """The schema of a file, from its first record.

    Raises:
        DataError: neither schema, or a record that cannot be read.
    """
    try:
        example = tf.train.Example.FromString(next(iter(tf.data.TFRecordDataset(path))).numpy())
    except DecodeError:
        raise DataError(f"{path}, record 0: no tf.train.Example.") from None
    except tf.errors.OpError as error:
        raise DataError(f"{path}, record 0: {reason(error)}.") from None
    features = example.features.feature
    for schema in SCHEMAS:
        if schema.image in features and schema.label in features:
            return schema
    known = " or ".join(f"{schema.image} and {schema.label}" for schema in SCHEMAS)
    raise DataError(f"{path}, record 0: must have the features {known}. Received: {', '.join(sorted(features)) or 'none'}.")


def class_names(path: str) -> list[str] | None:
    """Names from `classes.json` beside the file, as `tfres.prepare` writes it; None without one.

    Raises:
        DataError: it is no list of distinct names.
    """
    listing = pathlib.Path(path).parent / "classes.json"
    if not listing.exists():
        return None
    try:
        names = json.loads(listing.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{listing} must be a JSON list of distinct class names. Received: {error}.") from None
    listed = isinstance(names, list) and names and all(isinstance(name, str) and name for name in names)
    if not listed or len(set(names)) != len(names):
        raise DataError(f"{listing} must be a JSON list of distinct class names. Received: {str(names)[:100]}.")
    return names


def parse(serialized: tf.Tensor, schema: Schema) -> tuple[tf.Tensor, tf.Tensor]:
    """One record to `(picture bytes, stored int64 label)`; a tensor function."""
    features = {schema.image: tf.io.FixedLenFeature([], tf.string), schema.label: tf.io.FixedLenFeature([], tf.int64)}
    parsed = tf.io.parse_single_example(serialized, features)
    return parsed[schema.image], parsed[schema.label]


def read(path: str, schema: Schema) -> Iterator[tuple[int, bytes | None, int | None, str | None]]:
    """`(number, picture bytes, stored label, fault)` of every record; see `read_features`."""
    for number, values, fault in read_features(path, {schema.image: "bytes_list", schema.label: "int64_list"}):
        yield number, *(values or (None, None)), fault


def read_features(path: str, kinds: Mapping[str, str]) -> Iterator[tuple[int, list | None, str | None]]:
    """`(number, values, fault)` of every record; where a fault is told, there are no values.

    A damaged file ends with a fault: nothing behind the damage can be found.

    Args:
        path: of the file.
        kinds: name of a feature with one value -> "bytes_list" or "int64_list".
    """
    number, serialized = 0, iter(tf.data.TFRecordDataset(path))
    while True:
        try:
            record = next(serialized).numpy()
        except StopIteration:
            return
        except tf.errors.OpError as error:
            yield number, None, f"the file cannot be read any further ({reason(error)})"
            return
        yield number, *_fields(record, kinds)
        number += 1


def _fields(record: bytes, kinds: Mapping[str, str]) -> tuple[list | None, str | None]:
    try:
        features = tf.train.Example.FromString(record).features.feature
    except DecodeError:
        return None, "no tf.train.Example"
    values = []
    for name, kind in kinds.items():
        if name not in features:
            return None, f"it has no feature {name}"
        found = getattr(features[name], kind).value
        if len(found) != 1:
            called = "bytes" if kind == "bytes_list" else "whole number"
            return None, f"its feature {name} must be one {called} value"
        values.append(found[0])
    return values, None
