"""All resolutions from one uint8 crop."""

import json

import numpy as np
import pytest
import tensorflow as tf

from tests.reference import generator, relative
from tfres.data.transforms import centre_crop
from tfres.layers import MultiResolutionCrop
from tfres.layers.multi_resolution_crop import _triangle_filter, filters_in_codes

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def test_reference_preprocessing(golden):
    reference = golden("rsnet_quant_preprocess")
    bgr = generator(2026).integers(0, 256, (1, 224, 224, 3)).astype(np.uint8)
    sizes = [output["size"] for output in reference["outputs"] if "size" in output]
    crops = MultiResolutionCrop(sizes, mean=MEAN, std=STD, channel_order="bgr")(bgr[..., ::-1])
    rows = np.arange(224, dtype=np.uint8)[None, :, None, None] * np.ones((1, 1, 224, 3), np.uint8)
    picked = MultiResolutionCrop(sizes)(rows)
    for output in reference["outputs"]:
        if "size" not in output:
            continue
        ours = crops[output["size"]].numpy().astype(np.float64)
        source = np.rint(picked[output["size"]].numpy()[0, :, 0, 0] * 255).astype(int)
        assert source.tolist() == output["source_rows"]
        assert abs(ours.sum() - output["sum"]) < 1e-4 * output["abs_sum"]
        assert np.abs(ours).sum() == pytest.approx(output["abs_sum"], rel=1e-4)
        corner = np.array(output["corner"])
        assert relative(ours[0, : corner.shape[0], : corner.shape[1]], corner) < 1e-4


def test_own_size_is_untouched_and_modes_differ(rng):
    images = rng.integers(0, 256, (2, 16, 16, 3)).astype(np.uint8)
    outputs = {mode: MultiResolutionCrop([16, 12], resize=mode)(images) for mode in ("nearest", "bilinear", "align_corners")}
    for output in outputs.values():
        np.testing.assert_allclose(output[16], images / np.float32(255), rtol=1e-6)
        assert output[12].shape == (2, 12, 12, 3)
    assert not np.allclose(outputs["nearest"][12], outputs["bilinear"][12])
    np.testing.assert_allclose(outputs["align_corners"][12][:, 0, 0], images[:, 0, 0] / 255, atol=1e-6)


def test_one_flip_for_all_resolutions_by_the_draws(rng):
    images = rng.integers(0, 256, (32, 8, 8, 3)).astype(np.uint8)
    layer = MultiResolutionCrop([8, 4])
    draws = rng.uniform(size=(32, layer.draws))
    first = layer(images, draws=draws, training=True)
    flipped = [not np.allclose(a, b / 255) for a, b in zip(first[8], images, strict=True)]
    assert flipped == (draws[:, 3] < 0.5).tolist()
    for i, mirror in enumerate(flipped):
        expected = images[i, :, ::-1] if mirror else images[i]
        np.testing.assert_allclose(first[4][i], expected[::2, ::2] / 255, atol=1e-6)
    np.testing.assert_array_equal(layer(images)[8], MultiResolutionCrop([8], flip="none")(images, training=True)[8])


def test_independent_flips(rng):
    images = rng.integers(0, 256, (32, 8, 8, 3)).astype(np.uint8)
    layer = MultiResolutionCrop([8, 4], flip="independent")
    draws = rng.uniform(size=(32, layer.draws))
    crops = layer(images, draws=draws, training=True)
    for column, (resolution, crop) in enumerate(crops.items(), 3):
        for i in range(32):
            plain = layer.at(images[i : i + 1], resolution)[0]
            np.testing.assert_allclose(crop[i], plain[:, ::-1] if draws[i, column] < 0.5 else plain, atol=1e-6)


def test_bilinear_is_tensorflows_antialiased_resize(rng):
    images = rng.integers(0, 256, (2, 24, 30, 3)).astype(np.uint8)
    for resolution in (12, 7, 24, 31):
        ours = MultiResolutionCrop([resolution], resize="bilinear")(images)[resolution]
        theirs = tf.image.resize(images, [resolution, resolution], antialias=True) / 255
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_lighting_shifts_a_whole_picture_and_stays_in_range(rng):
    images = rng.integers(100, 120, (16, 8, 8, 3)).astype(np.uint8)
    lit = (
        MultiResolutionCrop([8], flip="none", lighting=0.1)(
            images, draws=rng.uniform(size=(16, 4)).astype("f"), training=True
        )[8]
        * 255
    )
    shift = lit - images
    assert np.all(np.ptp(shift, axis=(1, 2)) <= 1.01)
    assert np.abs(shift).max() > 1
    assert MultiResolutionCrop([8], lighting=0.1)(images)[8].numpy().max() <= 1


