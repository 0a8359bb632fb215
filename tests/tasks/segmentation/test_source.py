"""Layouts, shards, and everything that can be wrong with a pair of pictures."""

import pathlib

import numpy as np
import pytest

from tests.tasks.segmentation.scenes import CLASSES, camvid_folder, cityscapes_folder, opened, own_folder, png
from tfres import prepare as verb
from tfres.errors import DataError, SourceError
from tfres.files import write_json
from tfres.tasks.segmentation.labels import CITYSCAPES, read_labels
from tfres.tasks.segmentation.prepare import prepare


def classes_seen(task, source, split="validation"):
    return sorted({int(v) for b in task.evaluation_batches(source, [16], split) for v in np.unique(b["targets"]["labels"])})


def test_own_folder(tmp_path):
    task, source = opened(own_folder(tmp_path), holdout=0.25, limit=6)
    assert source.classes == CLASSES and (source.train.size, source.calibration.size, source.validation.size) == (4, 2, 3)
    assert classes_seen(task, source) == [0, 1, 2]
    _, again = opened(tmp_path, in_memory=True)
    assert again.validation.names == source.validation.names
    assert again.validation.pictures[0] == pathlib.Path(source.validation.pictures[0]).read_bytes()


def test_camvid_with_and_without_lists(tmp_path):
    _, source = opened(camvid_folder(tmp_path / "a"))
    assert source.classes == CLASSES and (source.train.size, source.validation.size) == (3, 1)
    assert source.table[3] == 255 and source.table[255] == -1 and source.palette.tolist() == [[0, 0, 9]] * 3
    _, whole = opened(camvid_folder(tmp_path / "b", lists=False))
    assert (whole.train.size, whole.validation.size) == (4, 2)


def test_cityscapes_and_lists_elsewhere(tmp_path):
    task, source = opened(cityscapes_folder(tmp_path / "data"))
    assert source.classes == CITYSCAPES.names and (source.train.size, source.validation.size) == (3, 2)
    assert classes_seen(task, source) == [0, 13, 255] and source.stored[13] == 26
    for split in ("train", "val"):
        text = f"leftImg8bit/{split}/town/town_p0_leftImg8bit.png\tgtFine/{split}/town/town_p0_gtFine_labelIds.png\n"
        (tmp_path / f"{split}.lst").write_text(text)
    _, listed = opened(tmp_path / "data", lists=str(tmp_path))
    assert (listed.train.size, listed.validation.size) == (1, 1)
    (tmp_path / "val.lst").write_text("one column\textra\tmore\n")
    with pytest.raises(SourceError, match=r"val.lst, line 1 must be a picture and its label picture"):
        opened(tmp_path / "data", lists=str(tmp_path))


def test_shards_hold_the_same(tmp_path):
    folder, records = own_folder(tmp_path / "folder"), tmp_path / "records"
    assert verb.main([str(folder), str(records), "--task", "segmentation", "--per-shard", "4"]) == 0
    (task, source), (other, stored) = opened(folder), opened(records)
    assert stored.classes == CLASSES and (stored.train.size, len(stored.train.paths), stored.validation.size) == (8, 2, 3)
    found = [
        sorted(b.tobytes() for batch in one.evaluation_batches(where, [(24, 32)]) for b in batch["targets"]["labels"].numpy())
        for one, where in ((task, source), (other, stored))
    ]
    assert found[0] == found[1]
    assert prepare(folder, records, 4) == ({"train": 8, "validation": 3}, [])
    assert opened(records, holdout=0.5)[1].calibration.size == 4


