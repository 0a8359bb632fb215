"""The served model of real networks: pictures of any side, one network or one per setting, every weight once."""

import numpy as np
import pytest
import tensorflow as tf

from tests.models.test_rsnet import randomise
from tests.tasks.fakes import classification
from tfres.deploy import export_savedmodel
from tfres.evaluation.calibration import calibrate
from tfres.families import from_preset

SIZES, SMALL = (224, 192, 160, 128, 96), (64, 56, 40)
TASK = classification(7, resize="bilinear", mean=[0.4, 0.5, 0.6], side=64)


def _raw_network(arch, rng, resolutions, **options):
    """Settings have norms of their own, which fit no activations."""
    network = from_preset(arch, **{"resolutions": resolutions, "width_mult": 0.25, "classes": 7, **options})
    randomise(network, rng)
    return network


def _network(arch, rng, resolutions, **options):
    network = _raw_network(arch, rng, resolutions, **options)
    for side in resolutions:  # statistics that fit keep the logits near 1
        plain = network.materialize(side)
        calibrate(plain, [tf.constant(rng.standard_normal((4, side, side, 3)), tf.float32)])
        values = plain.private_values(side, side).values
        for variable in network.weights:
            variable.assign(values.get(variable.name, variable))
    return network


def _export(network, folder, task=TASK, **options):
    path = export_savedmodel(network, task, folder, "net", ["x"] * 7, **options)
    loaded = tf.saved_model.load(str(path))
    _KEPT.append(loaded)  # signatures alone lose their variables
    return loaded.signatures, path


_KEPT = []


def _pictures(rng, *shape):
    return tf.constant(rng.integers(0, 256, (2, *shape, 3)), tf.uint8)


def _bytes(path):
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


@pytest.mark.parametrize(
    ("arch", "options"),
    [
        ("resnet18", {}),
        ("meta_resnet18", {}),
        ("meta_mobilenetv2", {}),
        ("resnet20", {"weight_bits": 2, "activation_bits": 2}),
    ],
)
def test_the_served_network_is_the_network_bit_for_bit(arch, options, rng):
    network = _raw_network(arch, rng, SMALL, **options)
    served = network.served()
    assert list(served.settings) == list(network.settings)
    for setting in network.settings:
        images = TASK.resized(_pictures(rng, 50, 70), network.input_size(setting))
        expected = network(images, setting=setting)
        assert np.isfinite(expected).all()
        np.testing.assert_array_equal(served.run(images, served.at(setting)), expected)


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
    network = _network(arch, rng, resolutions, **options)
    signatures, _ = _export(network, tmp_path)
    known = {setting.resolution for setting in network.settings}
    wider = network.extended({side: network.interpolated_values(side) for side in sides if side not in known})
    for side in sides:
        pictures = _pictures(rng, side, side)
        expected = wider(TASK.normalised(pictures), setting=side)
        found = signatures["serve_any"](images=pictures)["logits"]
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_any_size_refuses_what_is_out_of_range(rng, tmp_path):
    signatures, _ = _export(_raw_network("meta_resnet18", rng, (64, 40)), tmp_path)
    for shape in ((39, 39), (65, 65), (64, 48), (0, 0)):
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"square with a side from 40 to 64 pixels.*Received"):
            signatures["serve_any"](images=_pictures(rng, *shape))


@pytest.mark.parametrize("arch", ["meta_resnet18", "resnet18"])
def test_separate_networks_equal_the_shared_one(arch, rng, tmp_path):
    network = _network(arch, rng, (64, 48))
    shared, _ = _export(network, tmp_path)
    separate, _ = _export(network, tmp_path, form="separate")
    single, path = _export(network, tmp_path, form="separate", settings=[48])
    assert set(shared) - set(separate) == {"serve_any"}
    assert set(single) == {"serve_r48", "serve_encoded", "serving_default"}
    pictures = _pictures(rng, 50, 70)
    for side in (64, 48):
        expected = network(TASK.resized(pictures, (side, side)), setting=side)
        for signatures in (shared, separate, single)[: 3 if side == 48 else 2]:
            found = signatures[f"serve_r{side}"](images=pictures)["logits"]
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    weights = sum(v.shape.num_elements() for v in network.materialize(48).weights)
    stored = sum(file.stat().st_size for file in (path / "variables").iterdir())
    assert 4 * weights < stored < 4 * weights * 1.05 + 20_000


def test_an_empty_batch_has_an_empty_answer(rng, tmp_path):
    signatures, _ = _export(_raw_network("meta_resnet18", rng, (64, 48)), tmp_path)
    for name in ("serve_r64", "serve_any"):
        assert signatures[name](images=tf.zeros([0, 64, 64, 3], tf.uint8))["logits"].shape == (0, 7)
    assert signatures["serve_encoded"](encoded=tf.zeros([0], tf.string))["logits"].shape == (0, 7)


def test_many_settings_are_hardly_larger_than_one(rng, tmp_path):
    """Settings have norms of their own here: equal ones would be stored once in any case."""
    sizes, low_bit = {}, classification(7, rules="tensorpack", resize="nearest")  # as low-bit networks train
    for resolutions in ((32,), (32, 28, 24, 20, 16)):
        network = _raw_network("resnet20", rng, resolutions, width_mult=1.0, weight_bits=2, activation_bits=2)
        sizes[len(resolutions)] = _bytes(_export(network, tmp_path, low_bit)[1])
    assert sizes[5] <= 1.15 * sizes[1]


def test_served_accuracy_is_table_accuracy(rng, tmp_path):
    """`serve_encoded` predicts what evaluation does, for pictures smaller and larger than the cut."""
    network = _network("resnet18", rng, (64, 48))
    signatures, _ = _export(network, tmp_path)
    encoded = [tf.io.encode_png(_pictures(rng, *shape)[0]).numpy() for shape in ((64, 64), (40, 52), (200, 150), (32, 32))]
    cut = tf.stack([TASK.evaluation_picture(one, (64, 64)) for one in encoded])
    expected = network(TASK.resized(cut, (64, 64)), setting=64)
    found = signatures["serve_encoded"](encoded=tf.constant(encoded))
    np.testing.assert_allclose(found["logits"], expected, rtol=1e-5, atol=1e-5)


def test_widths_are_served_from_one_file(rng, tmp_path):
    network = from_preset(
        "mutual_wideresnet28_10",
        blocks=(1, 1, 1),
        widths=(16, 16, 32, 64),
        width_range=(0.25, 1.0),
        resolutions=(16, 12),
        calibrated=("r12-w0.5", "r12-w1"),
        classes=7,
    )
    signatures, path = _export(network, tmp_path)
    assert {f"serve_{setting}" for setting in network.settings} == {*signatures} - {"serve_encoded", "serving_default"}
    pictures = _pictures(rng, 20, 18)
    for setting in network.settings:
        expected = network(TASK.resized(pictures, network.input_size(setting)), setting=setting)
        np.testing.assert_allclose(signatures[f"serve_{setting}"](images=pictures)["logits"], expected, rtol=1e-4, atol=1e-5)
