"""Pictures that are held out from training, for calibrating when a network is left."""

import logging

import numpy as np
import pytest

from tests.data.pictures import picture_record, write_pictures, write_shard
from tests.tasks.helpers import opened, options, take
from tfres.data.holdout import held_out
from tfres.errors import DataError, SourceError
from tfres.tasks.classification.prepare import prepare
from tfres.tasks.classification.source import open_source
from tfres.tasks.classification.splits import ArraySplit, read_all
from tfres.tasks.classification.task import Classification


def _pictures(split):
    """`(label, bytes)` of every picture of a split, in its order."""
    if isinstance(split, ArraySplit):
        return [(int(label), image.tobytes()) for image, label in zip(split.images, split.labels, strict=True)]
    return [(label, encoded) for _, encoded, label, _ in read_all(split)]


def _seen(batches):
    """`(label, pixels)` of every picture of batches."""
    return [
        (int(label), np.asarray(image).tobytes())
        for batch in batches
        for image, label in zip(batch["images"], batch["targets"], strict=True)
    ]


@pytest.fixture(params=["fake", "folder", "folder in memory", "records", "records in memory"])
def place(request, pictures, tmp_path):
    """`(source, fields)`; the records are shards of 4, 4 and 2 pictures."""
    name, _, memory = request.param.partition(" ")
    if name == "records":
        prepare(pictures, tmp_path / "records", per_shard=4)
    places = {"fake": "fake", "folder": pictures, "records": tmp_path / "records"}
    return places[name], {"in_memory": bool(memory), "fake_size": 10, "batch_size": 2}


# Which


def test_held_out_and_kept_are_everything():
    for size, share, count in ((10, 0.2, 2), (50_000, 0.1, 5000), (7, 0.9, 6), (3, 0.4, 1)):
        kept, held = held_out(size, share)
        assert len(held) == count and sorted([*kept, *held]) == list(range(size))
        assert (np.diff(kept) > 0).all() and (np.diff(held) > 0).all()


def test_the_split_never_changes():
    """A policy that was calibrated long ago must find its pictures: these are the numbers."""
    assert held_out(20, 0.3)[1].tolist() == [4, 5, 6, 9, 11, 17]
    assert held_out(20, 0.1)[1].tolist() == [5, 17]  # a smaller share is part of a larger one


@pytest.mark.parametrize(("size", "share", "count"), [(1, 0.5, 0), (1, 0.9, 1), (2, 0.9, 2), (10, 0.04, 0)])
def test_nothing_left_on_one_side(size, share, count):
    with pytest.raises(SourceError, match=f"holdout={share:g}, which is {count} of {size} training pictures"):
        open_source(options("fake", fake_size=size, holdout=share))


# Sources


def test_disjoint_and_complete(place):
    where, fields = place
    (task, whole), (_, source) = opened(where, **fields), opened(where, **fields, holdout=0.2)
    assert whole.calibration is None and whole.size == 10
    assert (source.size, source.train.size, source.calibration.size) == (8, 8, 2)
    train, held = _pictures(source.train), _pictures(source.calibration)
    assert len({*train, *held}) == 10 and sorted(train + held) == sorted(_pictures(whole.train))
    assert _pictures(source.validation) == _pictures(whole.validation)
    assert task.steps_per_epoch(whole) == 5 and task.steps_per_epoch(source) == 4


def test_opened_again_it_is_the_same(place):
    where, fields = place
    first, again = (open_source(options(where, **fields, holdout=0.4)) for _ in range(2))
    assert list(first.splits) == ["train", "validation", "calibration"]
    for split in first.splits:
        assert _pictures(first.splits[split]) == _pictures(again.splits[split])


def test_memory_changes_nothing(pictures, tmp_path):
    prepare(pictures, tmp_path / "records", per_shard=4)
    for where in (pictures, tmp_path / "records"):
        files, memory = (open_source(options(where, holdout=0.3, in_memory=kept)) for kept in (False, True))
        assert _pictures(files.train) == _pictures(memory.train)
        assert _pictures(files.calibration) == _pictures(memory.calibration)


