"""Folders of people: what is read, what is named, what is left out."""

import json
import logging

import numpy as np
import pytest

from tests.reference import relative
from tests.tasks.pose.people import CATEGORY, annotation, opened, truth, write_folder
from tfres.errors import DataError, RecipeError, SourceError
from tfres.tasks.pose import frames
from tfres.tasks.pose.annotations import read_people
from tfres.tasks.pose.options import PoseData
from tfres.tasks.pose.skeleton import KEYPOINTS


def test_boxes_of_the_truth_are_the_references(golden, tmp_path):
    case = golden("scalenas_coco_eval")
    path = tmp_path / "truth.json"
    rows = {"images": case["input"]["images"], "annotations": case["input"]["annotations"], "categories": [CATEGORY]}
    path.write_text(json.dumps(rows))
    faults, left_out = [], []
    _, people = read_people(path, faults, left_out)
    assert not faults
    expected = next(output for output in case["outputs"] if output["what"] == "ground-truth boxes")["records"]
    centres, extents = frames.frame_of(people.boxes, 192 / 256)
    assert relative(centres, [record["center"] for record in expected]) < 1e-6
    assert relative(extents / 200, [record["scale"] for record in expected]) < 1e-6


def test_a_folder(tmp_path):
    people = [
        annotation(1, 3, 30, 40), annotation(2, 7, -2, 30), annotation(3, 7, 50, 30, iscrowd=1),
        annotation(4, 7, 50, 30, keypoints=[0] * 51, num_keypoints=0),
    ]  # fmt: skip
    task, source = opened(write_folder(tmp_path, truth(people), truth([annotation(9, 3, 20, 20)])))
    assert (source.train.size, source.validation.size, task.classes) == (2, 1, list(KEYPOINTS))
    np.testing.assert_array_equal(source.train.people.boxes, [[26, 36, 79, 109], [0, 26, 79, 109]])
    assert [place.rsplit("/", 1)[1] for place in source.train.paths] == ["000000000003.jpg", "000000000007.jpg"]
    joints = source.train.people.joints
    assert joints[0, 5].tolist() == [50, 70, 1]
    assert joints[1, 0].tolist() == [0, 0, 0], "the first joint lies outside of the picture"
    assert "nose lies outside" in source.left_out[0][1]


@pytest.mark.parametrize(
    ("people", "message"),
    [
        (annotation(1, 99, 30, 40), "annotation 1: image_id 99 is none"),
        (annotation(1, 3, 30, 40, category_id=5), "category_id 5 is none"),
        (annotation(1, 3, 30, 40, keypoints=[1, 2, 3]), "keypoints must be 51 numbers"),
        (annotation(1, 3, 30, 40, bbox=[1, 2, 3]), "bbox must be four numbers"),
        (annotation(1, 3, 30, 40, bbox=None), "bbox must be four numbers"),
    ],
)
def test_annotations_that_mean_nothing_are_named(people, message, tmp_path):
    with pytest.raises(DataError, match=message):
        opened(write_folder(tmp_path, truth([annotation(2, 3, 40, 40), people])))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"bbox": [30, 40, 0, 50]}, "no area"),
        ({"area": 0}, "no area"),
        ({"bbox": [500, 40, 80, 110]}, "empty cut"),
        ({"bbox": [30, -200, 80, 110]}, "empty cut"),
    ],
)
def test_people_without_a_box_are_left_out_and_told(fields, message, tmp_path, caplog):
    people = [annotation(2, 3, 40, 40), annotation(1, 3, 30, 40, **fields)]
    with caplog.at_level(logging.WARNING):
        _, source = opened(write_folder(tmp_path, truth(people)))
    assert source.size == 1 and message in caplog.text and "annotation 1" in caplog.text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "must be a JSON document"),
        ("[]", "must hold a mapping"),
        (json.dumps({**truth([]), "images": [{"id": 1}]}), "file_name, width and height"),
        (json.dumps({**truth([]), "images": [{"id": 1, "width": 0, "height": 3, "file_name": "a"}]}), "width and height"),
        (json.dumps({**truth([]), "annotations": 3}), "list annotations"),
        (json.dumps({**truth([]), "categories": [{"id": 1, "name": "hand", "keypoints": ["thumb"]}]}), "COCO's 17"),
        (json.dumps({**truth([]), "categories": [{"id": 2, "name": "cat"}]}), "one category with keypoints"),
        (json.dumps(truth([], pictures=(3, 3))), "distinct ids"),
        (json.dumps(truth([])), "people with keypoints"),
    ],
)
def test_broken_files_of_annotations(text, message, tmp_path):
    root = write_folder(tmp_path)
    (root / "annotations/person_keypoints_val.json").write_text(text)
    with pytest.raises(SourceError, match=message):
        opened(root)


