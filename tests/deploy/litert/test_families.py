"""Networks of all kinds as LiteRT files: equal answers at every setting, every weight once."""

import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.schema_py_generated import TensorType

from tests.deploy import exits
from tests.deploy.litert.files import opened, operations, pictures, stored
from tests.models.test_rsnet import randomise
from tests.tasks.fakes import classification
from tfres.deploy import export_litert
from tfres.families import from_preset

TASK = classification(5, side=16, mean=[0.4, 0.5, 0.6])
SMALL = {"blocks": (1, 1), "stem": "cifar", "classes": 5}
SIDES = (16, 12, 8)
ANSWER = {"logits", "probabilities", "class"}


def make(rng, arch="resnet18", **options):
    """A network whose settings have norms of their own: equal ones would be stored once in any case."""
    network = from_preset(arch, **{**SMALL, "widths": (32, 64), "resolutions": SIDES, **options})
    randomise(network, rng)
    return network


@pytest.fixture(scope="module")
def network():
    return make(np.random.default_rng(0))


@pytest.fixture(scope="module")
def whole(network, tmp_path_factory):
    return export_litert(network, TASK, tmp_path_factory.mktemp("whole"), "net")


@pytest.fixture(scope="module")
def single(network, tmp_path_factory):
    return export_litert(network, TASK, tmp_path_factory.mktemp("single"), "net", settings=["r16"])


def _close(network, signatures, rng, task=TASK, atol=1e-5):
    images = pictures(rng, 2, 20, 14)
    for name in signatures.keys() - {"serve_any"}:
        setting = name.removeprefix("serve_")
        expected = network(task.resized(images, network.input_size(setting)), setting=setting).numpy()
        found = signatures[name](images=images)
        assert {*found} == ANSWER and found["class"].dtype == np.int64
        np.testing.assert_allclose(found["logits"], expected, rtol=0, atol=atol)
        np.testing.assert_allclose(found["probabilities"], tf.nn.softmax(expected), rtol=0, atol=atol)


def logits(network, signatures, rng, count=64, task=TASK):
    """Of every setting the file's and the network's, less the mean (random networks prefer a class), and the latter whole."""
    for setting in network.settings:
        images = pictures(rng, count, 16, 16)
        expected = network(task.resized(images, network.input_size(setting)), setting=setting).numpy()
        yield signatures[f"serve_{setting}"](images=images)["logits"] - expected.mean(0), expected - expected.mean(0), expected


def error(network, signatures, rng):
    """Largest difference of logits, of the largest logit."""
    return max(np.abs(one - other).max() / np.abs(whole).max() for one, other, whole in logits(network, signatures, rng))


def test_every_setting_gives_the_networks_outputs(network, whole, rng):
    signatures = opened(whole)
    assert {*signatures} == {"serve_r16", "serve_r12", "serve_r8", "serve_any"}
    _close(network, signatures, rng)
    wider = network.extended({10: network.interpolated_values(10)})
    for side in (8, 10, 16):
        images = pictures(rng, 1, side, side)
        expected = wider(TASK.normalised(images), setting=side)
        np.testing.assert_allclose(signatures["serve_any"](images=images)["logits"], expected, rtol=0, atol=1e-5)


def test_weights_are_stored_once(network, whole, single):
    """The small kernels that are folded are the copies, within 3 %; the rest has its norms outside."""
    channels = sum(variable.shape[0] for variable in network.weights if variable.name.endswith("r8_gamma:0"))
    norms = 4 * channels * (2 * 2 + 4 * 3)  # factor and shift of two more settings, all values for `serve_any`
    assert stored(whole) - norms <= 1.03 * stored(single)
    assert operations(whole)["DEPTHWISE_CONV_2D"] > 0
    assert operations(single)["DEPTHWISE_CONV_2D"] == 0  # one setting has nothing to share
    assert not any("CUSTOM" in name for name in operations(whole))


def test_half_the_bytes(network, whole, rng, tmp_path):
    path = export_litert(network, TASK, tmp_path, "net", precision="float16")
    assert stored(path) <= 0.53 * stored(whole)
    _close(network, opened(path), rng, atol=5e-3)


def test_integer_kernels_are_stored_once(network, whole, rng, tmp_path):
    path = export_litert(network, TASK, tmp_path, "net", precision="int8")
    alone = export_litert(network, TASK, tmp_path, "net", precision="int8", settings=["r16"])
    assert stored(path, TensorType.INT8) == stored(alone, TensorType.INT8)
    assert stored(path) <= 0.35 * stored(whole)  # norms and small kernels stay float
    assert operations(path)["DEPTHWISE_CONV_2D"] == 3  # of the first convolution, which is one of these
    assert 1e-5 < error(network, opened(path), rng) <= 0.1


