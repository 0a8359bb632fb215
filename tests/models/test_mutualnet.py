"""MutualNet: rounding, channels, costs of the published tables, widths as plain networks, one graph for all widths."""

import collections

import numpy as np
import pytest
import tensorflow as tf

from quant import At
from tests.models.test_rsnet import randomise
from tfres.families import from_preset
from tfres.layers.slim_channels import SlimChannels, slim_channels
from tfres.layers.slimmable import SlimmableConv2D
from tfres.layers.slimmable_batch_norm import SlimmableBatchNorm

# Published query tables: width, side, MFLOPs of the README.
TABLES = {
    "mutual_mobilenet_v1": """1.0-224 569  0.95-224 518  0.9-224 466  1.0-192 418  0.95-192 380  0.9-192 342  0.85-192 309
        0.8-192 269  0.75-192 239  0.85-160 215  0.8-160 187  0.75-160 166  0.7-160 146  0.65-160 127  0.6-160 111  0.5-160 76
        0.45-160 63  0.35-160 41  0.25-192 30  0.25-160 21  0.25-128 13""",
    "mutual_mobilenet_v2": """1.0-224 300  0.95-224 284  0.9-224 269  0.85-224 254  1.0-192 221  0.95-192 209  0.9-192 198
        0.85-192 187  0.8-192 164  0.75-192 154  0.7-192 128  0.75-160 107  0.7-160 89  0.85-128 84  0.7-128 57""",
}
APPS = {
    "mobilenet_v1": "mutual_mobilenet_v1",
    "mobilenet_v2": "mutual_mobilenet_v2",
    "resnet50": "mutual_resnet50",
    "wideresnet": "mutual_wideresnet28_10",
}


def built(arch, **overrides):
    model = from_preset(arch, **overrides)
    model.build()
    return model


def small(**overrides):
    options = {
        "blocks": (1, 1, 1),
        "widths": (16, 16, 32, 64),
        "width_range": (0.25, 1.0),
        "resolutions": (16, 12),
        "classes": 5,
    }
    return built("mutual_wideresnet28_10", **{**options, **overrides})


def test_rounding(golden):
    pairs, rows, _ = golden("mutualnet_rules")["outputs"]
    assert all(slim_channels(value, 1.0) == rounded for value, rounded in pairs["pairs"])
    for base, width, ratio, channels in rows["rows"]:
        assert slim_channels(base, width, ratio) == channels
        assert slim_channels(base, tf.constant(width, tf.float64), ratio).numpy() == channels
    assert slim_channels(10, 0.3, minimum=8) == 8 and slim_channels(10, 0.3) == 9 and slim_channels(20, 0.55, divisor=1) == 11


@pytest.mark.usefixtures("unfilled")
def test_channels_of_every_layer(golden):
    for output in golden("mutualnet_channels")["outputs"]:
        setting = output["setting"]
        arch = APPS[setting["app"].split("_scaled")[0]]
        model = built(arch, width_range=setting["width_mult_range"])
        for width, expected in output["channels_in_out_per_width"].items():
            shapes = _kernels(model, f"r{setting['resolution']}-w{width}")
            assert collections.Counter(shapes) == collections.Counter(map(tuple, expected)), (arch, width)


def _kernels(model, setting):
    """Channels in and out of every convolution and of the final layer."""
    function = tf.function(lambda x: model(x, setting=setting, training=True))
    side = model.resolve(setting).resolution
    shapes = []
    for operation in function.get_concrete_function(tf.TensorSpec([1, side, side, 3])).graph.get_operations():
        if operation.type in ("Conv2D", "DepthwiseConv2dNative", "MatMul"):
            *_, inputs, outputs = operation.inputs[1].shape
            shapes.append((inputs, inputs) if operation.type.startswith("Depthwise") else (inputs, outputs))
    return shapes