def test_folders_that_are_none(tmp_path):
    with pytest.raises(SourceError, match="is no folder"):
        opened(tmp_path / "nowhere")
    root = write_folder(tmp_path / "a")
    (root / "annotations/person_keypoints_train2.json").write_text("{}")
    with pytest.raises(SourceError, match="one person_keypoints_train"):
        opened(root)
    root = write_folder(tmp_path / "b")
    (root / "val").rename(root / "other")
    with pytest.raises(SourceError, match="val/ or images/val/"):
        opened(root)
    (root / "images").mkdir()
    (root / "other").rename(root / "images/val")
    assert opened(root)[1].validation.size == 3


def test_missing_pictures_are_named(tmp_path):
    root = write_folder(tmp_path)
    (root / "train/000000000007.jpg").unlink()
    (root / "val/000000000003.jpg").write_bytes(b"")
    with pytest.raises(DataError, match=r"(?s)train/000000000007.jpg: is not there.*val/000000000003.jpg: is empty"):
        opened(root)
    away = truth([annotation(1, 3, 30, 40)])
    away["images"][0]["file_name"] = "../train/000000000003.jpg"
    root = write_folder(tmp_path / "away", None, truth([annotation(1, 3, 30, 40)]))
    (root / "annotations/person_keypoints_val.json").write_text(json.dumps(away))
    with pytest.raises(DataError, match="leads out of the folder"):
        opened(root)


def test_detections(tmp_path):
    root = write_folder(tmp_path)
    rows = [
        {"image_id": 3, "category_id": 1, "bbox": [-10, 36, 80, 110], "score": 0.9},
        {"image_id": 7, "category_id": 1, "bbox": [76, 86, 80, 110], "score": 0.05},
        {"image_id": 7, "category_id": 3, "bbox": [76, 86, 80, 110], "score": 0.9},
        {"image_id": 8, "category_id": 1, "bbox": [76, 86, 80, 110], "score": 0.9},
        {"image_id": 7, "category_id": 1, "bbox": [76, 86, 0, 110], "score": 0.9},
    ]
    (root / "boxes.json").write_text(json.dumps(rows))
    people = opened(root, boxes=str(root / "boxes.json"))[1].validation.people
    assert people.pictures.tolist() == [3, 7] and people.boxes[0, 0] == -10
    np.testing.assert_allclose(people.scores, [0.9, 0.05])
    people = opened(root, boxes=str(root / "boxes.json"), least_score=0.5)[1].validation.people
    assert people.pictures.tolist() == [3]
    with pytest.raises(SourceError, match="of score 0.95 or more"):
        opened(root, boxes=str(root / "boxes.json"), least_score=0.95)
    for wrong in ([{"image_id": 3}], ["x"], [{**rows[0], "score": None}]):
        (root / "wrong.json").write_text(json.dumps(wrong))
        with pytest.raises(SourceError, match="entry 0 must have"):
            opened(root, boxes=str(root / "wrong.json"))
    with pytest.raises(SourceError, match="works with folders"):
        opened(boxes="x.json")


def test_limits_and_memory(tmp_path):
    root = write_folder(tmp_path)
    _, source = opened(root, limit=2, in_memory=True)
    assert source.size == 2 and source.train.people.pictures.tolist() == [3, 7]
    assert source.train.encoded[0] == (root / "train/000000000003.jpg").read_bytes()
    with pytest.raises(SourceError, match="network of COCO's 17 joints"):
        source.relabelled(["a", "b"])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"crop": "64x"}, "`crop` must be"),
        ({"crop": [64, 48, 3]}, "`crop` must be"),
        ({"crop": 100000}, "`crop` must be"),
        ({"holdout": 0.1}, "not left early"),
        ({"scale": 1.0}, "`scale` must be"),
        ({"rotation": float("nan")}, "`rotation` must be"),
        ({"hardest": 18}, "`hardest` must be"),
        ({"half_body": 2}, "`half_body` must be"),
        ({"mirror": 1}, "`mirror` must be"),
        ({"boxes": ""}, "`boxes` must be"),
        ({"std": [0, 1, 1]}, "`std` must be"),
        ({"channel_order": "grb"}, "`channel_order` must be"),
        ({"batch_size": 60000, "crop": "4096x4096"}, "4 GiB"),
    ],
)
def test_options_out_of_range(fields, message):
    with pytest.raises(RecipeError, match=message):
        PoseData(**fields)
