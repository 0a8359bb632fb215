"""Frames, maps and warped cuts agree with the reference and with OpenCV."""

import cv2
import numpy as np
import pytest
import tensorflow as tf

from tests.reference import generator, relative
from tfres.tasks.pose import frames, heatmaps
from tfres.tasks.pose.augment import Augmentation, Draws, Person


@pytest.mark.parametrize("number", range(6))
def test_maps(golden, number):
    case = golden("scalenas_pose_data")["outputs"][number]
    width, height = case["output_wh"]
    centre, extent = frames.frame_of(np.float64(case["box_xywh"]), width / height)
    assert relative(centre, case["center"]) < 1e-6 and relative(extent / 200, case["scale"]) < 1e-6
    into = frames.into_cut(centre, extent, (height, width), case["rotation_deg"])
    assert relative(into, case["forward"]) < 1e-6 and relative(frames.inverted(into), case["inverse"]) < 1e-6
    assert relative(frames.moved(np.float64(case["points"]), into), case["mapped"]) < 1e-6


def test_the_warp_is_opencvs(rng):
    """Bit for bit, whatever the map: also where the cut lies outside of the picture."""
    picture = rng.integers(0, 256, (60, 75, 3), np.uint8)
    for number in range(8):
        centre, extent = rng.uniform(-20, 90, 2), rng.uniform(10, 150) * np.ones(2)
        into = frames.into_cut(centre, extent, (64, 48), 0.0 if number % 2 else rng.uniform(-90, 90)).numpy()
        found = frames.warp(picture, frames.inverted(into), (64, 48))
        np.testing.assert_array_equal(found, cv2.warpAffine(picture, into, (48, 64), flags=cv2.INTER_LINEAR))
    far = frames.warp(picture, np.float64([[1, 0, 1e9], [0, 1, 0]]), (8, 8))
    assert not np.any(far)


def picture():
    y, x = np.mgrid[:150, :130]
    return np.stack([2 * x % 256, 3 * y % 256, 2 * (x + y) % 256], -1).astype(np.uint8)


def legacy_draws(case):
    """What the reference drew for a sample, in its order."""
    import random

    random.seed(case["random_seed"])
    old = np.random.RandomState(case["numpy_seed"])
    half, side = 1.0, 0.0
    if sum(case["visible"]) > 8:
        half = old.rand()
        side = old.randn() if half < 0.3 else 0.0
    scale = old.randn()
    turn = random.random()
    angle = old.randn() if turn <= 0.6 else 0.0
    return Draws(tf.constant([half, turn, random.random()], tf.float32), tf.constant([side, scale, angle], tf.float32))


@pytest.mark.parametrize("number", range(6, 10))
def test_whole_samples(golden, number):
    case = golden("scalenas_pose_data")["outputs"][number]
    (width, height), (columns, rows) = case["image_size_wh"], case["heatmap_size_wh"]
    joints = np.concatenate([case["joints_xy"], np.array(case["visible"])[:, None]], 1).astype(np.float32)
    person = Person(tf.constant(joints), *frames.frame_of(np.float32(case["box_xywh"]), width / height))
    image, degrees, mirrored = picture(), 0.0, False
    if case["train"]:
        person, degrees, mirrored = Augmentation()(person, image.shape[1], width / height, legacy_draws(case))
    assert relative(person.centre, case["center"]) < 1e-5 and relative(person.extent / 200, case["scale"]) < 1e-5
    assert abs(float(degrees) - case["rotation"]) < 1e-4
    into = frames.into_cut(person.centre, person.extent, (height, width), degrees)
    cut = frames.warp(image[:, ::-1] if mirrored else image, frames.inverted(into), (height, width)).numpy()
    grid = np.array(case["image_uint8_rgb_grid_[::16,::16]"], int)
    assert np.abs(cut[::16, ::16].astype(int) - grid).max() <= 1
    assert abs(int(cut.sum(dtype=int)) - case["image_sum"]) < 1e-5 * case["image_sum"]
    visible = person.joints[:, 2].numpy()
    np.testing.assert_array_equal(visible, case["visible_out"])
    moved = frames.moved(person.joints[:, :2], into).numpy()
    np.testing.assert_allclose(moved * visible[:, None], np.array(case["joints_out"]) * visible[:, None], atol=1e-3)
    targets = np.concatenate([moved, visible[:, None]], 1)[None]
    maps, weights = heatmaps.targets(targets, (rows, columns), (height, width))
    np.testing.assert_array_equal(weights[0], case["target_weight"])
    assert abs(float(tf.reduce_sum(maps)) / case["target_sum"] - 1) < 1e-4
    flat = np.argmax(maps.numpy()[0].reshape(-1, 17), 0)
    np.testing.assert_array_equal(flat, case["target_argmax"])


def test_draws_decide_which_half_is_shown():
    joints = np.concatenate([generator(0).uniform(20, 100, (17, 2)), np.ones((17, 1))], 1).astype(np.float32)
    person = Person(tf.constant(joints), tf.constant([60.0, 60.0]), tf.constant([80.0, 80.0]))
    still = Augmentation(scale=0.0, rotation=0.0, flip=False)
    for side, part in ((0.0, joints[:11]), (1.0, joints[11:])):
        found, _, _ = still(person, 130, 1.0, Draws(tf.constant([0.0, 1, 1]), tf.constant([side, 0, 0])))
        np.testing.assert_allclose(found.centre, part[:, :2].mean(0), rtol=1e-5)
        np.testing.assert_allclose(found.extent, 1.5 * np.ptp(part[:, :2], axis=0).max() * np.ones(2), rtol=1e-5)
    found, _, _ = still(person, 130, 1.0, Draws(tf.constant([0.9, 1, 1]), tf.constant([0.0, 0, 0])))
    np.testing.assert_array_equal(found.extent, person.extent)


def test_few_joints_show_no_half():
    """Joints of which at most eight are visible, or one place for all of them, leave a frame that can be cut."""
    few = np.zeros((17, 3), np.float32)
    few[:8, 2] = 1
    same = np.ones((17, 3), np.float32)
    always = Augmentation(half_body=1.0, scale=0.0, rotation=0.0, flip=False)
    draws = Draws(tf.constant([0.0, 1, 1]), tf.constant([0.0, 0, 0]))
    for joints, extent in ((few, [80.0, 80.0]), (same, [1.5, 1.5])):
        person = Person(tf.constant(joints), tf.constant([60.0, 60.0]), tf.constant([80.0, 80.0]))
        np.testing.assert_array_equal(always(person, 130, 1.0, draws)[0].extent, extent)