@pytest.mark.usefixtures("unfilled")
def test_costs(golden):
    """Multiply-adds and parameters of the reference, a part of the grid."""
    for output in golden("mutualnet_macs")["outputs"]:
        setting = output["setting"]
        overrides = {"width_range": setting["width_mult_range"], "classes": setting["num_classes"]}
        model = built(APPS[setting["app"]], **overrides)
        assert sum(w.shape.num_elements() for w in model.trainable_weights) == output["params_whole_model"]
        for width, side, _, macs, params, _ in output["rows"][::9]:
            if not isinstance(side, list):
                cost = model.cost(f"r{side}-w{width}")
                assert (cost.macs, cost.params, cost.bytes) == (macs, params, 4 * params)


@pytest.mark.usefixtures("unfilled")
@pytest.mark.parametrize("arch", TABLES)
def test_published_query_tables(arch):
    model, entries = built(arch), TABLES[arch].split()
    for entry, mflops in zip(entries[::2], entries[1::2], strict=True):
        width, side = entry.split("-")
        assert abs(model.cost(f"r{side}-w{width}").macs / 1e6 - int(mflops)) < 1


# Million multiply-adds and kept parameters of slimmable_networks, computed with its code.
SWITCHES = {
    "slim_mobilenet_v1": {"w1": (568.74, None), "w0.75": (325.39, None), "w0.5": (149.50, None), "w0.25": (41.03, None)},
    "slim_mobilenet_v2": {"w1": (300.8, None), "w0.75": (209.1, None), "w0.5": (97.2, None), "w0.35": (59.3, None)},
    "slim_resnet50": {"w1": (4089.2, None), "w0.75": (2322.7, None), "w0.5": (1052.3, None), "w0.25": (278.1, None)},
    "autoslim_mobilenet_v1": {"netm150": (149.86, 1.888), "netm325": (324.81, 4.001), "netm572": (572.13, 4.656)},
    "autoslim_mobilenet_v2": {"netm207": (206.86, 4.125), "netm305": (305.17, 5.767), "netm505": (505.03, 6.496)},
    "autoslim_resnet50": {
        "netm570": (570.09, 7.417), "netm1000": (999.95, 13.344), "netm2006": (2006.14, 20.608), "netm3005": (3004.65, 23.185),
    },
}  # fmt: skip


@pytest.mark.usefixtures("unfilled")
@pytest.mark.parametrize("arch", SWITCHES)
def test_slimmable_networks(arch):
    model = built(arch)
    for setting, (mmacs, mparams) in SWITCHES[arch].items():
        cost = model.cost(f"r224-{setting}")
        assert cost.macs / 1e6 == pytest.approx(mmacs, rel=2e-3)
        assert mparams is None or cost.params / 1e6 == pytest.approx(mparams, abs=6e-4)
    assert {str(s) for s in model.trained_settings} == {f"r224-{setting}" for setting in SWITCHES[arch]}


def test_full_width_is_the_plain_network(rng):
    """The same layers without slices: ResNet-50 of the RS-Nets, bit for bit."""
    options = {"blocks": (1, 1), "widths": (16, 32), "classes": 5}
    slim = built("mutual_resnet50", resolutions=(64,), width_range=(0.5, 1.0), **options)
    randomise(slim, rng)
    plain = built("resnet50", resolutions=(64,), **options)
    values = {weight.name.replace("/w1_", "/r64_"): weight for weight in slim.weights}
    for weight in plain.weights:
        if "alpha" in weight.name:
            continue
        name = weight.name
        shared = name.replace("/r64_gamma", "/gamma").replace("/r64_beta", "/beta")
        weight.assign(values.get(name, values.get(shared)))
    x = tf.constant(rng.standard_normal((2, 64, 64, 3)), tf.float32)
    np.testing.assert_array_equal(slim(x, setting="r64-w1"), plain(x))


