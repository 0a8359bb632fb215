"""TFRecord files that are cut, damaged, foreign or incomplete."""

import gzip
import json
import os
import struct
import zlib

import pytest
import tensorflow as tf

from tests.data.pictures import example, picture_record, write_shard
from tfres.data import records
from tfres.errors import DataError, SourceError

_CLASSIC = records.SCHEMAS[0]


@pytest.fixture
def shard(tmp_path):
    path = tmp_path / "train-00000-of-00001"
    write_shard(path, [picture_record(label) for label in (1, 2, 3)])
    return path


def _flipped(content, place):
    return content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :]


_FILES = {
    "empty": (lambda content: b"", "it is empty"),
    "text": (lambda content: b"just some lines of text\n" * 9, "damaged at record 0, or no TFRecord file"),
    "one byte": (lambda content: b"\0", "cut off inside record 0"),
    "gzip": (gzip.compress, "is compressed .gzip."),
    "zlib": (zlib.compress, "is compressed .zlib."),
    "last byte cut": (lambda content: content[:-1], "cut off inside record 2"),
    "cut in the header": (lambda content: content[: -(len(content) // 3) + 5], "cut off inside record 2"),
    "length damaged": (lambda content: _flipped(content, 5), "damaged at record 0"),
    "absurd length": (lambda content: struct.pack("<Q", 2**63) + content[8:], "damaged at record 0"),
}


@pytest.mark.parametrize("name", _FILES)
def test_files_that_are_none(shard, name):
    change, words = _FILES[name]
    shard.write_bytes(change(shard.read_bytes()))
    with pytest.raises(DataError, match=words) as caught:
        records.count(shard)
    assert str(shard) in str(caught.value)


@pytest.mark.parametrize(("make", "words"), [(os.mkfifo, "is a pipe"), (os.mkdir, "is a folder")])
def test_no_file_at_all(tmp_path, make, words):
    make(tmp_path / "train-00000-of-00001")
    with pytest.raises(DataError, match=words):
        records.count(tmp_path / "train-00000-of-00001")


def test_a_whole_file(shard):
    assert records.count(shard) == 3
    assert records.inspect(str(shard)) == _CLASSIC
    assert [(number, label, fault) for number, _, label, fault in records.read(str(shard), _CLASSIC)] == [
        (0, 1, None), (1, 2, None), (2, 3, None)
    ]  # fmt: skip


@pytest.mark.parametrize("place", [20, 60, -2])
def test_damage_inside_a_record_is_found_by_its_checksum(shard, place):
    content = shard.read_bytes()
    shard.write_bytes(_flipped(content, place % len(content)))
    *_, (number, encoded, label, fault) = records.read(str(shard), _CLASSIC)
    assert number == (2 if place < 0 else 0) and encoded is None and label is None
    assert "cannot be read any further" in fault and "corrupted record" in fault


_PNG = b"bytes"
_RECORDS = {
    "no Example": (b"\xff\xff\xff no message", "no tf.train.Example"),
    "no features": (b"", "has no feature image/encoded"),
    "no picture": (example(image_class_label=[1]), "has no feature image/encoded"),
    "no label": (example(image_encoded=[_PNG]), "has no feature image/class/label"),
    "label of bytes": (example(image_encoded=[_PNG], image_class_label=[b"cat"]), "must be one whole number"),
    "label of floats": (example(image_encoded=[_PNG], image_class_label=[1.0]), "must be one whole number"),
    "two labels": (example(image_encoded=[_PNG], image_class_label=[1, 2]), "must be one whole number"),
    "picture of numbers": (example(image_encoded=[1, 2, 3], image_class_label=[1]), "must be one bytes value"),
    "two pictures": (example(image_encoded=[_PNG, _PNG], image_class_label=[1]), "must be one bytes value"),
}


@pytest.mark.parametrize("name", _RECORDS)
def test_records_that_are_none(shard, name):
    record, words = _RECORDS[name]
    write_shard(shard, [picture_record(), record, picture_record()])
    found = list(records.read(str(shard), _CLASSIC))
    assert [fault is None for *_, fault in found] == [True, False, True]
    assert found[1][0] == 1 and words in found[1][3]


@pytest.mark.parametrize("name", ["no Example", "no features", "no picture", "no label"])
def test_first_records_that_are_none(shard, name):
    write_shard(shard, [_RECORDS[name][0]])
    with pytest.raises(DataError, match="record 0"):
        records.inspect(str(shard))


_SETS = {
    "first": ([1, 2], 3, "number 0 is missing"),
    "middle": ([0, 2], 3, "number 1 is missing"),
    "last": ([0, 1], 3, "number 2 is missing"),
    "most": ([4], 10**9, "number 0, 1, 2, 3, 5 is missing"),
}


@pytest.mark.parametrize("name", _SETS)
@pytest.mark.parametrize("pattern", ["", "*"])
def test_missing_shards(tmp_path, name, pattern):
    numbers, total, words = _SETS[name]
    for number in numbers:
        (tmp_path / f"train-{number:05d}-of-{total:05d}").write_bytes(b"content")
    with pytest.raises(SourceError, match=words):
        records.find_files(str(tmp_path / pattern))


def test_shards_of_two_sets(tmp_path):
    for name in ("train-00000-of-00001", "train-00000-of-00002", "train-00001-of-00002"):
        (tmp_path / name).write_bytes(b"content")
    with pytest.raises(SourceError, match=r"must be the shards of one set. Received: sets of \[1, 2\]"):
        records.find_files(str(tmp_path))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: path.mkdir(), "is a folder"),
        (lambda path: path.symlink_to("nowhere"), "is a link to nothing"),
        (lambda path: path.symlink_to(path), "leads in a circle"),
        (os.mkfifo, "is a pipe"),
    ],
)
def test_what_is_only_named_like_a_shard(shard, make, words):
    make(shard.with_name("validation-00000-of-00001"))
    with pytest.raises(SourceError, match=f"validation-00000-of-00001 must be a TFRecord file. Received: it .*{words}"):
        records.find_files(str(shard.parent))


def test_our_own_temporary_files_are_passed_over(shard):
    (shard.parent / ".train-00001-of-00002.abc.tmp").write_bytes(b"")
    assert records.find_files(str(shard.parent)) == [str(shard)]


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[]", b"[1, 2]", b'["a", "a"]', b'["a", ""]', b"\xff\xfe", b"[" * 100000, b"null"]
)
def test_bad_class_lists(shard, content):
    (shard.parent / "classes.json").write_bytes(content)
    with pytest.raises(DataError, match="classes.json must be a JSON list of distinct class names"):
        records.class_names(str(shard))


def test_class_list(shard):
    assert records.class_names(str(shard)) is None
    (shard.parent / "classes.json").write_text(json.dumps(["é", "b"]), encoding="utf-8")
    assert records.class_names(str(shard)) == ["é", "b"]


def test_parse_is_the_readers_twin(shard):
    encoded, label = records.parse(tf.constant(picture_record(7, b"picture")), _CLASSIC)
    assert encoded.numpy() == b"picture" and int(label) == 7 and label.dtype == tf.int64
