"""Networks in onnxruntime and OpenVINO: the code of the documentation, run as it stands."""

import pathlib
import re

import numpy as np
import pytest
import tensorflow as tf

from tests.deploy import exits
from tests.models.test_rsnet import randomise
from tests.tasks.fakes import classification
from tfres.deploy import foreign, snap
from tfres.errors import ExportError
from tfres.evaluation import opened
from tfres.evaluation.opened import OpenedRun
from tfres.families import from_preset

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "other_runtimes.md"
TASK = classification(5, side=16, mean=[0.4, 0.5, 0.6])
SMALL = {"blocks": (1, 1), "widths": (16, 32), "stem": "cifar", "classes": 5, "resolutions": (16, 12, 8)}
BITS = {"mode": "preact", "weight_bits": 2, "activation_bits": 2}
WIDTHS = {"classes": 5, "resolutions": (16, 12), "width_mults": (1.0, 0.5), "width_range": (0.5, 1.0)}


def _network(arch, options):
    """Its settings have norms of their own."""
    network = from_preset(arch, **options)
    randomise(network, np.random.default_rng(0))
    return network


@pytest.fixture(scope="module")
def networks():
    return {
        "runs/rsnet": _network("resnet18", SMALL),
        "runs/mutualnet": _network("mutual_mobilenet_v1", WIDTHS),
        "runs/low_bit": _network("resnet18", {**SMALL, **BITS}),
    }


@pytest.fixture(scope="module")
def documented(networks, tmp_path_factory):
    """The names that the code of the page leaves, and what it printed."""
    for package in ("onnxruntime", "tf2onnx", "openvino"):
        pytest.importorskip(package, reason=f"{package} is not installed: make test RUNTIMES=1")
    code = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert len(code) == 4
    names = {"printed": []}
    names["print"] = lambda *values: names["printed"].append(values)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("documented"))
        patch.setattr(opened, "open_run", lambda path: OpenedRun(None, None, "none", networks[path], TASK, None, None))
        for block in code:
            exec(block, names)
    return names


def test_onnx_at_every_setting(documented):
    assert [str(setting) for setting, _ in documented["printed"]] == ["r16", "r12", "r8"]
    assert all(difference <= 1e-4 for _, difference in documented["printed"])


def test_onnx_of_one_width_resizes(documented, networks):
    network, answer = networks["runs/mutualnet"], documented["answer"]
    expected = network(TASK.resized(documented["pictures"], 16), setting="r16-w0.5").numpy()
    np.testing.assert_allclose(answer["logits"], expected, rtol=0, atol=1e-4)
    np.testing.assert_array_equal(answer["class"], expected.argmax(1))
    np.testing.assert_allclose(answer["probabilities"], tf.nn.softmax(expected), rtol=0, atol=1e-5)


def test_openvino_at_every_setting(documented, networks, rng):
    network, compiled = networks["runs/rsnet"], documented["compiled"]
    for number, setting in enumerate(network.settings):
        images = rng.standard_normal((2, *network.input_size(setting), 3)).astype(np.float32)
        found = compiled({"images": images, "setting": np.array(number, np.int32)})["logits"]
        np.testing.assert_allclose(found, network(images, setting=setting), rtol=0, atol=1e-4)


def test_openvino_integers_are_the_snapped_network(documented, networks, rng):
    network, integers = networks["runs/low_bit"], documented["integers"]
    snapped, alike = snap.snap(network), []
    for number, setting in enumerate(network.settings):
        images = rng.standard_normal((200, *network.input_size(setting), 3)).astype(np.float32)
        found = integers({"images": images, "setting": np.array(number, np.int32)})["logits"]
        alike.append(found.argmax(1) == snapped.run(tf.constant(images), snapped.at(setting)).numpy().argmax(1))
    assert np.mean(alike) >= 0.995


def test_openvino_computes_low_bit_convolutions_in_integers(documented):
    kinds = [node.get_rt_info() for node in documented["integers"].get_runtime_model().get_ordered_ops()]
    kinds = [kind["runtimePrecision"].astype(str) for kind in kinds if kind["layerType"].astype(str) == "Convolution"]
    assert sorted(kinds) == ["f32", *["u8"] * 5]  # the first one has no bits


def test_openvino_integers_of_private_levels_are_of_one_setting(rng):
    openvino = pytest.importorskip("openvino", reason="openvino is not installed: make test RUNTIMES=1")
    network = _network("resnet18", {**SMALL, **BITS, "basis_update": "private"})
    with pytest.raises(ExportError, match="`setting` must be one of r16, r12, r8: settings have levels of their own"):
        foreign.openvino_int8(network)
    model = foreign.openvino_int8(network, 12)
    compiled = openvino.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    snapped = snap.snap(network.materialize(12))
    images = rng.standard_normal((200, 12, 12, 3)).astype(np.float32)
    expected = snapped.run(tf.constant(images), snapped.at(12)).numpy()
    assert np.mean(compiled({"images": images})["logits"].argmax(1) == expected.argmax(1)) >= 0.995
    with pytest.raises(ExportError, match="`network` must have weights or activations of 1 to 8 bits. Received: a float"):
        foreign.openvino_int8(from_preset("resnet18", **SMALL))


def test_the_portable_function_is_the_network(networks, rng):
    """Also where no other runtime is installed, and with nothing but constants in it."""
    network = networks["runs/rsnet"]
    run, images = foreign.portable(network), tf.constant(rng.standard_normal((2, 12, 12, 3)), tf.float32)
    assert not run.get_concrete_function().captured_inputs
    np.testing.assert_allclose(run(images, tf.constant(1))["logits"], network(images, setting=12), rtol=0, atol=1e-5)
    for outside, nearest in ((-1, 0), (3, 2)):
        found, expected = run(images, tf.constant(outside)), run(images, tf.constant(nearest))
        np.testing.assert_array_equal(found["logits"], expected["logits"])
    alone = foreign.portable(network, 12)
    np.testing.assert_allclose(alone(images)["logits"], network(images, setting=12), rtol=0, atol=1e-5)
    assert alone.input_signature == (tf.TensorSpec([None, 12, 12, 3], tf.float32, "images"),)


@pytest.mark.parametrize(
    ("make", "task", "told"),
    [
        (lambda networks: networks["runs/mutualnet"], None, "r16-w1, r16-w0.5: no other runtime takes the width of kernels"),
        (lambda networks: networks["runs/rsnet"], TASK, "r16, r12, r8: resizing depends on it"),
        (lambda networks: exits.network(), None, "exit4, exit3, exit2, exit1: exits are other layers"),
    ],
    ids=["widths", "resizing", "exits"],
)
def test_a_setting_is_needed(make, task, told, networks):
    with pytest.raises(ExportError, match=f"`setting` must be one of {told}.*Received: setting=None."):
        foreign.portable(make(networks), task=task)


def test_unknown_settings(networks):
    with pytest.raises(ValueError, match="`setting` must be one of r16, r12, r8. Received: setting=r10."):
        foreign.portable(networks["runs/rsnet"], 10)