@pytest.mark.parametrize("width", [0.25, 0.6, 1.0])
def test_one_graph_for_all_widths(rng, width):
    """The width as a tensor: channel counts are computed in the graph, gradients reach the leading channels only."""
    model = small()
    randomise(model, rng)
    x = tf.constant(rng.standard_normal((2, 16, 16, 3)), tf.float32)

    @tf.function(input_signature=[tf.TensorSpec([], tf.float64)])
    def dynamic(width):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(model.run(x, At(width_mult=width), training=True) ** 2)
        return loss, tape.gradient(loss, model.trainable_weights)

    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model(x, setting=f"r16-w{width}", training=True) ** 2)
    expected = tape.gradient(loss, model.trainable_weights)
    found_loss, found = dynamic(tf.constant(width, tf.float64))
    np.testing.assert_allclose(found_loss, loss, rtol=1e-5)
    for weight, ours, theirs in zip(model.trainable_weights, found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4 * np.abs(theirs).max() + 1e-12, err_msg=weight.name)


def test_saving_at_every_setting(rng, tmp_path):
    model = small(calibrated=("r12-w0.5",))
    randomise(model, rng)
    model.save(tmp_path / "model.keras")
    loaded = tf.keras.models.load_model(tmp_path / "model.keras")
    assert loaded.get_config() == model.get_config() and len(model.settings) == 3
    for setting in model.settings:
        x = tf.constant(rng.standard_normal((2, setting.resolution, setting.resolution, 3)), tf.float32)
        np.testing.assert_array_equal(loaded(x, setting=setting), model(x, setting=setting))


def test_grouped_and_depthwise(rng):
    channels = SlimChannels(32)
    layer = SlimmableConv2D(channels, 3, groups=4, padding="symmetric", use_bias=False)
    layer.build((None, 8, 8, 16))
    x = tf.constant(rng.standard_normal((2, 8, 8, 8)), tf.float32)
    y = layer(x, at=At("w0.5"))
    groups = [tf.nn.conv2d(x[..., 2 * g : 2 * g + 2], layer.kernel[:, :, :2, 4 * g : 4 * g + 4], 1, "SAME") for g in range(4)]
    np.testing.assert_allclose(y, tf.concat(groups, -1), rtol=1e-4, atol=1e-5)


def test_errors():
    model = small()
    x = tf.zeros([1, 16, 16, 3])
    with pytest.raises(ValueError, match="r16-w0.5 has no statistics; those that have are w1, w0.25. Calibrate it"):
        model(x, setting="r16-w0.5")
    with pytest.raises(ValueError, match="`setting` must have a width of at most 1. Received: setting=w1.5"):
        model(x, setting="w1.5")
    for arguments, message in (
        ({"width_range": (0.9, 0.5)}, "`width_range` must be two ascending"),
        ({"width_mults": (2.0,)}, "`width_mults` must be positive and at most 1"),
        ({"kind": "basic"}, "`kind` must be one of mobilenet_v1"),
    ):
        with pytest.raises(ValueError, match=message):
            from_preset("mutual_mobilenet_v1", **arguments)
    norm = next(layer for layer in model._flatten_layers() if isinstance(layer, SlimmableBatchNorm))
    assert norm.statistics_name(At("r12-w0.25")) == "w0.25" and norm.statistics_name(At("r12-w0.3")) is None


@pytest.mark.parametrize("overrides", [{}, {"private": True, "width_mults": (1.0, 0.5)}])
def test_served_and_plain_forms(rng, overrides):
    """One graph with the number of the setting; and every sub-network alone, as built at its width."""
    model = small(calibrated=() if overrides else ("r12-w0.5", "r16-w0.6"), **overrides)
    randomise(model, rng)
    served = model.served()
    images = tf.TensorSpec([None, None, None, 3])
    one = tf.function(lambda x, n: served.run(x, At(index=n)), input_signature=[images, tf.TensorSpec([], tf.int32)])
    for setting in model.settings:
        x = tf.constant(rng.standard_normal((2, setting.resolution, setting.resolution, 3)), tf.float32)
        expected = model(x, setting=setting)
        np.testing.assert_allclose(one(x, served.at(setting).index), expected, rtol=1e-5, atol=1e-5)
        plain = model.materialize(setting)
        np.testing.assert_allclose(plain(x), expected, rtol=1e-6, atol=1e-6)
        assert plain.cost().macs == model.cost(setting).macs and plain.cost().params == model.cost(setting).params
