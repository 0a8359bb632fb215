"""The served model: pictures of any side, one network or one per setting."""

import numpy as np
import pytest
import tensorflow as tf
from tfres.evaluation.inference import for_inference
from tfres.models.presets import from_preset

from tests.models.test_rsnet import randomise
from tfres.deploy import export_savedmodel
from tfres.evaluation.calibration import calibrate
from tfres.layers import MultiResolutionCrop

SIZES, SMALL = (224, 192, 160, 128, 96), (64, 56, 40)


def _network(arch, rng, resolutions, **options):
    model = from_preset(arch, resolutions=resolutions, width_mult=0.25, classes=7, **options)
    model.build()
    randomise(model, rng)
    for side in resolutions:  # statistics that fit keep the logits near 1
        calibrate(model, side, [tf.constant(rng.standard_normal((4, side, side, 3)), tf.float32)])
    return model


def _export(model, folder, **options):
    crop = MultiResolutionCrop([s.resolution for s in model.trained_settings], "bilinear", mean=(0.4, 0.5, 0.6))
    path = export_savedmodel(model, crop, folder, "net", ["x"] * 7, rules="torchvision", **options)
    return crop, tf.saved_model.load(str(path)).signatures, path


def _pictures(rng, *shape):
    return tf.constant(rng.integers(0, 256, (2, *shape, 3)), tf.uint8)


@pytest.mark.parametrize(
    ("arch", "resolutions", "sides", "options"),
    [
        ("meta_resnet18", SIZES, (96, 100, 112, 128, 143, 161, 176, 200, 223, 224), {}),
        ("meta_mobilenetv2", SMALL, (40, 45, 56, 63, 64), {}),
        ("resnet18", SMALL, (40, 45, 56, 63, 64), {}),
        ("meta_resnet18", SMALL, (41, 60), {"encodings": {64: 1.0, 40: 0.1}}),
    ],
)
def test_any_size_is_data_free_inference(arch, resolutions, sides, options, rng, tmp_path):
    """From the smallest to the largest side: the Keras network with interpolated norms and the side's own encoding."""
    model = _network(arch, rng, resolutions, **options)
    crop, signatures, _ = _export(model, tmp_path)
    reference = for_inference(model, sides, "data-free")
    for side in sides:
        pictures = _pictures(rng, side, side)
        expected = reference(crop.normalised(pictures), setting=side)
        found = signatures["serve_any"](images=pictures)["logits"]
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_any_size_refuses_what_is_out_of_range(rng, tmp_path):
    _, signatures, _ = _export(_network("meta_resnet18", rng, SMALL), tmp_path)
    for shape in ((39, 39), (65, 65), (64, 48)):
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"square with a side from 40 to 64 pixels.*Received"):
            signatures["serve_any"](images=_pictures(rng, *shape))


@pytest.mark.parametrize("arch", ["meta_resnet18", "resnet18"])
def test_separate_networks_equal_the_shared_one(arch, rng, tmp_path):
    model = _network(arch, rng, (64, 48))
    crop, shared, _ = _export(model, tmp_path)
    _, separate, _ = _export(model, tmp_path, form="separate")
    _, single, path = _export(model, tmp_path, form="separate", settings=[48])
    assert set(shared) - set(separate) == {"serve_any"}
    assert set(single) == {"serve_r48", "serve_encoded", "serving_default"}
    pictures = _pictures(rng, 50, 70)
    for setting in (64, 48):
        expected = model(crop.at(pictures, setting), setting=setting)
        for signatures in (shared, separate, single)[: 3 if setting == 48 else 2]:
            found = signatures[f"serve_r{setting}"](images=pictures)["logits"]
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    weights = sum(v.shape.num_elements() for v in model.materialize(48).weights)
    stored = sum(file.stat().st_size for file in (path / "variables").iterdir())
    assert 4 * weights < stored < 4 * weights * 1.05 + 20_000


def test_wrong_arguments(rng, tmp_path):
    model = _network("resnet18", rng, (64, 48))
    for options, message in (
        ({"form": "both"}, "`form` must be one of shared, separate"),
        ({"settings": [50]}, "must be one of"),
    ):
        with pytest.raises(ValueError, match=message):
            _export(model, tmp_path, **options)
    vgg = from_preset("vgg_small", resolutions=(32, 24))
    vgg.build()
    with pytest.raises(ValueError, match="vgg_small has no plain form"):
        vgg.materialize(24)
    assert list(tmp_path.iterdir()) == []