def test_batches_of_what_is_held_out(pictures):
    """Cut as evaluation does, in the order of the source; training never sees them, whatever its seed, nor when it goes on."""
    fields = {"holdout": 0.2, "crop": "none", "flip": "none", "batch_size": 2}
    task, source = opened(pictures, **fields)
    batches = list(task.evaluation_batches(source, [16], "calibration"))
    held = _seen({"images": batch["images"][16], "targets": batch["targets"]} for batch in batches)
    cut = [task.evaluation_picture(encoded, 16).numpy().tobytes() for _, encoded in _pictures(source.calibration)]
    assert held == list(zip(source.calibration.labels.tolist(), cut, strict=True))
    for seed in (0, 1):
        seen = _seen(take(task, source, 4, seed=seed))
        assert len(set(seen)) == 8 and not set(seen) & set(held)
    assert _seen(take(*opened(pictures, **fields), 2, first_step=2, seed=1)) == seen[4:]


def test_limit_comes_first(pictures):
    limited, held = open_source(options(pictures, limit=4)), open_source(options(pictures, limit=4, holdout=0.5))
    assert sorted(held.train.paths + held.calibration.paths) == sorted(limited.train.paths)
    assert held.train.size == held.calibration.size == 2


@pytest.mark.parametrize("share", [None, 0])
def test_nothing_held_out(share):
    task, source = opened("fake", holdout=share)
    assert source.calibration is None
    with pytest.raises(DataError, match="`holdout` must be above 0 in training .data.holdout.*fake with nothing held out"):
        task.evaluation_batches(source, [16], "calibration")


def test_labels_of_all_splits_are_mapped(pictures):
    source = open_source(options(pictures, holdout=0.4))
    turned = source.relabelled(["b", "x", "a"])
    assert list(turned.splits) == ["train", "validation", "calibration"]
    for name, split in source.splits.items():
        assert turned.splits[name].labels.tolist() == [{0: 2, 1: 0}[label] for label in split.labels.tolist()]


def test_labels_of_held_out_shards_are_mapped(pictures, tmp_path):
    prepare(pictures, tmp_path / "records", per_shard=4)
    source = Classification.open(options(tmp_path / "records", holdout=0.4), ["b", "x", "a"])
    assert source.calibration.mapping == source.train.mapping == (2, 0)


# Pictures that were put aside


@pytest.mark.parametrize("name", ["calibration", "holdout"])
def test_folder_of_its_own(pictures, name, caplog):
    write_pictures(pictures, {name: {"a": 1, "b": 2}})
    with caplog.at_level(logging.INFO):
        source = open_source(options(pictures, holdout=0.5, limit=6, in_memory=True))
    assert (source.train.size, source.calibration.size) == (6, 3) and source.calibration.labels.tolist() == [0, 1, 1]
    assert f"{pictures}: 6 pictures to train on, 3 held out." in caplog.text
    assert open_source(options(pictures)).calibration is None
    (pictures / name / "c").mkdir()
    with pytest.raises(SourceError, match=f"{name} has classes that .*train lacks: c"):
        open_source(options(pictures, holdout=0.5))


def _shards(folder, **counts):
    for split, numbers in counts.items():
        for number, count in enumerate(numbers):
            write_shard(folder / f"{split}-{number:05d}-of-{len(numbers):05d}", [picture_record()] * count)


@pytest.mark.parametrize("name", ["calibration", "holdout"])
def test_shards_of_their_own(tmp_path, name):
    _shards(tmp_path, train=[5], validation=[2], **{name: [2, 1]})
    source = open_source(options(tmp_path, holdout=0.1))
    assert (source.train.size, source.calibration.counts) == (5, [2, 1])
    assert open_source(options(tmp_path)).calibration is None


@pytest.mark.parametrize(
    ("share", "held"), [(0.01, [2]), (0.1, [2]), (0.25, [3, 2]), (0.4, [5, 3, 2]), (0.3125, [3, 2]), (0.9, [10, 5, 3, 2])]
)
def test_last_shards_nearest_to_the_share(tmp_path, share, held):
    _shards(tmp_path, train=[4, 10, 5, 3, 2], validation=[1])
    source = open_source(options(tmp_path, holdout=share))
    assert source.calibration.counts == held and source.train.counts + held == [4, 10, 5, 3, 2]
    assert not set(source.train.paths) & set(source.calibration.paths)


def test_one_shard_cannot_be_divided(tmp_path):
    _shards(tmp_path, train=[6], validation=[1])
    with pytest.raises(SourceError, match="`holdout` must be 0 with one training shard") as caught:
        open_source(options(tmp_path, holdout=0.1, in_memory=True))
    for word in ("Received: holdout=0.1", "train-00000-of-00001", "--per-shard", "calibration*", "data.holdout 0"):
        assert word in str(caught.value)
    assert open_source(options(tmp_path, holdout=0.0)).train.size == 6
