"""Skeletons are where the joints are; answers are judged, drawn and written."""

import json

import numpy as np

from tests.tasks.pose.people import opened
from tfres.tasks.pose import drawing, heatmaps
from tfres.tasks.pose.skeleton import KEYPOINTS, LIMBS


def test_skeletons():
    picture = np.zeros((100, 80, 3), np.uint8)
    person = np.zeros((17, 3))
    left, right = KEYPOINTS.index("left_hip"), KEYPOINTS.index("left_knee")
    assert (left, right) in LIMBS
    person[left], person[right], person[0] = (20, 30, 0.9), (20, 70, 0.9), (60, 50, 0.1)
    drawn = drawing.skeletons(picture, person[None])
    assert not picture.any()
    for y in (30, 50, 70):
        assert np.abs(drawn[y, 20].astype(int) - drawing.LEFT).max() < 30, "edges are smoothed"
    assert not drawn[:, 40:].any(), "joints of a low score are not drawn"
    assert drawing.skeletons(picture, person[None], 0.05)[50, 60].any()
    assert not drawing.skeletons(picture, np.full((1, 17, 3), np.nan)).any()


def test_answers_are_judged_drawn_and_written():
    task, source = opened(batch_size=2, fake_size=5)
    batch = next(iter(task.evaluation_batches(source, [(64, 48)])))
    one = {name: value[1:2] for name, value in batch["targets"].items()}
    good, _ = heatmaps.targets(one["joints"], (32, 24), (64, 48))
    bad, _ = heatmaps.targets(one["joints"] + np.array([14, 0, 0], np.float32), (32, 24), (64, 48))
    drawn = task.drawing(source)
    assert drawn.judge(bad, one) < 0.5 and drawn.judge(good, one) > 0.9
    picture = drawn.draw(batch["images"][64, 48][1:2].numpy(), good, one)
    assert picture.shape == (64, 96, 3) and picture.dtype == np.uint8
    answer = json.loads(drawn.encode(good, one))
    joints = np.reshape(answer["keypoints"], (17, 3))
    assert np.abs(joints[:, :2] - source.validation.people.joints[1, :, :2]).max() < 2 and answer["score"] == 1
    assert len({*drawn.names}) == 5


def test_similarity_of_a_cut():
    perfect = np.concatenate([np.random.default_rng(0).uniform(10, 40, (17, 2)), np.ones((17, 1))], 1)
    assert drawing.similarity(perfect[:, :2], perfect, (64, 48)) == 1
    assert drawing.similarity(perfect[:, :2] + 15, perfect, (64, 48)) < 0.5
    perfect[:16, 2] = 0
    off = perfect[:, :2].copy()
    off[:16] += 100
    assert drawing.similarity(off, perfect, (64, 48)) == 1
