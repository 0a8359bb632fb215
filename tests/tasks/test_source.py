"""Sources: what they refuse, and classes by name."""

import json
import logging
import os

import numpy as np
import pytest

from tests.data.pictures import picture_record, write_pictures, write_shard
from tests.tasks.helpers import opened, options
from tfres.errors import DataError, SourceError, UsageError
from tfres.tasks.classification.prepare import prepare
from tfres.tasks.classification.source import open_source
from tfres.tasks.classification.task import Classification


def _found(task, source, split="validation"):
    """`(label, grey level)` of every picture."""
    return sorted(
        (int(label), int(image[8, 8, 0]))
        for batch in task.evaluation_batches(source, [16], split)
        for image, label in zip(batch["images"][16], batch["targets"], strict=True)
    )


def test_folder_and_its_records_hold_the_same(pictures, tmp_path):
    assert prepare(pictures, tmp_path / "records", per_shard=4) == ({"train": 10, "validation": 5}, [])
    (task, folder), (_, records) = opened(pictures), opened(tmp_path / "records")
    assert folder.classes == records.classes == ["a", "b"] and folder.named and records.named
    assert _found(task, folder) == _found(task, records)


def test_limit(pictures, tmp_path):
    source = open_source(options(pictures, limit=4))
    assert source.train.size == 4 and set(source.train.labels) == {0, 1}
    prepare(pictures, tmp_path / "records")
    with pytest.raises(SourceError, match="`limit` works with cifar10, fake and class folders"):
        open_source(options(tmp_path / "records", limit=4))


def test_sources_that_are_none(tmp_path, pictures):
    with pytest.raises(SourceError, match="`data` must be cifar10, fake, a folder.*nowhere") as caught:
        open_source(options(tmp_path / "nowhere"))
    assert isinstance(caught.value, UsageError)
    (tmp_path / "empty" / "train").mkdir(parents=True)
    with pytest.raises(SourceError, match="must hold train/ and val/"):
        open_source(options(tmp_path / "empty"))
    (tmp_path / "empty" / "val").mkdir()
    with pytest.raises(SourceError, match="No pictures"):
        open_source(options(tmp_path / "empty"))
    (pictures / "val" / "c").mkdir()
    with pytest.raises(SourceError, match="has classes that .* lacks: c"):
        open_source(options(pictures))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (os.mkfifo, "is a pipe"),
        (lambda path: path.mkdir(), "is a folder"),
        (lambda path: path.symlink_to("nowhere"), "is a link to nothing"),
        (lambda path: path.symlink_to(path), "leads in a circle"),
        (lambda path: path.write_bytes(b""), "is empty"),
    ],
)
@pytest.mark.parametrize("split", ["train", "val"])
def test_bad_files_in_class_folders_are_named(pictures, make, words, split):
    bad = pictures / split / "a" / "bad.png"
    make(bad)
    with pytest.raises(DataError, match=f"Unusable pictures:\n  {bad}: .*{words}"):
        open_source(options(pictures))


def test_records_of_other_names(tmp_path):
    write_shard(tmp_path / "pictures-00000-of-00001", [picture_record()])
    with pytest.raises(SourceError, match="TFRecord files must be named train.* Received: pictures-00000-of-00001"):
        open_source(options(tmp_path))


# Classes by name


@pytest.fixture
def other(tmp_path):
    """Lacks "b", has "a" and "c", which come first and second there."""
    write_pictures(tmp_path / "other", {"train": {"a": 2, "c": 2}, "val": {"a": 2, "c": 3}})
    return tmp_path / "other"


@pytest.mark.parametrize("form", ["folder", "records", "records in memory"])
def test_labels_of_other_data_are_mapped_by_name(other, tmp_path, form, caplog):
    if form != "folder":
        prepare(other, tmp_path / "records")
    place = other if form == "folder" else tmp_path / "records"
    task, _ = opened("fake", classes=3)
    with caplog.at_level(logging.WARNING):
        source = Classification.open(options(place, in_memory=form == "records in memory"), ["b", "c", "a"])
    assert source.classes == ["b", "c", "a"] and source.missing == ("b",)
    assert f"{place} lacks 1 of the network's 3 classes: b" in caplog.text
    assert [label for label, _ in _found(task, source)] == [1, 1, 1, 2, 2]
    grey = {label: value for label, value in _found(task, source)}
    assert grey[2] < 20 and grey[1] > 30 and set(_found(task, source, "train")) <= {(2, 0), (2, 8), (1, 40), (1, 48)}


def test_classes_that_the_network_does_not_know(other):
    with pytest.raises(SourceError, match=f"{other} must have classes that the network knows. Received: c"):
        Classification.open(options(other), ["a", "b"])


def test_same_classes_stay(pictures):
    source = open_source(options(pictures))
    assert source.relabelled(["a", "b"]) is source


def test_classes_without_names_must_agree_in_number(pictures, other, tmp_path):
    prepare(pictures, tmp_path / "records")
    (tmp_path / "records" / "classes.json").unlink()
    unnamed = Classification.open(options(tmp_path / "records"), ["x", "y"])
    assert not unnamed.named and unnamed.classes == ["x", "y"] and unnamed.missing == ()
    assert Classification.open(options(pictures), ["0", "1"]).classes == ["0", "1"]
    with pytest.raises(SourceError, match=f"{other} must have 3 classes, since they have no names.*Received: 2 classes"):
        Classification.open(options(other), ["0", "1", "2"])


def test_cifar_names_are_names(monkeypatch, tmp_path):
    from tfres.data import cifar10

    arrays = (np.zeros((4, 32, 32, 3), np.uint8), np.arange(4)) * 2
    monkeypatch.setattr(cifar10, "load", lambda cache: arrays)
    turned = list(reversed(cifar10.CLASSES))
    source = Classification.open(options("cifar10", side=32, crop="pad"), turned)
    assert source.validation.labels.tolist() == [9, 8, 7, 6] and source.missing == ()
    write_pictures(tmp_path / "some", {"train": {"cat": 1, "frog": 1}, "val": {"cat": 1, "frog": 1}})
    source = Classification.open(options(tmp_path / "some"), cifar10.CLASSES)
    assert source.validation.labels.tolist() == [3, 6] and len(source.missing) == 8


def test_classes_json_is_checked(pictures, tmp_path):
    prepare(pictures, tmp_path / "records")
    (tmp_path / "records" / "classes.json").write_text(json.dumps({"a": 1}))
    with pytest.raises(DataError, match="classes.json must be a JSON list"):
        open_source(options(tmp_path / "records"))