_BAD = {
    "no picture": (b"no picture", None, "not usable (no JPEG, PNG"),
    "no label picture": (None, b"x", "a label picture that is no PNG of one grey channel with 8 bits"),
    "colours": (None, png(np.zeros((24, 32, 3), np.uint8)), "a label picture that is no PNG of one grey channel"),
    "16 bits": (None, png(np.zeros((24, 32), np.uint16)), "a label picture that is no PNG of one grey channel with 8 bits"),
    "size": (None, png(np.zeros((24, 30), np.uint8)), "a label picture of another size, (height, width) 24 30 for 24 32"),
    "value": (None, png(np.full((24, 32), 9, np.uint8)), "the label value is out of range 9"),
    "cut off": (None, png(np.arange(768).reshape(24, 32).astype(np.uint8) % 3)[:60], "not usable"),
}


@pytest.mark.parametrize("what", _BAD)
def test_bad_pairs_are_named_in_use_and_skipped_by_prepare(tmp_path, what):
    folder = own_folder(tmp_path / "folder", train=3, val=2)
    picture, label, reason = _BAD[what]
    bad = folder / "images" / "val" / "p1.png"
    (bad if label is None else folder / "labels" / "val" / "p1.png").write_bytes(picture or label)
    task, source = opened(folder)
    with pytest.raises(DataError) as caught, task.explained(source):
        for _ in task.evaluation_batches(source, [16]):
            pass
    told = str(caught.value).splitlines()
    assert len(told) == 2 and told[1].strip().startswith(f"{bad}: ") and reason in told[1]
    counts, skipped = prepare(folder, tmp_path / "records")
    assert counts == {"train": 3, "validation": 1} and [path for path, _ in skipped] == [str(bad)]
    assert reason.removeprefix("not usable (") in skipped[0][1]


@pytest.mark.parametrize(
    ("lost", "told"), [("labels", "its label picture {} is not there"), ("images", "there is no picture of this name")]
)
def test_pairs_without_a_partner(tmp_path, lost, told):
    folder = own_folder(tmp_path / "folder", train=3, val=2)
    (folder / lost / "val" / "p1.png").unlink()
    with pytest.raises(DataError, match="Unusable pictures") as caught:
        opened(folder)
    assert told.format(folder / "labels" / "val" / "p1.png") in str(caught.value)
    assert len(prepare(folder, tmp_path / "records")[1]) == 1


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ([], "must hold a mapping"),
        ({}, "a list of distinct names as `classes`"),
        ({"classes": ["a", "a"]}, "a list of distinct names"),
        ({"classes": ["a"]}, "2 to 255 `classes`"),
        ({"classes": ["a", "b"], "ignore": 256}, "from 0 to 255 as `ignore`"),
        ({"classes": ["a", "b"], "values": [1]}, "2 `values` and colours"),
        ({"classes": ["a", "b"], "values": [1, 1]}, "as `values`"),
        ({"classes": ["a", "b"], "palette": [[1, 2], [1, 2, 3]]}, "as `palette`"),
    ],
)
def test_classes_that_are_none(tmp_path, content, told):
    write_json(tmp_path / "classes.json", content)
    with pytest.raises(SourceError, match=told):
        read_labels(tmp_path / "classes.json")


def test_folders_that_hold_nothing(tmp_path):
    with pytest.raises(SourceError, match="is no folder"):
        opened(tmp_path / "nowhere")
    with pytest.raises(SourceError, match="must hold images/train, images/val"):
        opened(tmp_path)
    own_folder(tmp_path / "a")
    (tmp_path / "a" / "classes.json").unlink()
    with pytest.raises(SourceError, match="classes.json"):
        opened(tmp_path / "a")
    own_folder(tmp_path / "b", val=0)
    with pytest.raises(SourceError, match="label pictures for validation. Received: none"):
        opened(tmp_path / "b")


def test_other_classes_are_matched_by_name(tmp_path):
    folder = own_folder(tmp_path)
    _, source = opened(folder, ["car", *reversed(CLASSES)])
    assert source.missing == ("car",) and source.table[:4] == [3, 2, 1, -1] and source.stored.tolist() == [255, 2, 1, 0]
    with pytest.raises(SourceError, match="must have classes that the network knows. Received: sky"):
        opened(folder, ["road", "tree"])
