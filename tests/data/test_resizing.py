"""The antialiased resize against Pillow."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tfres.data import resizing, transforms


def _pillow(image, height, width):
    """Pillow's resize, horizontal pass first whatever its version."""
    picture = Image.fromarray(image)
    wide = picture.resize((width, image.shape[0]), Image.Resampling.BILINEAR)
    return np.asarray(wide.resize((width, height), Image.Resampling.BILINEAR))


@tf.function(input_signature=[tf.TensorSpec([None, None, 3], tf.uint8), *[tf.TensorSpec([], tf.int32)] * 2])
def _exact(image, height, width):
    return resizing.resize_bilinear(image, height, width)


@pytest.mark.parametrize("kind", ["noise", "black and white", "white", "gradient"])
def test_exact_equals_pillow(rng, kind):
    """No value of about a million differs; the sizes shrink and grow, by little and by much."""
    for _ in range(40):
        h, w, height, width = rng.integers(1, 160, 4)
        image = rng.integers(0, 256, (h, w, 3)).astype(np.uint8)
        if kind == "black and white":
            image = np.where(image < 128, 0, 255).astype(np.uint8)
        elif kind == "white":
            image[:] = 255
        elif kind == "gradient":
            image = np.sort(image, axis=0)
        np.testing.assert_array_equal(_exact(image, height, width).numpy(), _pillow(image, height, width))


@pytest.mark.parametrize("shape", [(375, 500), (500, 333), (1, 90), (512, 512)])
@pytest.mark.parametrize("target", [(224, 224), (256, 341), (7, 3), (1, 1)])
def test_exact_equals_pillow_at_photographs_sizes(rng, shape, target):
    image = rng.integers(0, 256, (*shape, 3)).astype(np.uint8)
    np.testing.assert_array_equal(_exact(image, *target).numpy(), _pillow(image, *target))


def test_a_window_is_a_part_of_the_whole(rng):
    image = rng.integers(0, 256, (90, 70, 3)).astype(np.uint8)
    whole = resizing.resize_bilinear(tf.constant(image), 41, 60).numpy()
    part = resizing.resize_window(tf.constant(image), 41, 60, (5, 9, 30, 40)).numpy()
    np.testing.assert_array_equal(part, whole[5:35, 9:49])


@pytest.mark.parametrize("side", [16, 32, 37])
def test_evaluations_crop_equals_pillow(rng, side):
    """Shortest edge to side / 0.875, the middle of it; of a file that both decode alike."""
    for shape in ((50, 71), (90, 64), (33, 33)):
        file = io.BytesIO()
        Image.fromarray(rng.integers(0, 256, (*shape, 3)).astype(np.uint8)).save(file, "PNG")
        image, edge = np.asarray(Image.open(file)), int(side / 0.875)
        height, width = (edge * length // min(shape) for length in shape)
        top, left = round((height - side) / 2), round((width - side) / 2)
        theirs = _pillow(image, height, width)[top : top + side, left : left + side]
        np.testing.assert_array_equal(transforms.centre_crop(tf.constant(image), side, "torchvision").numpy(), theirs)


def test_fast_is_near_and_has_no_large_bias(rng):
    image = tf.constant(rng.integers(0, 256, (200, 300, 3)).astype(np.uint8))
    for target in ((96, 96), (160, 40), (220, 330)):
        exact, fast = (resizing.resize_bilinear(image, *target, form).numpy().astype(int) for form in ("exact", "fast"))
        assert np.abs(exact - fast).max() <= 2
        assert abs((exact - fast).mean()) < 0.2


def test_unknown_form():
    with pytest.raises(ValueError, match="`antialias` must be one of exact, fast, none. Received: antialias=True"):
        resizing.resize_bilinear(tf.zeros([4, 4, 3], tf.uint8), 2, 2, True)
