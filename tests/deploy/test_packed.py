"""Low-bit kernels stored at their bits in a SavedModel."""

import gc
import shutil

import numpy as np
import pytest
import tensorflow as tf

from quant import ActivationQuantizer
from tests.deploy import fakes
from tests.models.test_rsnet import randomise
from tests.tasks.fakes import classification
from tfres.deploy import AdaptiveModel, export_savedmodel
from tfres.deploy.runtime.files import open_export
from tfres.errors import ExportError
from tfres.families import from_preset

TASK = classification(7, rules="tensorpack", resize="nearest", side=32)
SMALL = {"blocks": [1], "widths": [16], "classes": 7, "resolutions": [32, 24]}


def _network(rng, weight_bits=2, activation_bits=2, **options):
    network = from_preset("resnet20", weight_bits=weight_bits, activation_bits=activation_bits, **{**SMALL, **options})
    randomise(network, rng)
    for layer in network._flatten_layers(include_self=False):
        if isinstance(layer, ActivationQuantizer):
            for basis in layer.bases:
                basis.assign(basis * rng.uniform(0.5, 1.5, basis.shape))
    return network


def _export(folder, network, name="net", **options):
    return export_savedmodel(network, TASK, folder, name, **options)


def _pictures(rng, *shape):
    return rng.integers(0, 256, (*shape, 3)).astype(np.uint8)


def _bytes(path):
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def _in_session(path, signature, **inputs):
    """The answer of TensorFlow Serving's loader."""
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        told = tf.compat.v1.saved_model.loader.load(session, ["serve"], str(path)).signature_def[signature]
        given = {told.inputs[name].name: value for name, value in inputs.items()}
        return session.run({name: one.name for name, one in told.outputs.items()}, given)


@pytest.mark.parametrize(
    "options", [{}, {"weight_bits": 3, "activation_bits": 32, "mode": "resnet", "dtype": "mixed_float16"}], ids=["2/2", "3/32"]
)
def test_packed_equals_plain(options, tmp_path, rng):
    network, pictures = _network(rng, **options), _pictures(rng, 3, 30, 28)
    plain, packed = (tf.saved_model.load(str(_export(tmp_path, network, packed=packed))) for packed in (False, True))
    assert {*plain.signatures} == {*packed.signatures}
    for name in ("serve_r32", "serve_r24", "serving_default", "serve_any"):
        images = pictures[:, :28, :28] if name == "serve_any" else pictures
        expected, found = (loaded.signatures[name](images=images) for loaded in (plain, packed))
        for key, value in expected.items():
            np.testing.assert_allclose(found[key], value, rtol=0, atol=1e-5)


def test_sessions_too(tmp_path, rng):
    path, pictures = _export(tmp_path, _network(rng), packed=True), _pictures(rng, 3, 30, 28)
    loaded = tf.saved_model.load(str(path))
    encoded = [tf.io.encode_png(picture).numpy() for picture in pictures]
    for name, inputs in (("serve_r24", {"images": pictures}), ("serve_encoded", {"encoded": encoded})):
        expected = loaded.signatures[name](**{key: tf.constant(value) for key, value in inputs.items()})
        found = _in_session(path, name, **inputs)
        for key, value in expected.items():
            np.testing.assert_allclose(found[key], value, rtol=0, atol=1e-5)


def test_plain_networks_too(tmp_path, rng):
    network, pictures = _network(rng), _pictures(rng, 2, 32, 32)
    paths = [_export(tmp_path, network, form="separate", packed=packed) for packed in (False, True)]
    plain, packed = (tf.saved_model.load(str(path)) for path in paths)
    for name in ("serve_r32", "serve_r24"):
        expected, found = (one.signatures[name](images=pictures)["logits"] for one in (plain, packed))
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    assert _bytes(paths[1] / "variables") < _bytes(paths[0] / "variables")


def test_bytes(tmp_path, rng):
    """Values of low-bit kernels take their bits; everything else is as before."""
    network = _network(rng, widths=[64])
    plain, packed = (_bytes(_export(tmp_path, network, packed=packed)) for packed in (False, True))
    low_bit = [layer for layer in network._flatten_layers() if getattr(layer, "weight_bits", None)]
    count = sum(layer.latent_kernel.shape.num_elements() for layer in low_bit)
    assert 0.8 * count * (32 - 2) / 8 < plain - packed <= count * (32 - 2) / 8


def test_exports_in_one_process_keep_their_kernels(tmp_path, rng):
    """Loading, loading again and letting go of one leaves the others as they are."""
    pictures = _pictures(rng, 1, 32, 32)
    networks = [_network(np.random.default_rng(seed)) for seed in range(2)]
    paths = [_export(tmp_path, network, packed=True) for network in networks]
    loaded = [tf.saved_model.load(str(path)) for path in (*paths, paths[0])]
    expected = [one.signatures["serve_r32"](images=pictures)["logits"].numpy() for one in loaded]
    np.testing.assert_array_equal(expected[0], expected[2])
    assert np.abs(expected[0] - expected[1]).max() > 1e-3
    del loaded[0]
    gc.collect()
    for one, logits in zip(loaded, expected[1:], strict=True):
        np.testing.assert_array_equal(one.signatures["serve_r32"](images=pictures)["logits"], logits)


def test_a_packed_export_is_sealed_and_adaptive(tmp_path, rng):
    path = _export(tmp_path, _network(rng), packed=True, table=fakes.table("r32", "r24"))
    model = AdaptiveModel(path, cache=tmp_path / "cache", measure_seconds=0.2)
    assert model.predict(_pictures(rng, 2, 32, 32), budget_ms=1e6).setting == "r32"
    assert "- Form: SavedModel, shared, low-bit kernels packed" in (path / "README.md").read_text()
    damaged = tmp_path / "damaged"
    shutil.copytree(path, damaged)
    graph = (damaged / "saved_model.pb").read_bytes()  # where the codes are
    (damaged / "saved_model.pb").write_bytes(graph[:-100] + bytes([graph[-100] ^ 1]) + graph[-99:])
    with pytest.raises(ExportError, match=r"saved_model.pb must be the file that was exported"):
        open_export(damaged)


class _Exits(fakes.Network):
    axes = ("exit",)


def test_what_cannot_be_packed(tmp_path, rng):
    float_network = from_preset("resnet20", **SMALL)
    with pytest.raises(ExportError, match="`packed` needs kernels of 1 to 8 bits.*Received: a network without any"):
        _export(tmp_path, float_network, packed=True)
    with pytest.raises(ExportError, match=r"`packed` must be False for a network with exits.*Received: packed=True"):
        export_savedmodel(_Exits(), fakes.Task(), tmp_path, "net", packed=True)
    assert list(tmp_path.iterdir()) == []
