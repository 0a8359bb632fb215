"""Networks that tell something of every pixel: the same checks as all others, and the head against its formula."""

import numpy as np
import pytest
import tensorflow as tf

from quant import At
from tests.models import harness
from tests.models.harness import Case
from tfres.errors import RecipeError
from tfres.families import from_preset
from tfres.layers.maps import resized

MAPS = {"head": "maps", "head_channels": 8, "classes": 5, "resolutions": [(16, 24), (12, 8)]}
RESIDUAL = {**MAPS, "widths": [4, 6, 6], "blocks": [1, 1, 1], "head_strides": [2, 4]}
CASES = {
    "float": Case("resnet20", {**RESIDUAL, "mode": "float"}),
    "low bit": Case("resnet20", {**RESIDUAL, "weight_bits": 2, "activation_bits": 2}),
    "generated": Case("meta_resnet20", RESIDUAL, exact=False, plain=False),
    "slim": Case(
        "mutual_wideresnet10_2",
        {**MAPS, "widths": [8, 16, 24], "blocks": [1, 1], "width_range": [0.5, 1.0]},
        exact=False,
        plain=False,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_networks(name, rng, tmp_path):
    case = CASES[name]
    network = case.make()
    harness.randomise(network, rng)
    expected = {setting: network(*harness._call(case, network, setting)).numpy() for setting in network.settings}
    assert all(outputs.shape[-1] == 5 and outputs.ndim == 4 for outputs in expected.values())
    harness._config(case, network)
    harness._saved(case, network, expected, tmp_path)
    harness._served(case, network, expected)
    harness._plain(case, network, expected)
    harness._features(case, network)


def test_the_head_is_a_convolution_of_all_maps_resized_and_concatenated(rng):
    network = CASES["float"].make()
    harness.randomise(network, rng)
    setting = network.settings[0]
    images, at = tf.constant(rng.uniform(size=(2, 16, 24, 3)), tf.float32), At(network.settings[0])
    maps, neck = network.features(images, setting), network.neck
    together = tf.concat([resized(maps[stride], 8, 12) for stride in (2, 4)], -1)
    kernel = tf.concat([neck.convs[stride].latent_kernel for stride in ("2", "4")], 2)
    features = tf.nn.relu(neck.norm(tf.nn.conv2d(together, kernel, 1, "VALID"), at=at))
    np.testing.assert_allclose(neck(maps, at=at), features, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(network(images, setting=setting), network.classifier(features), rtol=1e-4, atol=1e-5)


def test_wrong_arguments():
    with pytest.raises(RecipeError, match="`head_channels` must be left out"):
        from_preset("resnet20", head_channels=8)
    with pytest.raises(RecipeError, match="`head` must be one of pooled, maps"):
        from_preset("resnet20", head="pixels")
    with pytest.raises(ValueError, match="`head_strides` must be among 1, 2, 4. Received: head_strides=\\[8\\]"):
        from_preset("resnet20", **{**MAPS, "head_strides": [4, 8]})
    with pytest.raises(RecipeError, match="`resolutions` must be distinct positive integers, or pairs such as 360x480"):
        from_preset("resnet20", resolutions=["16x24", (16, 24)])
