"""Targets and decoding agree with the reference."""

import numpy as np
import pytest
import tensorflow as tf

from tests.reference import generator, relative
from tfres.tasks.pose import frames, heatmaps
from tfres.tasks.pose.skeleton import COUNT, KEYPOINTS, MIRRORED


def random_maps(seed, n=3, j=17, h=64, w=48):
    g = generator(seed)
    base = 0.05 * g.standard_normal((n, j, h, w))
    cx, cy, amp = g.uniform(-1, w, (n, j)), g.uniform(-1, h, (n, j)), g.uniform(0.3, 1, (n, j))
    y, x = np.mgrid[:h, :w]
    away = (x - cx[..., None, None]) ** 2 + (y - cy[..., None, None]) ** 2
    return (base + amp[..., None, None] * np.exp(-away / 8)).astype(np.float32).transpose(0, 2, 3, 1)


def random_frames():
    g = generator(2028)
    centres, widths = g.uniform(50, 400, (3, 2)), g.uniform(0.5, 2.5, 3)
    return centres, 200 * np.stack([widths, widths * 64 / 48], 1)


def in_picture(maps, centres, extents, shift):
    places, values = heatmaps.decoded(maps, shift)
    back = frames.inverted(frames.into_cut(centres, extents, maps.shape[1:3]))
    return frames.moved(places, back), values


def test_mirrored_pairs_are_the_references(golden):
    pairs = golden("scalenas_decode")["settings"]["flip_pairs"]
    assert len(KEYPOINTS) == COUNT == 17
    assert [(a, b) for a, b in enumerate(MIRRORED) if a < b] == [tuple(pair) for pair in pairs]


@pytest.mark.parametrize("number", range(3))
def test_targets(golden, number):
    case = golden("scalenas_targets")["outputs"][number]
    if case["use_different_joints_weight"]:
        case = {**case, "target_nonzero_[joint,y,x,value]": [], "target_weight": np.minimum(case["target_weight"], 1)}
    (width, height), (columns, rows) = case["image_size_wh"], case["heatmap_size_wh"]
    joints = np.concatenate([case["joints_xy"], np.array(case["visible"])[:, None]], 1).astype(np.float32)
    maps, weights = heatmaps.targets(joints[None], (rows, columns), (height, width))
    np.testing.assert_array_equal(weights[0], case["target_weight"])
    assert abs(float(tf.reduce_sum(maps)) - case["target_sum"]) < 1e-4 * case["target_sum"]
    expected = np.zeros((rows, columns, 17), np.float32)
    for joint, y, x, value in case["target_nonzero_[joint,y,x,value]"]:
        expected[int(y), int(x), int(joint)] = value
    if expected.any():
        np.testing.assert_allclose(maps[0], expected, atol=1e-6)


def test_peaks_and_decoding(golden):
    outputs = golden("scalenas_decode")["outputs"]
    maps = random_maps(2026)
    places, values = heatmaps.peaks(maps)
    np.testing.assert_array_equal(places, outputs[0]["coords"])
    np.testing.assert_allclose(values, np.array(outputs[0]["maxvals"])[..., 0], rtol=1e-6)
    for case in outputs[1:3]:
        found, _ = in_picture(maps, *random_frames(), case["quarter_shift"])
        assert relative(found, case["coords"]) < 1e-6


@pytest.mark.parametrize("number", [3, 4])
def test_flip_test(golden, number):
    case = golden("scalenas_decode")["outputs"][number]
    maps = (random_maps(2026) + heatmaps.unmirrored(random_maps(2027), case["shift_heatmap"])) / 2
    assert abs(np.linalg.norm(maps) / case["average_norm"] - 1) < 1e-6
    np.testing.assert_allclose(maps[0, ::8, ::8].numpy().transpose(2, 0, 1), case["average_grid_[0,:,::8,::8]"], atol=1e-6)
    found, values = in_picture(maps, *random_frames(), True)
    assert relative(found, case["coords"]) < 1e-6
    assert relative(values, np.array(case["maxvals"])[..., 0]) < 1e-6


def test_peaks_at_borders_and_below_zero(golden):
    case = golden("scalenas_decode")["outputs"][5]
    maps = np.array(case["heatmaps"], np.float32).transpose(0, 2, 3, 1)
    np.testing.assert_array_equal(heatmaps.peaks(maps)[0], case["argmax"])
    found, values = in_picture(maps, np.array(case["center"]), 200 * np.array(case["scale"]), True)
    np.testing.assert_allclose(found, case["final_with_shift"], atol=1e-4)
    np.testing.assert_allclose(values, np.array(case["maxvals"])[..., 0])


def test_what_is_drawn_is_found():
    """Targets decode to the joints they were drawn at, to half a pixel of the heatmap."""
    joints = np.concatenate([generator(1).uniform(20, 100, (2, 17, 2)), np.ones((2, 17, 1))], -1).astype(np.float32)
    maps, _ = heatmaps.targets(joints, (32, 32), (128, 128))
    places, values = heatmaps.decoded(maps)
    assert np.abs(4 * places - joints[..., :2]).max() <= 2.001 and np.all(values == 1)


def test_narrow_peaks_of_small_heatmaps_and_own_sigmas():
    joints = np.float32([[[32, 32, 1]] * 17])
    for sides, sigma, expected in (((16, 16), 2.0, 1.0), ((64, 64), 3.0, 3.0), ((128, 128), 2.0, 4.0)):
        maps, _ = heatmaps.targets(joints, sides, (64, 64), sigma)
        centre = sides[0] // 2
        np.testing.assert_allclose(maps[0, centre, centre + 1, 0], np.exp(-1 / (2 * expected**2)), rtol=1e-5)