def test_integer_kernels_that_change_sign_keep_their_norms_outside(rng, tmp_path):
    network = make(rng, resolutions=(12, 8), widths=(32, 32))
    for variable in network.weights:
        if variable.name.endswith("r8_gamma:0") and "conv1" in variable.name:
            variable.assign(-variable)
    path = export_litert(network, TASK, tmp_path, "net", precision="int8")
    alone = export_litert(network, TASK, tmp_path, "net", precision="int8", settings=["r12"])
    assert stored(path, TensorType.INT8) == stored(alone, TensorType.INT8)
    assert operations(path)["DEPTHWISE_CONV_2D"] > 0
    assert 1e-5 < error(network, opened(path), rng) <= 0.1


def test_low_bit_networks(rng, tmp_path):
    """Any rounding moves some activation over a threshold: predictions are compared, not logits."""
    task = classification(5, side=16, rules="tensorpack", resize="nearest")
    network = make(rng, "resnet20", weight_bits=2, activation_bits=2, widths=(16, 32), resolutions=(16, 12))
    signatures = opened(export_litert(network, task, tmp_path, "net"))
    for found, expected, _ in logits(network, signatures, rng, task=task):
        assert (found.argmax(1) == expected.argmax(1)).mean() >= 0.98


def test_generated_kernels_are_those_of_plain_networks(rng, tmp_path):
    network = make(rng, "meta_resnet18", resolutions=(16, 12), widths=(8, 16))
    path = export_litert(network, TASK, tmp_path, "net")
    signatures = opened(path)
    assert {*signatures} == {"serve_r16", "serve_r12"}
    _close(network, signatures, rng)
    assert operations(path)["DEPTHWISE_CONV_2D"] == 0  # no setting shares its kernels


def test_widths_share_the_kernels_of_their_resolutions(rng, tmp_path):
    options = {"blocks": (1, 1, 1), "widths": (16, 16, 32, 64), "width_range": (0.25, 1.0), "resolutions": SIDES}
    grid = [f"r{side}-w{width:g}" for side in SIDES for width in (0.25, 0.5, 0.75, 1.0)]
    network = from_preset("mutual_wideresnet28_10", **options, calibrated=grid, classes=5)
    randomise(network, rng)
    signatures = opened(path := export_litert(network, TASK, tmp_path, "net", settings=grid))
    assert {*signatures} == {f"serve_{setting}" for setting in grid}
    _close(network, signatures, rng)
    alone = [stored(export_litert(network, TASK, tmp_path, "net", settings=[setting])) for setting in grid[:4]]
    assert stored(path) <= 1.1 * sum(alone)
    assert not any("CUSTOM" in name for name in operations(path))


def test_half_precision_networks_are_exported_in_float32(rng, tmp_path):
    network = make(rng, resolutions=(12,), widths=(4, 6), dtype=tf.keras.mixed_precision.Policy("mixed_float16"))
    signatures = opened(export_litert(network, TASK, tmp_path, "net"))
    _close(network, signatures, rng, atol=5e-3)


def test_exits_and_stages(rng, tmp_path):
    """A cascade: heads carry the outputs of those before; the last exit alone needs all weights too."""
    exit_network = exits.network(cascade=True)
    randomise(exit_network, rng)
    signatures = opened(path := export_litert(exit_network, exits.TASK, tmp_path, "net"))
    passes = {f"serve_pass{number}" for number in exits.EXITS[:-1]}
    assert {*signatures} == {f"serve_{kind}{number}" for kind in ("exit", "stage") for number in exits.EXITS} | passes
    images = pictures(rng, 3, 20, 14)
    expected = exit_network.forward({16: exits.TASK.resized(images, 16)}, exit_network.settings, training=False)
    inputs = {"images": images}
    for setting in reversed(exit_network.settings):
        passed = signatures[f"serve_pass{setting.exit}"](**inputs) if f"serve_pass{setting.exit}" in passes else {}
        found = signatures[f"serve_stage{setting.exit}"](**inputs)
        assert {*passed} == {name for name in found if name.startswith("state_")}
        for name, state in passed.items():
            np.testing.assert_array_equal(state, found[name])
        inputs = {name: found.pop(name) for name in [*found] if name.startswith("state_")}
        assert {*found} == ANSWER
        np.testing.assert_allclose(found["logits"], expected[setting], rtol=0, atol=1e-5)
        alone = signatures[f"serve_{setting}"](images=images)
        np.testing.assert_allclose(alone["logits"], expected[setting], rtol=0, atol=1e-5)
    assert not inputs
    last = export_litert(exit_network, exits.TASK, tmp_path, "net", settings=["exit4"])
    assert {*opened(last)} == {"serve_exit4"}
    assert stored(path) <= 1.01 * stored(last)
