"""Host-side picture operations."""

import cv2
import numpy as np
import pytest
import tensorflow as tf

from tfres.data import resizing, transforms


@pytest.mark.parametrize("shape", [(20, 31), (64, 48), (33, 33), (7, 90)])
@pytest.mark.parametrize("target", [(16, 16), (40, 25)])
def test_cubic_equals_opencv_to_one_grey_level(rng, shape, target):
    image = rng.integers(0, 256, (*shape, 3)).astype(np.uint8)
    theirs = cv2.resize(image, target[::-1], interpolation=cv2.INTER_CUBIC).astype(int)
    assert np.abs(resizing.resize_cubic(tf.constant(image), *target).numpy().astype(int) - theirs).max() <= 1


def test_own_size_is_untouched(rng):
    image = rng.integers(0, 256, (9, 12, 3)).astype(np.uint8)
    np.testing.assert_array_equal(resizing.resize_cubic(tf.constant(image), 9, 12), image)


def test_pad_crop_cuts_the_padded_picture(rng):
    images = rng.integers(1, 256, (40, 8, 8, 3)).astype(np.uint8)
    draws = tf.constant(rng.uniform(size=(40, 2)), tf.float32)
    crops = transforms.pad_crop(tf.constant(images), draws).numpy()
    offsets = set()
    for image, crop in zip(images, crops, strict=True):
        padded = np.pad(image, [(1, 1), (1, 1), (0, 0)])
        found = [(r, c) for r in range(3) for c in range(3) if np.array_equal(padded[r : r + 8, c : c + 8], crop)]
        assert len(found) == 1
        offsets.add(found[0])
    assert len(offsets) == 9


@pytest.mark.parametrize("encode", [tf.io.encode_jpeg, tf.io.encode_png])
def test_area_crop_is_a_resized_window(rng, encode):
    gradient = np.linspace(0, 255, 60)[None, :, None] * np.ones((40, 1, 3))
    encoded = encode(tf.constant(gradient.astype(np.uint8)))
    areas = []
    for number in range(30):
        crop = transforms.area_crop(encoded, 16, tf.constant([0, number])).numpy().astype(int)
        assert crop.shape == (16, 16, 3)
        rising = np.diff(crop[8, :, 1])
        assert (rising >= -2).all()
        areas.append(crop[8, -1, 1] - crop[8, 0, 1])
    assert min(areas) < 130 < max(areas)
    again = transforms.area_crop(encoded, 16, tf.constant([0, 29])).numpy()
    np.testing.assert_array_equal(again, crop)


def test_window_never_reaches_the_last_position():
    """The corner is drawn from [0, room), as in the reference."""
    for number in range(200):
        draws = tf.random.stateless_uniform([5, 10], [number, 0])
        (top, left, height, width), fits = transforms.tensorpack_window(tf.constant(50), tf.constant(30), draws)
        assert not fits or ((top < 50 - height or top == height - 50 == 0) and (left < 30 - width or left == width - 30 == 0))


def test_thin_picture_falls_back_to_the_middle():
    image = tf.constant(np.full((4, 400, 3), 77, np.uint8))
    assert (transforms.area_crop(tf.io.encode_png(image), 8, tf.constant([0, 0])).numpy() == 77).all()
