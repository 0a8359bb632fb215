"""Full int8: every signature with ranges of its own, kernels once."""

import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.schema_py_generated import TensorType

from tests.deploy import exits
from tests.deploy.litert.files import opened, operations, pictures, stored
from tests.deploy.litert.test_families import TASK, error, make
from tests.tasks.fakes import classification
from tfres.deploy import export_litert
from tfres.deploy.litert.ranges import feed
from tfres.errors import ExportError


def _export(network, folder, task=TASK, **options):
    return export_litert(network, task, folder, "net", precision="int8-full", **options)


def test_every_setting_has_its_ranges_and_kernels_are_stored_once(rng, tmp_path):
    network = make(rng, resolutions=(16, 12))
    calibration = [{16: pictures(rng, 4, 16, 16), 12: pictures(rng, 4, 12, 12)} for _ in range(8)]
    path = _export(network, tmp_path, calibration=calibration)
    signatures, alone = (
        opened(path),
        _export(network, tmp_path, settings=["r16"], calibration=pictures(rng, 32, 16, 16)[:, None]),
    )
    assert {*signatures} == {"serve_r16", "serve_r12"}
    assert {*opened(alone)} == {"serve_r16"}
    small = stored(path, TensorType.INT8) - stored(alone, TensorType.INT8)
    assert 0 <= small < 0.1 * stored(alone, TensorType.INT8)  # kernels of less than 1024 numbers
    assert operations(path)["DEPTHWISE_CONV_2D"] == 0 and operations(path)["QUANTIZE"] >= 2
    assert 1e-5 < error(network, signatures, rng) <= 0.1


def test_pictures_of_other_sizes_are_resized_as_exactly(rng, tmp_path):
    network, task = make(rng, resolutions=(16,)), classification(10, side=16)  # antialiased
    path = _export(network, tmp_path, task, calibration=pictures(rng, 32, 16, 16)[:, None])
    for height, width in ((16, 16), (40, 36), (9, 13)):
        images = pictures(rng, 32, height, width)
        expected = network(task.resized(images, 16), training=False).numpy()
        found = opened(path)["serve_r16"](images=images)["logits"]
        assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] >= 0.98


def test_stages_are_calibrated_by_what_is_behind_the_stage_before(rng, tmp_path):
    network = exits.network(blocks=1)  # (random norms would leave some of its few channels without anything)
    path = _export(network, tmp_path, exits.TASK, calibration=[pictures(rng, 4, 16, 16) for _ in range(8)])
    signatures, images = opened(path), pictures(rng, 32, 16, 16)
    expected = network.forward({16: exits.TASK.resized(images, 16)}, network.settings, training=False)
    inputs = {"images": images}
    for setting in reversed(network.settings):
        found = signatures[f"serve_stage{setting.exit}"](**inputs)
        inputs = {name: found.pop(name) for name in [*found] if name.startswith("state_")}
        assert np.corrcoef(found["logits"].ravel(), expected[setting].numpy().ravel())[0, 1] >= 0.99


def test_inputs_of_signatures():
    class Graph:
        def __init__(self, name, *specs):
            self.name, self.specs = name, specs

    class Array(float):
        def numpy(self):
            return -self

    graphs = [Graph("serve_exit1", "images"), Graph("serve_pass1", "images"), Graph("serve_stage1", "images")]
    graphs += [Graph("serve_pass2", "state_0"), Graph("serve_stage2", "state_0"), Graph("serve_stage3", "state_0", "state_1")]
    functions = {
        "serve_stage1": lambda images: {"state_0": Array(images + 1), "logits": Array(0)},
        "serve_stage2": lambda state_0: {"state_0": Array(state_0), "state_1": Array(5)},
        "serve_stage3": lambda state_0, state_1: {},
    }
    sizes = dict.fromkeys([graph.name for graph in graphs], 16) | {"serve_exit1": 12}
    found = [
        (name, {key: float(value) for key, value in given.items()})
        for name, given in feed(graphs, [{16: 1, 12: 7}], sizes, functions)
    ]
    assert found == [
        ("serve_exit1", {"images": 7}),
        ("serve_pass1", {"images": 1}),
        ("serve_stage1", {"images": 1}),
        ("serve_pass2", {"state_0": -2}),
        ("serve_stage2", {"state_0": -2}),
        ("serve_stage3", {"state_0": 2, "state_1": -5}),
    ]


def test_a_layer_that_gives_nothing(rng, tmp_path):
    network = make(rng, resolutions=(12,), widths=(4, 6))
    for variable in network.weights:
        if variable.name == "backbone/group0/block0/conv1_bn/r12_beta:0":
            variable.assign(tf.fill(variable.shape, -1000.0))
    with pytest.raises(ExportError, match="`calibration` must have pictures for which every layer gives something.*serve_r12"):
        _export(network, tmp_path, calibration=[pictures(rng, 1, 12, 12)])
    assert list(tmp_path.iterdir()) == []