def test_config_and_errors():
    layer = MultiResolutionCrop([8, 4], "bilinear", MEAN, STD, "bgr", "independent", 0.1)
    assert MultiResolutionCrop.from_config(layer.get_config()).get_config() == layer.get_config()
    with pytest.raises(ValueError, match="`resize` must be one of nearest.*resize='cubic'"):
        MultiResolutionCrop([8], resize="cubic")
    with pytest.raises(ValueError, match="`channel_order` must be one of rgb, bgr"):
        MultiResolutionCrop([8], channel_order="grb")
    with pytest.raises(ValueError, match="`flip` must be one of shared, independent, none"):
        MultiResolutionCrop([8], flip=True)


def test_evaluation_crop_of_the_reference(golden):
    """Bicubic by OpenCV is fixed-point; ours is float and stays within one grey level."""
    cv2 = pytest.importorskip("cv2")
    figures = next(output["eval_crop"] for output in golden("rsnet_quant_preprocess")["outputs"] if "eval_crop" in output)
    bgr = cv2.GaussianBlur(generator(2028).integers(0, 256, (300, 400, 3)).astype(np.uint8), (0, 0), 3)
    ours = centre_crop(tf.constant(bgr), 224).numpy().astype(int)
    scale = 256 / 300
    resized = cv2.resize(bgr, (int(400 * scale + 0.5), int(300 * scale + 0.5)), interpolation=cv2.INTER_CUBIC)
    top, left = (resized.shape[0] - 224) // 2, (resized.shape[1] - 224) // 2
    theirs = resized[top : top + 224, left : left + 224].astype(int)
    assert np.abs(ours - theirs).max() <= 1
    assert ours.sum() == pytest.approx(figures["sum"], rel=1e-4)


def test_sizes_that_are_not_square(rng):
    images = rng.integers(0, 256, (2, 24, 32, 3)).astype(np.uint8)
    for mode in ("nearest", "bilinear", "align_corners"):
        layer = MultiResolutionCrop([(24, 32), (12, 10)], mode, flip="shared")
        crops = tf.function(layer)(images, draws=np.ones((2, 5), "f"), training=True)
        assert list(crops) == [(12, 10), (24, 32)] or list(crops) == [(24, 32), (12, 10)]
        assert crops[12, 10].shape == (2, 12, 10, 3)
        np.testing.assert_allclose(crops[24, 32], images / np.float32(255), rtol=1e-6)
        loaded = MultiResolutionCrop.from_config(json.loads(json.dumps(layer.get_config())))
        np.testing.assert_array_equal(loaded(images)[12, 10], crops[12, 10])
    theirs = tf.image.resize(images, [12, 10], antialias=True) / 255
    np.testing.assert_allclose(MultiResolutionCrop([(12, 10)], "bilinear")(images)[12, 10], theirs, atol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"resolutions": "96"}, "`resolutions` must be distinct positive"),
        ({"resolutions": []}, "`resolutions` must be distinct positive"),
        ({"resolutions": [8, 8.5]}, "`resolutions` must be distinct positive"),
        ({"resolutions": [(8, 8), (8, 8)]}, "`resolutions` must be distinct positive"),
        ({"resolutions": [8, (8, 4)]}, "`resolutions` must be distinct positive"),
        ({"mean": (0, 0)}, "`mean` must be three finite numbers"),
        ({"mean": (0, 0, float("nan"))}, "`mean` must be three finite numbers"),
        ({"std": (1, 0, 1)}, "`std` must be three positive numbers"),
        ({"std": 1}, "`std` must be three positive numbers"),
        ({"lighting": float("inf")}, "`lighting` must be a number of at least 0"),
        ({"lighting": -1}, "`lighting` must be a number of at least 0"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=f"{message}.*Received: {next(iter(arguments))}="):
        MultiResolutionCrop(**{"resolutions": [8], **arguments})


def test_bad_inputs(rng):
    layer = MultiResolutionCrop([8])
    for shape in ((2, 8, 8, 4), (8, 8, 3)):
        with pytest.raises(ValueError, match=r"`images` must be \(batch, height, width, 3\)"):
            layer(tf.zeros(shape, tf.uint8))
    with pytest.raises(ValueError, match=r"`draws` must be \(batch, 4\) numbers in training"):
        layer(tf.zeros((2, 8, 8, 3), tf.uint8), training=True)
    with pytest.raises(ValueError, match=r"Received: draws.shape=\(2, 3\)"):
        layer(tf.zeros((2, 8, 8, 3), tf.uint8), draws=tf.zeros([2, 3]), training=True)


def test_filters_in_codes(rng):
    images = rng.integers(0, 256, (1, 20, 14, 3), np.uint8)
    for resolution in (8, 17, 40):
        crop = MultiResolutionCrop([resolution], resize="bilinear")
        exact = crop(images)[resolution]
        with filters_in_codes():
            found = crop(images)[resolution]
        error = float(tf.reduce_max(tf.abs(found - exact)))
        assert 1e-6 < error < 0.02
        assert np.array_equal(crop(images)[resolution], exact)
    with filters_in_codes():
        resized = _triangle_filter(tf.constant(9), 9)
    assert np.array_equal(resized, np.eye(9))
