"""Low-bit networks on the integer grid, and the accuracy they have there."""

import numpy as np
import pytest
import tensorflow as tf

from quant import FixedLevels
from tests.deploy import exits
from tests.models.test_rsnet import randomise
from tfres.deploy.snap import measure_snapped, snap
from tfres.errors import ExportError
from tfres.evaluation.measuring import measure
from tfres.evaluation.opened import OpenedRun
from tfres.families import from_preset
from tfres.families.networks import build_network
from tfres.families.recipes import family_of, read_recipe, resolve
from tfres.models.layer_names import named_layers

SMALL = {"blocks": [1, 1], "widths": [8, 12], "classes": 5, "resolutions": [24, 16], "weight_bits": 2, "activation_bits": 2}


def _on_grid(values, top, steps):
    codes = values.astype(np.float64) / (top.astype(np.float64) / steps)
    np.testing.assert_allclose(codes, np.round(codes), rtol=0, atol=1e-4)


def _pairs(network, snapped):
    """`(path, layer of the served form, the same of the snapped one)`."""
    served = network.served()
    for one, other in ((served.backbone, snapped.backbone), (served.classifier, snapped.classifier)):
        layers, copies = named_layers(one) or {"linear": one}, named_layers(other) or {"linear": other}
        assert [*layers] == [*copies]
        yield from ((name, layers[name], copies[name]) for name in layers if layers[name].weights)


@pytest.mark.parametrize("update", ["sequential", "private"])
def test_values_lie_on_the_grid_and_everything_else_stays(update, rng):
    network = from_preset("resnet20", **{**SMALL, "basis_update": update})
    randomise(network, rng)
    before = [value.numpy() for value in network.weights]
    snapped, kernels, levels = snap(network), 0, 0
    low_bit = {id(served) for served, _ in snapped.packed_kernels()}
    for name, layer, moved in _pairs(network, snapped):
        if id(moved) in low_bit:
            exact, found = layer.latent_kernel.numpy(), moved.latent_kernel.numpy()
            top = np.abs(exact).max((0, 1, 2))
            _on_grid(found, top, 127)
            assert (np.abs(found - exact) <= 0.5 / 127 * top * (1 + 1e-5)).all(), name
            kernels += 1
        elif isinstance(moved, FixedLevels):
            exact, found = layer.levels.numpy(), moved.levels.numpy()
            assert exact.shape == ((2, 4) if update == "private" else (1, 4))
            _on_grid(found, exact[:, -1:], 255)
            assert (np.abs(found - exact) <= 0.5 / 255 * exact[:, -1:] * (1 + 1e-5)).all(), name
            np.testing.assert_array_equal(moved.thresholds, layer.thresholds)
            levels += 1
        elif not named_layers(moved):
            for value, other in zip(layer.weights, moved.weights, strict=True):
                np.testing.assert_array_equal(value, other)
    assert kernels >= 4 and levels >= 4
    for value, kept in zip(network.weights, before, strict=True):
        np.testing.assert_array_equal(value, kept)
    values = [value.numpy() for value in snapped.weights]
    assert snapped.snap()  # again: nothing moves
    for value, kept in zip(snapped.weights, values, strict=True):
        np.testing.assert_array_equal(value, kept)


def test_outputs_are_near(rng):
    """With kernels alone at few bits no activation crosses a threshold."""
    network = from_preset("resnet20", **{**SMALL, "mode": "resnet", "activation_bits": 32})
    snapped, images = snap(network), tf.constant(rng.standard_normal((4, 24, 24, 3)), tf.float32)
    expected = network(images, setting=24).numpy()
    found = snapped.run(images, snapped.at(24)).numpy()
    assert 0 < np.abs(found - expected).max() < 0.05 * np.abs(expected).max()


def test_float_networks_are_refused():
    network = from_preset("resnet20", **{**SMALL, "weight_bits": 32, "activation_bits": 32, "mode": "float"})
    with pytest.raises(ExportError, match="`network` must have weights or activations of 1 to 8 bits. Received: a float"):
        snap(network)


def test_exits(rng):
    network = exits.network(weight_bits=2, activation_bits=2)
    snapped, images = snap(network), tf.constant(rng.standard_normal((2, 16, 16, 3)), tf.float32)
    assert snapped.run(images, snapped.at(network.settings[-1])).shape == (2, 10)


@pytest.fixture(scope="module")
def opened():
    """As of a run with random weights, on generated pictures."""
    data = {"source": "fake", "fake_size": 8, "batch_size": 4, "holdout": 0}
    bits = {"weight_bits": 2, "activation_bits": 2}
    model = {"arch": "resnet20", "mode": "preact", "blocks": [1], "widths": [8], "resolutions": [16, 12], **bits}
    recipe, task, source = resolve(read_recipe({"model": model, "data": data, "objective": {"kd": True}}))
    network = build_network(recipe)
    return OpenedRun(None, recipe, "none", network, task, source, family_of(recipe).objective(recipe))


def test_rows_say_whose_accuracy_they_have(opened, rng):
    table, exact = measure_snapped(opened), measure(opened)
    assert [row["setting"] for row in table["rows"]] == [row["setting"] for row in exact["rows"]]
    assert all(row["form"] == "snapped" for row in table["rows"])
    for row, other in zip(table["rows"], exact["rows"], strict=True):
        assert "form" not in other and {**other, "form": "snapped"}.keys() == row.keys()
        assert row["macs"] == other["macs"]
    (row,) = measure_snapped(opened, [12])["rows"]
    assert row == next(other for other in table["rows"] if other["setting"] == "r12")


def test_the_snapped_network_is_what_is_evaluated(opened):
    """Its own score, picture by picture."""
    network, task = opened.network, opened.task
    snapped = snap(network.materialize(12))
    metrics = task.metrics()
    for batch in task.evaluation_batches(opened.source, [12]):
        inputs, targets = task.prepare(batch, [12], training=False)
        metrics.add(task.metrics().measure(snapped.run(inputs[12], snapped.at(snapped.settings[0])), targets))
    (row,) = measure_snapped(opened, [12])["rows"]
    assert metrics.result().items() <= row.items()
