"""Pictures of float RS-Nets, for training and testing, against the reference (Pillow's resizing)."""

import random

import numpy as np
import pytest
import tensorflow as tf

from tests.reference import generator
from tfres.data import decoding, resizing, transforms

GREY_LEVELS = 0


def _picture(image):
    h, w = image["h"], image["w"]
    if image["kind"] == "noise":
        return generator(image["seed"]).integers(0, 256, (h, w, 3)).astype(np.uint8)
    y, x = np.mgrid[:h, :w]
    waves = [np.floor(127.5 + 127 * np.sin(2 * np.pi * (a * x / w + b * y / h))) for a, b in ((3, 1), (1, 4), (7, -5))]
    return np.stack(waves, -1).astype(np.uint8)


def _compare(ours, figures):
    side = figures["size"]
    picked = np.linspace(0, side - 1, 8).astype(int)
    grid = ours[picked][:, picked].transpose(2, 0, 1).astype(int)
    assert np.abs(grid - figures["grid8"]).max() <= GREY_LEVELS
    np.testing.assert_allclose((ours / 255).mean((0, 1)), figures["mean"], atol=1e-4)
    np.testing.assert_allclose((ours / 255).std((0, 1)), figures["std"], rtol=1e-3)


def _outputs(golden, path):
    return [output for output in golden("rsnet_data")["outputs"] if output["setting"]["path"] == path]


def test_testing(golden):
    for output in _outputs(golden, "eval"):
        picture = _picture(output["setting"]["image"])
        for figures in output["results"]:
            ours = transforms.centre_crop(tf.constant(picture), figures["size"], "torchvision").numpy()
            _compare(ours, figures)


def test_training(golden):
    """The reference's crop, resized to every size; its flips."""
    for output in _outputs(golden, "train"):
        crop = output["crop"]
        top, left, height, width = (crop[name] for name in ("top", "left", "height", "width"))
        picture = _picture(output["setting"]["image"])[top : top + height, left : left + width]
        for figures in output["results"]:
            ours = resizing.resize_bilinear(tf.constant(picture), figures["size"], figures["size"]).numpy()
            _compare(ours[:, ::-1] if figures["flipped"] else ours, figures)


def test_crops(golden):
    """The law of the crop: our windows from the numbers that the reference drew."""
    (output,) = _outputs(golden, "crop parameters")
    for figures in output["results"]:
        height, width = figures["image_hw"]
        rng = random.Random(figures["python_random_seed"])
        for expected in figures["crops_top_left_h_w"]:
            draws = np.full((5, 10), 0.999, np.float32)
            for i in range(10):
                area, aspect = rng.random(), rng.random()
                target, ratio = (
                    (0.08 + 0.92 * area) * height * width,
                    np.exp(np.log(3 / 4) + (np.log(4 / 3) - np.log(3 / 4)) * aspect),
                )
                w, h = round((target * ratio) ** 0.5), round((target / ratio) ** 0.5)
                draws[:2, i] = area, aspect
                if w <= width and h <= height:
                    top, left = rng.randint(0, height - h), rng.randint(0, width - w)
                    draws[3, i], draws[4, i] = (top + 0.5) / (height - h + 1), (left + 0.5) / (width - w + 1)
                    break
            ours = transforms.torchvision_window(tf.constant(height), tf.constant(width), tf.constant(draws))
            assert ours.numpy().tolist() == expected


def test_without_antialias_is_tensorflows_plain_resize():
    picture = tf.constant(_picture({"kind": "noise", "seed": 3, "h": 61, "w": 90}))
    for height, width in ((24, 24), (70, 40), (80, 100)):
        ours = resizing.resize_bilinear(picture, height, width, antialias="none").numpy().astype(int)
        plain = tf.image.resize(picture, [height, width]).numpy()
        assert np.abs(ours - plain).max() <= 0.5 + 1e-3
    shrunk = resizing.resize_bilinear(picture, 24, 24, "fast").numpy().astype(int)
    assert np.abs(shrunk - tf.image.resize(picture, [24, 24], antialias=True).numpy()).max() <= 1
    assert np.abs(shrunk - tf.image.resize(picture, [24, 24]).numpy()).max() > 10


@pytest.mark.parametrize("rules", transforms.RULES)
def test_area_crop_of_a_jpeg_is_that_of_its_picture(rules):
    picture = _picture({"kind": "waves", "seed": 0, "h": 60, "w": 80})
    jpeg = tf.io.encode_jpeg(picture, quality=100)
    png = tf.io.encode_png(decoding.decode(jpeg))
    for seed in range(8):
        cuts = [transforms.area_crop(encoded, 24, tf.constant([seed, 1]), rules).numpy() for encoded in (png, jpeg)]
        assert np.abs(cuts[0].astype(int) - cuts[1]).mean() < 1
