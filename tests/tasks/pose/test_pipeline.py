"""Cuts of people: reproducible, at the joints, from files and from records alike."""

import json

import cv2
import numpy as np
import pytest

from tests.tasks.pose.people import STILL, annotation, opened, take, truth, write_folder
from tfres.errors import DataError, SourceError
from tfres.tasks.pose import frames, heatmaps
from tfres.tasks.pose.prepare import prepare


def test_interrupted_runs_see_the_same(tmp_path):
    task, source = opened(fake_size=7)
    whole = take(task, source, 6, seed=3)
    for batch, again in zip(whole[4:], take(task, source, 2, first_step=4, seed=3), strict=True):
        for name in batch:
            np.testing.assert_array_equal(batch[name], again[name])
    assert whole[0]["images"].shape == (2, 64, 48, 3) and whole[0]["targets"].shape == (2, 17, 3)
    assert any(np.any(a["images"] != b["images"]) for a, b in zip(whole, take(task, source, 6, seed=4), strict=True))


def test_replicas_share_a_step():
    task, source = opened(fake_size=6)
    (whole,) = take(task, source, 1)
    parts = take(task, source, 2, replicas=2)
    for name in ("images", "targets"):
        np.testing.assert_array_equal(whole[name], np.concatenate([part[name] for part in parts]))


@pytest.mark.parametrize("changes", [STILL, {**STILL, "mirror": True}, {**STILL, "rotation": 45.0}, {**STILL, "scale": 0.35}])
def test_targets_lie_on_the_joints(changes):
    """The nose of generated people is the one white patch: it is where the targets say, whatever was done to the cut."""
    task, source = opened(fake_size=16, batch_size=16, crop="128x96", **changes)
    (batch,) = take(task, source, 1)
    x, y = np.round(batch["targets"][:, 0, :2]).astype(int).T
    inside = np.flatnonzero((x >= 0) & (x < 96) & (y >= 0) & (y < 128))
    assert len(inside) >= 12
    assert np.all(batch["images"][inside, y[inside], x[inside]] > 200)


def test_files_and_records_agree(tmp_path):
    root = write_folder(tmp_path / "people")
    counts, skipped = prepare(root, tmp_path / "records", 2)
    assert counts == {"train": 3, "validation": 3} and not skipped
    seen = {}
    for place in (root, tmp_path / "records"):
        task, source = opened(place, batch_size=3, **STILL)
        (batch,) = take(task, source, 1)
        order = np.lexsort(batch["targets"][:, 0, :2].T)
        (judged,) = task.evaluation_batches(source, [(64, 48)])
        rank = np.lexsort((judged["targets"]["frame"][:, 0], judged["targets"]["picture"]))
        targets = {name: value.numpy()[rank] for name, value in judged["targets"].items()}
        seen[place] = [
            batch["images"][order],
            batch["targets"][order],
            judged["images"][64, 48].numpy()[rank],
            *targets.values(),
        ]
        assert len(source.validation.truth["annotations"]) == 3
    for ours, theirs in zip(*seen.values(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    for wrong in ({"limit": 1}, {"in_memory": True}, {"boxes": "x"}):
        with pytest.raises(SourceError, match="TFRecord"):
            opened(tmp_path / "records", **wrong)


def test_prepare_skips_and_tells(tmp_path):
    people = [
        annotation(1, 3, 30, 40), annotation(2, 7, 50, 30), annotation(3, 7, 20, 30, bbox=[0, 0, 0, 0]),
        annotation(4, 11, 50, 30), annotation(5, 99, 50, 30), annotation(6, 11, 90, 30), annotation(7, 12, 9, 9),
    ]  # fmt: skip
    root = write_folder(tmp_path / "people", val=truth(people, (3, 7, 11, 12)))
    (root / "val/000000000011.jpg").write_bytes(b"no picture")
    (root / "val/000000000012.jpg").unlink()
    counts, skipped = prepare(root, tmp_path / "records", 4)
    assert counts == {"train": 3, "validation": 2}
    told = {place.rsplit("/", 1)[-1]: reason for place, reason in skipped}
    assert set(told) == {
        "person_keypoints_val.json, annotation 3", "person_keypoints_val.json, annotation 5", "000000000011.jpg",
        "000000000012.jpg",
    }  # fmt: skip
    known = json.loads((tmp_path / "records/validation.json").read_text())
    assert [row["id"] for row in known["images"]] == [3, 7]
    assert {row["id"] for row in known["annotations"]} == {1, 2, 3}
    assert prepare(root, tmp_path / "records", 4) == (counts, skipped)


def test_broken_pictures_are_named_where_they_stop_a_run(tmp_path):
    root = write_folder(tmp_path)
    (root / "train/000000000007.jpg").write_bytes(b"\xff\xd8\xff broken")
    task, source = opened(root, batch_size=3)
    with pytest.raises(DataError, match="000000000007.jpg"), task.explained(source):
        take(task, source, 1)


def test_evaluation_cuts_are_opencvs_and_decode_back(tmp_path):
    root = write_folder(tmp_path)
    task, source = opened(root)
    batch = next(iter(task.evaluation_batches(source, [(64, 48)])))
    people, image = source.validation.people, cv2.imread(str(root / "val/000000000003.jpg"))[:, :, ::-1]
    centres, extents = frames.frame_of(people.boxes[:2], 0.75)
    for number in range(2):
        into = frames.into_cut(centres[number], extents[number], (64, 48)).numpy()
        expected = cv2.warpAffine(image, into, (48, 64), flags=cv2.INTER_LINEAR).astype(int)
        assert np.abs(batch["images"][64, 48][number].numpy().astype(int) - expected).mean() < 1.5, (
            "decoders of JPEG differ a little"
        )
    moved = frames.moved(people.joints[:2, :, :2], frames.into_cut(centres, extents, (64, 48)))
    maps, _ = heatmaps.targets(np.concatenate([moved, np.ones((2, 17, 1))], -1).astype(np.float32), (64, 48), (64, 48))
    measured = task.metrics(source).measure(maps, batch["targets"])[:, 3:].numpy().reshape(2, 17, 3)
    pixel = float(extents[0, 0]) / 48
    assert np.abs(measured[..., :2] - people.joints[:2, :, :2]).max() <= 0.8 * pixel


def test_only_known_splits():
    task, source = opened()
    assert sum(len(batch["targets"]["score"]) for batch in task.evaluation_batches(source, [(64, 48)], "train", seed=1)) == 5
    with pytest.raises(ValueError, match="`split` must be"):
        task.evaluation_batches(source, [], "test")
    with pytest.raises(DataError, match="held out"):
        task.evaluation_batches(source, [], "calibration")
    with pytest.raises(DataError, match="`batch_size` must be at most"):
        take(*opened(batch_size=6), 1)
