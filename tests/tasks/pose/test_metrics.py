"""Rescoring, suppression and average precision agree with the reference."""

import numpy as np
import pytest
import tensorflow as tf

from tests.reference import generator, relative
from tfres.errors import DataError
from tfres.tasks.pose import frames, heatmaps, metrics, oks
from tfres.tasks.pose.metrics import KeypointPrecision, NonFiniteHeatmaps
from tfres.tasks.pose.skeleton import KEYPOINTS

CATEGORIES = [{"id": 1, "name": "person", "keypoints": list(KEYPOINTS)}]


def reference(golden):
    """`(truth, targets and keypoints of the detections, outputs by their names)` of the golden."""
    case = golden("scalenas_coco_eval")
    given = case["input"]
    boxes = np.float64([detection["bbox"] for detection in given["detections"]])
    centres, extents = frames.frame_of(boxes, 192 / 256)
    scores = np.float64([detection["score"] for detection in given["detections"]])
    pictures = np.float64([detection["image_id"] for detection in given["detections"]])
    facts = np.stack([pictures, np.prod(extents, 1), scores], 1)
    truth = {"images": given["images"], "annotations": given["annotations"], "categories": CATEGORIES}
    joints = np.float64(given["predictions_xyscore_in_detection_order"])
    return truth, facts, joints, {output["what"]: output for output in case["outputs"]}, (centres, extents)


def test_frames_areas_and_similarities(golden):
    _, facts, joints, outputs, (centres, extents) = reference(golden)
    assert relative(centres, outputs["boxes"]["center"]) < 1e-6
    assert relative(extents / 200, outputs["boxes"]["scale"]) < 1e-6
    assert relative(facts[:, 1], outputs["boxes"]["area"]) < 1e-6
    expected = np.array(outputs["oks of the first predictions against each other"]["oks"])
    few = len(expected)
    found = [oks.similarity(joints[i, :, :2], joints[:few, :, :2], facts[i, 1], facts[:few, 1]) for i in range(few)]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)


def test_results_and_precision(golden):
    truth, facts, joints, outputs, _ = reference(golden)
    judged = KeypointPrecision(truth)
    for part in np.array_split(np.concatenate([facts, joints.reshape(-1, 51)], 1), 3):
        judged.add(part)
    expected, found = outputs["results after rescoring and NMS"]["results"], judged.people()
    assert [person["image_id"] for person in found] == [person["image_id"] for person in expected]
    assert relative([person["score"] for person in found], [person["score"] for person in expected]) < 1e-6
    firsts = [person["keypoints_first3"] for person in expected]
    assert relative([person["keypoints"][: len(firsts[0])] for person in found], firsts) < 1e-6
    figures, theirs = judged.result(), outputs["COCO keypoint metrics"]["metrics"].values()
    assert list(figures) == [name for name, value in zip(metrics.FIGURES, theirs, strict=True) if value >= 0]
    np.testing.assert_allclose(list(figures.values()), [value for value in theirs if value >= 0], atol=1e-6)


def test_soft_suppression_keeps_people_and_lowers_their_order():
    g = generator(0)
    joints = np.repeat(g.uniform(0, 100, (1, 17, 2)), 3, 0)
    joints[2] += 500
    scores, areas = np.array([0.9, 0.8, 0.5]), np.full(3, 1e4)
    assert oks.kept(joints, scores, areas, 0.9) == [0, 2]
    assert oks.kept(joints, scores, areas, 0.9, soft=True) == [0, 2, 1]
    many = oks.kept(g.uniform(0, 1e6, (30, 17, 2)), g.random(30), np.ones(30), 0.9, soft=True)
    assert len(many) == oks.SOFT_MOST == len(set(many))


def person(number, picture, x, y):
    """An annotation with all keypoints, on a diagonal from (x, y)."""
    points = [[x + 4 * i, y + 6 * i, 2] for i in range(17)]
    box = [x - 4, y - 4, 80, 110]
    return {
        "id": number, "image_id": picture, "category_id": 1, "iscrowd": 0, "area": 8800.0, "bbox": box,
        "keypoints": sum(points, []), "num_keypoints": 17,
    }  # fmt: skip


def truth():
    pictures = [{"id": number, "width": 300, "height": 300, "file_name": f"{number}.jpg"} for number in (3, 7)]
    people = [person(1, 3, 30, 40), person(2, 3, 150, 120), person(3, 7, 80, 90)]
    return {"images": pictures, "annotations": people, "categories": CATEGORIES}


def perfect(known, size=(64, 48)):
    """Targets of evaluation, and the heatmaps of the truth."""
    boxes = np.float32([one["bbox"] for one in known["annotations"]])
    centres, extents = frames.frame_of(boxes, size[1] / size[0])
    joints = np.float32([one["keypoints"] for one in known["annotations"]]).reshape(-1, 17, 3)
    moved = frames.moved(joints[..., :2], frames.into_cut(centres, extents, size))
    maps, _ = heatmaps.targets(tf.concat([moved, joints[..., 2:]], -1), size, size)
    pictures = np.array([one["image_id"] for one in known["annotations"]], np.int64)
    targets = {"frame": tf.concat([centres, extents], 1), "score": tf.ones(len(boxes)), "picture": pictures}
    return maps, targets


def test_perfect_heatmaps_are_perfect():
    known = truth()
    maps, targets = perfect(known)
    judged = KeypointPrecision(known)
    judged.update(maps, targets)
    assert judged.result()["ap"] == 1


def test_no_person_and_no_numbers():
    known = truth()
    maps, targets = perfect(known)
    with pytest.raises(DataError, match="at least one person"):
        KeypointPrecision(known).result()
    judged = KeypointPrecision(known)
    judged.update(tf.where(tf.range(3)[:, None, None, None] == 1, np.nan, maps), targets)
    with pytest.raises(NonFiniteHeatmaps, match="1 of 3 cuts"):
        judged.result()
    empty = {**known, "annotations": []}
    with pytest.raises(DataError, match="annotated people"):
        metrics.average_precision(empty, [])


def test_noise_on_the_truth_costs_precision():
    """As in the data sets' description: the truth with noise in place of answers."""
    known, g = truth(), generator(5)
    scores = []
    for noise in (0.0, 0.1):
        results = [
            {
                "image_id": one["image_id"], "category_id": 1, "score": 0.5,
                "keypoints": np.ravel(
                    np.reshape(one["keypoints"], (17, 3)) + noise * 94 * np.c_[g.standard_normal((17, 2)), np.zeros(17)]
                ).tolist(),
            }
            for one in known["annotations"]
        ]  # fmt: skip
        scores.append(metrics.average_precision(known, results)["ap"])
    assert scores[0] == 1 and scores[1] < 0.7
