"""Bad pictures and records in training, evaluation and memory: named, with the reason, once."""

import gzip

import pytest
import tensorflow as tf

from tests.data.pictures import example, picture_record, write_shard
from tests.data.test_decoding import _BAD as PICTURES
from tests.data.test_records import _RECORDS as RECORDS
from tests.tasks.helpers import opened, options, take
from tfres.errors import DataError
from tfres.tasks.classification import faults
from tfres.tasks.classification.source import open_source
from tfres.tasks.classification.task import Classification

_PARTS = ("train", "validation", "memory")


def _use(task, source, part):
    with task.explained(source):
        if part == "train":
            take(task, source, 3)
        else:
            list(task.evaluation_batches(source, [16]))


def _records(root, bad, part, classes=2):
    """Good shards of four records each, with one that is bad as the third of a split."""
    for split in ("train", "validation"):
        records = [picture_record(1 + i % classes) for i in range(4)]
        if split == part or (part == "memory" and split == "train"):
            records[2] = bad
        write_shard(root / f"{split}-00000-of-00001", records)


def _expect(root, part, words, classes=2):
    with pytest.raises(DataError, match=words) as caught:
        task, source = opened(root, classes=classes, in_memory=part == "memory")
        _use(task, source, part)
    assert caught.value.__cause__ is None
    for word in ("{{", "[Op:", "Traceback"):
        assert word not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "part"),
    [*((name, "memory") for name in RECORDS), *((name, "validation") for name in RECORDS), ("no Example", "train")],
)
def test_bad_records(tmp_path, name, part):
    record, words = RECORDS[name]
    _records(tmp_path, record, part)
    shard = "validation" if part == "validation" else "train"
    _expect(tmp_path, part, f"{shard}-00000-of-00001, record 2: .*{words}")


@pytest.mark.parametrize(
    ("label", "part"),
    [*((x, "validation") for x in (0, 3, -1, 2**31, 2**32 + 1, 2**63 - 1, -(2**63))), (2**32 + 1, "train"), (3, "memory")],
)
def test_labels_out_of_range(tmp_path, label, part):
    """2^32 + 1 would be 1 in 32 bits."""
    _records(tmp_path, picture_record(label), part)
    _expect(tmp_path, part, f"record 2: label {label} is out of range .2 classes, the first is 1.")


@pytest.mark.parametrize(
    ("name", "part"), [("nothing", "train"), ("jpeg without its last byte", "train"), ("png of 20000 x 1", "validation")]
)
def test_bad_pictures_in_records(tmp_path, name, part):
    encoded, words = PICTURES[name]
    _records(tmp_path, picture_record(1, encoded), part)
    _expect(tmp_path, part, f"record 2: not a readable picture .*{words}")


@pytest.mark.parametrize("name", PICTURES)
def test_bad_pictures_in_folders(pictures, name):
    encoded, words = PICTURES[name]
    bad = pictures / "val" / "b" / "1.jpg"
    bad.write_bytes(encoded)
    words = "is empty" if name == "nothing" else words
    _expect(pictures, "validation", f"{bad}: .*{words}")


@pytest.mark.parametrize("part", _PARTS)
def test_damaged_record_files(tmp_path, part):
    _records(tmp_path, picture_record(), part)
    shard = tmp_path / f"{'validation' if part == 'validation' else 'train'}-00000-of-00001"
    content = bytearray(shard.read_bytes())
    content[-10] ^= 0xFF
    shard.write_bytes(content)
    _expect(tmp_path, part, f"{shard}, record 3: the file cannot be read any further .*corrupted record")


def test_compressed_record_files(tmp_path):
    _records(tmp_path, picture_record(), "train")
    shard = tmp_path / "train-00000-of-00001"
    shard.write_bytes(gzip.compress(shard.read_bytes()))
    with pytest.raises(DataError, match="is compressed .gzip."):
        open_source(options(tmp_path))


def test_files_that_vanish_after_listing(pictures):
    task, source = opened(pictures, batch_size=5)
    gone = pictures / "train" / "a" / "0.jpg"
    gone.unlink()
    with pytest.raises(DataError, match=f"{gone}: No such file"), task.explained(source):
        take(task, source, 3)


@pytest.mark.parametrize("error", [tf.errors.InvalidArgumentError, tf.errors.NotFoundError])
def test_failures_of_other_things_do_not_read_the_data_again(pictures, monkeypatch, error):
    task, source = opened(pictures)
    monkeypatch.setattr(faults, "find_faults", lambda split: pytest.fail("the data were read again"))
    with pytest.raises(error, match="shapes of the model"), task.explained(source):
        raise error(None, None, "Incompatible shapes of the model: [2] vs. [3]")


def test_good_data_after_a_failure_keep_the_error(pictures):
    task, source = opened(pictures)
    with pytest.raises(tf.errors.InvalidArgumentError, match="Invalid JPEG"), task.explained(source):
        raise tf.errors.InvalidArgumentError(None, None, "Invalid JPEG data")


def test_many_faults_are_cut_to_twenty(tmp_path):
    for split in ("train", "validation"):
        write_shard(tmp_path / f"{split}-00000-of-00001", [picture_record()] + [example(image_encoded=[b""])] * 30)
    with pytest.raises(DataError) as caught:
        Classification.open(options(tmp_path, in_memory=True), 2)
    assert str(caught.value).count("\n") == 21 and "and 10 more" in str(caught.value)
