"""Skeletons are where the joints are; the worst cuts come first."""

import numpy as np
import pytest
import tensorflow as tf

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
    truth = np.zeros((1, 17, 3))
    truth[0, 5] = (60, 20, 1)
    assert (drawing.skeletons(picture, person[None], 1.0, truth) == 255).all(-1).any()
    assert not drawing.skeletons(picture, np.full((1, 17, 3), np.nan)).any()


def test_the_worst_come_first():
    task, source = opened(batch_size=3, fake_size=5)
    batches = list(task.evaluation_batches(source, [(64, 48)]))
    wrong = {3, 4}
    seen = iter(range(5))

    def answers(inputs):
        joints = np.concatenate([batch["targets"]["joints"] for batch in batches])
        rows = [next(seen) for _ in range(len(inputs[64, 48]))]
        moved = np.array([joints[row] + (0.3 * (row in wrong)) * np.array([48, 0, 0]) for row in rows], np.float32)
        return heatmaps.targets(moved, (32, 24), (64, 48))[0]

    sheet = drawing.worst_cuts(task, batches, answers, (64, 48), 3)
    assert sheet.dtype == np.uint8 and sheet.shape == (192 + 20, 3 * (144 + 4), 3)
    perfect = np.concatenate([np.random.default_rng(0).uniform(10, 40, (17, 2)), np.ones((17, 1))], 1)
    assert drawing.similarity(perfect[:, :2], perfect, (64, 48)) == 1
    assert drawing.similarity(perfect[:, :2] + 15, perfect, (64, 48)) < 0.5
    perfect[:16, 2] = 0
    off = perfect[:, :2].copy()
    off[:16] += 100
    assert drawing.similarity(off, perfect, (64, 48)) == 1
    with pytest.raises(ValueError, match="annotated joints"):
        nobody = {**batches[0], "targets": {**batches[0]["targets"], "joints": tf.zeros([3, 17, 3])}}
        drawing.worst_cuts(task, [nobody], lambda inputs: tf.zeros([3, 16, 12, 17]), (64, 48), 3)
