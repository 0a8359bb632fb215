"""The index of a checkpoint, read without TensorFlow, which ends the process on an index that is damaged in some ways.

An index is a sorted table: blocks of `key -> value` (keys share their beginnings), a block of the blocks' places, and a
footer. The empty key has the header (number of data files), every other key is a tensor's name and has its entry: kind,
shape, data file, place and length there.
"""

from __future__ import annotations

import pathlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

MAGIC, FOOTER, TRAILER = bytes.fromhex("57fb808b247547db"), 48, 5
LARGEST = 2**28
# Bytes of a number by TensorFlow's number of its kind; texts (7) have no fixed length.
_TEXT = 7
_BYTES = {1: 4, 2: 8, 3: 4, 4: 1, 5: 2, 6: 1, _TEXT: 0, 8: 8, 9: 8, 10: 1, 14: 2, 17: 2, 18: 16, 19: 2, 22: 4, 23: 8}

# Fields of the messages by number: 0 for a number, 2 for bytes with a length, 5 for four bytes. Nothing else may be there.
_HEADER, _VERSION = {1: 0, 2: 0, 3: 2}, {1: 0, 2: 0}
_ENTRY, _SHAPE, _DIMENSION = {1: 0, 2: 2, 3: 0, 4: 0, 5: 0, 6: 5}, {2: 2}, {1: 0}


def check_index(prefix: pathlib.Path) -> None:
    """Hold every entry of an index against the data files beside it.

    Raises:
        ValueError: what is wrong, in one line. OSError: the files cannot be read.
    """
    path = prefix.with_name(f"{prefix.name}.index")
    damaged = f"{path} is cut, damaged or no index"
    if path.stat().st_size > LARGEST:
        raise ValueError(f"{path} is larger than an index can be")
    data = path.read_bytes()
    if len(data) < FOOTER or data[-len(MAGIC) :] != MAGIC:
        raise ValueError(damaged)
    try:
        entries = list(_table(data))
        if not entries or entries[0][0] != b"":
            raise ValueError("no header")
        header = _fields(entries[0][1], _HEADER)
        for version in header.get(3, []):
            _fields(version, _VERSION)
        shards = header.get(1, [0])[-1]
        sizes = [
            prefix.with_name(f"{prefix.name}.data-{i:05}-of-{shards:05}").stat().st_size for i in range(min(shards, 9999))
        ]
        described = [(key.decode("utf-8"), _place(_fields(value, _ENTRY))) for key, value in entries[1:]]
    except (ValueError, IndexError, TypeError, UnicodeDecodeError) as error:
        raise ValueError(damaged) from error
    for name, (shard, offset, size) in described:
        if shard >= len(sizes) or offset + size > sizes[shard]:
            raise ValueError(f"the tensor {name[:200]} ends beyond its data file, which is cut or another's")


def _table(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """All keys and values of a table."""
    _, place = _number(data, len(data) - FOOTER)
    _, place = _number(data, place)
    for _, handle in _block(data, *_handle(data, place)):
        yield from _block(data, *_handle(handle, 0))


def _handle(data: bytes, place: int) -> tuple[int, int]:
    offset, place = _number(data, place)
    return offset, _number(data, place)[0]


def _block(data: bytes, offset: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    if size < 4 or offset + size + TRAILER > len(data) or data[offset + size] != 0:  # 0: not compressed
        raise ValueError("a block beyond the file")
    block, key, place = data[offset : offset + size], b"", 0
    end = size - 4 - 4 * int.from_bytes(block[-4:], "little")
    if end < 0:
        raise ValueError("a block without an end")
    while place < end:
        shared, place = _number(block, place)
        more, place = _number(block, place)
        length, place = _number(block, place)
        if shared > len(key) or place + more + length > end:
            raise ValueError("an entry beyond its block")
        key = key[:shared] + block[place : place + more]
        yield key, block[place + more : place + more + length]
        place += more + length


def _number(data: bytes, place: int) -> tuple[int, int]:
    """A number of variable length, and the place behind it."""
    value = 0
    for shift in range(0, 64, 7):
        byte = data[place]
        place += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, place
    raise ValueError("a number without an end")


def _fields(data: bytes, known: dict[int, int]) -> dict[int, list]:
    """Fields of a protocol buffer by number: numbers, and bytes of what has a length."""
    fields, place = {}, 0
    while place < len(data):
        tag, place = _number(data, place)
        number, kind = tag >> 3, tag & 7
        if known.get(number) != kind:
            raise ValueError("a field that is not known")
        value, place = _number(data, place) if kind != 5 else (4, place)
        if kind != 0:
            value, place = data[place : place + value], place + value
        if place > len(data):
            raise ValueError("a field beyond its message")
        fields.setdefault(number, []).append(value)
    return fields


def _place(fields: dict[int, list]) -> tuple[int, int, int]:
    """Data file, offset and length of a tensor, whose kind and shape must agree with the length."""
    kind, shapes = fields.get(1, [0])[-1], fields.get(2, [b""])
    if kind not in _BYTES or len(shapes) != 1:
        raise ValueError("a tensor of no known kind")
    shape = _fields(shapes[0], _SHAPE)
    count = 1
    for dimension in shape.get(2, []):
        side = _fields(dimension, _DIMENSION).get(1, [0])[-1]
        count *= side
        if max(side, count) >= 2**48:  # a negative side is one of 2**63 and more
            raise ValueError("a shape that is too large")
    shard, offset, size = (fields.get(number, [0])[-1] for number in (3, 4, 5))
    if len(shape.get(2, [])) > 32 or (count * _BYTES[kind] != size if kind != _TEXT else count > size):
        raise ValueError("a shape that is not the data's")
    return shard, offset, size
