"""Label mapping, augmentation and multi-scale inference against the reference (`scalenas_seg_data`)."""

import random

import numpy as np
import pytest
import tensorflow as tf

from tests.reference import fill, relative
from tfres.data.options import IMAGENET_MEAN, IMAGENET_STD
from tfres.tasks.segmentation.cutting import scaled_sides, window
from tfres.tasks.segmentation.labels import CITYSCAPES
from tfres.tasks.segmentation.testing import looked_at

CROP = (64, 128)


def sample():
    """The reference's picture and the values of its label picture."""
    y, x = np.mgrid[:128, :256]
    image = np.stack([2 * x % 256, 3 * y % 256, 2 * (x + y) % 256], -1).astype(np.uint8)
    label = ((y // 16) * 7 + (x // 16) * 3) % 35
    return image, np.where(label == 34, 255, label)


def levels(normalised):
    """Grey levels of normalised pictures, channels first."""
    return (np.asarray(normalised) * np.reshape(IMAGENET_STD, (3, 1, 1)) + np.reshape(IMAGENET_MEAN, (3, 1, 1))) * 255


def histogram(classes):
    values, counts = np.unique(classes, return_counts=True)
    return dict(zip(map(str, values.tolist()), counts.tolist(), strict=True))


def outputs(golden, what):
    return [one for one in golden("scalenas_seg_data")["outputs"] if one["what"] == what]


def test_labels_are_mapped(golden):
    (one,), (_, values) = outputs(golden, "test sample"), sample()
    assert histogram(np.array(CITYSCAPES.table)[values]) == one["label_histogram"]


@pytest.mark.parametrize("place", range(4))
def test_windows(golden, place):
    one, (image, values) = outputs(golden, "train sample")[place], sample()
    drawn = random.Random(one["seed"])
    scale = 0.5 + drawn.randint(0, 16) / 10
    assert abs(scale - one["scale"]) < 1e-9
    height, width = (int(side) for side in scaled_sides(tf.shape(image)[:2], tf.constant(256 * scale, tf.float32)))
    left = drawn.randint(0, max(width - CROP[1], 0))
    top = drawn.randint(0, max(height - CROP[0], 0))
    classes = np.array(CITYSCAPES.table)[values].astype(np.uint8)
    pixels, picked = (part.numpy() for part in window(image, classes, height, width, top, left, CROP))
    mirrored = np.random.RandomState(one["seed"]).choice(2) == 0
    if mirrored:
        pixels, picked = pixels[:, ::-1], picked[:, ::-1]
    reference = levels(one["image_grid_[:,::8,::8]"])
    assert np.abs(pixels.transpose(2, 0, 1)[:, ::8, ::8] - reference).max() < 1.01
    assert (picked[::8, ::8] == one["label_grid_[::8,::8]"]).all()
    assert histogram(picked) == one["label_histogram"]
    whole = (pixels / 255 - np.array(IMAGENET_MEAN)) / np.array(IMAGENET_STD)
    assert abs(np.linalg.norm(whole) / one["image_norm"] - 1) < 1e-3


def test_looks(golden):
    rng = np.random.Generator(np.random.PCG64(1001))
    images = tf.constant(rng.standard_normal((1, 3, 64, 128)).astype("f").transpose(0, 2, 3, 1))
    weights = fill([("toy.weight", [19, 3, 3, 3]), ("toy.bias", [19])])
    kernel = 0.5 * weights["toy.weight"].transpose(2, 3, 1, 0)

    def run(x):
        return tf.nn.conv2d(tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]]), kernel, 4, "VALID") + weights["toy.bias"]

    for one in outputs(golden, "multi-scale inference"):
        scores = looked_at(run, images, one["scales"], one["flip"], tuple(one["crop_size"]), "exp").numpy()
        assert abs(np.linalg.norm(scores) / one["norm"] - 1) < 1e-4
        grid = scores.transpose(0, 3, 1, 2)[0, :, ::8, ::16]
        assert relative(grid, one["grid_[0,:,::8,::16]"]) < 1e-4
        counts = np.bincount(scores.argmax(-1).ravel(), minlength=19)
        assert np.abs(counts - one["argmax_histogram"]).max() <= 1
