"""Float RS-Nets: the specification's counts, padding, initial values, saving, the served form."""

import numpy as np
import pytest
import tensorflow as tf

from quant import QuantConv2D, QuantDepthwiseConv2D
from tests.models.test_rsnet import randomise
from tfres.families import from_preset
from tfres.models.backbones.mobilenet_v2 import make_divisible
from tfres.models.costs import count_cost

SIDES = (224, 208, 192, 176, 160, 144, 128, 112, 96)
# Parameters without alpha at one, two and five resolutions; million MACs at SIDES.
COUNTS = {
    "resnet18": (
        (11_689_512, 11_699_112, 11_727_912),
        (1814.07, 1620.87, 1332.92, 1168.34, 925.80, 789.84, 592.70, 485.36, 333.62),
    ),
    "resnet34": (
        (21_797_672, 21_814_696, 21_865_768),
        (3663.76, 3247.60, 2691.88, 2337.37, 1869.52, 1576.67, 1196.68, 965.48, 673.35),
    ),
    "resnet50": (
        (25_557_032, 25_610_152, 25_769_512),
        (4089.18, 3623.48, 3004.84, 2608.13, 2087.32, 1759.60, 1336.62, 1077.90, 752.75),
    ),
    "resnet101": (
        (44_549_160, 44_654_504, 44_970_536),
        (7801.41, 6824.33, 5732.19, 4899.86, 3981.31, 3293.74, 2548.78, 2005.95, 1434.58),
    ),
    "resnet152": (
        (60_192_808, 60_344_232, 60_798_504),
        (11513.63, 10025.17, 8459.53, 7191.59, 5875.30, 4827.87, 3760.93, 2934.01, 2116.42),
    ),
    "resnext50_32x4d": (
        (25_028_904, 25_097_128, 25_301_800),
        (4230.48, 3738.90, 3108.65, 2689.90, 2159.41, 1813.48, 1382.76, 1109.66, 778.70),
    ),
    "resnext101_32x8d": (
        (88_791_336, 88_994_216, 89_602_856),
        (16414.02, 14332.78, 12059.82, 10286.92, 8375.50, 6910.93, 5361.06, 4204.82, 3016.49),
    ),
    "mobilenetv2": (
        (3_504_872, 3_538_984, 3_641_320),
        (300.77, 270.37, 221.32, 195.42, 154.08, 132.69, 99.07, 82.18, 56.29),
    ),
}
TINY = {
    "resnet18": {"width_mult": 0.125},
    "resnet50": {"width_mult": 0.125, "blocks": (1, 1, 1, 1)},
    "resnext50_32x4d": {"groups": 4, "base_width": 8, "blocks": (1, 1, 1, 1), "widths": (16, 16, 32, 32)},
    "mobilenetv2": {"width_mult": 0.25},
}


def tiny(arch, **overrides):
    model = from_preset(arch, **{"resolutions": (64, 48), "classes": 5, **TINY[arch], **overrides})
    model.build()
    return model


@pytest.mark.usefixtures("unfilled")
@pytest.mark.parametrize("arch", COUNTS)
def test_counts_of_the_specification(arch):
    """Costs at all sides are those of one setting, whose layers are the same: norms for each would take most of the time."""
    (one, two, five), macs = COUNTS[arch]
    model = from_preset(arch, resolutions=(224, 96), calibrated=[160])
    model.build()
    per_resolution = two - one
    trainable = sum(w.shape.num_elements() for w in model.trainable_weights)
    assert trainable - 2 == one + per_resolution * 2 and five == one + per_resolution * 4
    for side, million in zip(SIDES, macs, strict=True):
        cost = count_cost(model, model.resolve(96), (1, side, side, 3))
        assert cost.params == one
        assert cost.macs / 1e6 == pytest.approx(million, abs=0.0051)
    assert all(model.cost(side) == count_cost(model, model.resolve(96), (1, side, side, 3)) for side in (224, 160))


@pytest.mark.parametrize("arch", TINY)
def test_saving_and_the_served_form_at_every_setting(rng, tmp_path, arch):
    model = tiny(arch, calibrated=(56,))
    randomise(model, rng)
    model.save(tmp_path / "model.keras")
    loaded = tf.keras.models.load_model(tmp_path / "model.keras")
    served = model.served()
    assert loaded.get_config() == model.get_config()
    for setting in model.settings:
        x = tf.constant(rng.standard_normal((2, setting.resolution, setting.resolution, 3)), tf.float32)
        expected = model(x, setting=setting)
        np.testing.assert_array_equal(loaded(x, setting=setting), expected)
        np.testing.assert_array_equal(served.run(x, served.at(setting)), expected)


@pytest.mark.parametrize("kind", [QuantConv2D, QuantDepthwiseConv2D])
@pytest.mark.parametrize(("kernel_size", "strides"), [(7, 2), (3, 2), (3, 1), (1, 2), (5, 3)])
def test_symmetric_padding_is_that_of_explicit_zeros(rng, kind, kernel_size, strides):
    arguments = {"kernel_size": kernel_size, "strides": strides}
    arguments |= {"filters": 4} if kind is QuantConv2D else {}
    layer, plain = kind(padding="symmetric", **arguments), kind(padding="valid", **arguments)
    x = tf.constant(rng.standard_normal((2, 12, 11, 3)), tf.float32)
    pad = (kernel_size - 1) // 2
    padded = tf.pad(x, [[0, 0], [pad, pad], [pad, pad], [0, 0]])
    outputs, _ = layer(x), plain(padded)
    plain.set_weights(layer.get_weights())
    np.testing.assert_allclose(outputs, plain(padded), rtol=1e-5, atol=1e-6)
    assert kind.from_config(layer.get_config()).get_config() == layer.get_config()


def test_grouped_convolution_in_float64_is_that_in_float32(rng):
    x = rng.standard_normal((2, 6, 6, 8))
    layers = [QuantConv2D(12, 3, groups=4, padding="symmetric", dtype=dtype) for dtype in ("float32", "float64")]
    for layer in layers:
        layer.build((None, 6, 6, 8))
    layers[1].set_weights(layers[0].get_weights())
    np.testing.assert_allclose(layers[0](x.astype(np.float32)), layers[1](x), rtol=1e-4, atol=1e-5)


def test_initial_values():
    """Standard deviations of the reference: sqrt(2 / (k k out)), also for depthwise; the final layers' own."""
    resnet = from_preset("resnet18", resolutions=(64,))
    resnet.build()
    weights = {variable.name: variable.numpy() for variable in resnet.weights}
    assert weights["backbone/conv0/kernel:0"].std() == pytest.approx(np.sqrt(2 / (49 * 64)), rel=0.05)
    assert weights["backbone/group3/block1/conv2/kernel:0"].std() == pytest.approx(np.sqrt(2 / (9 * 512)), rel=0.01)
    assert np.abs(weights["backbone/group3/block1/conv2/kernel:0"]).max() > 3.5 * np.sqrt(2 / (9 * 512))  # not truncated
    limit = 1 / np.sqrt(512)
    for name in ("linear/kernel:0", "linear/bias:0"):
        assert 0.95 * limit < np.abs(weights[name]).max() <= limit
    assert all(np.all(value == 1) for name, value in weights.items() if "gamma" in name)
    mobile = from_preset("mobilenetv2", resolutions=(64,))
    mobile.build()
    weights = {variable.name: variable.numpy() for variable in mobile.weights}
    depthwise = weights["backbone/block16/depthwise/depthwise_kernel:0"]
    assert depthwise.shape[2:] == (960, 1) and depthwise.std() == pytest.approx(np.sqrt(2 / (9 * 960)), rel=0.05)
    assert weights["linear/kernel:0"].std() == pytest.approx(0.01, rel=0.02) and not weights["linear/bias:0"].any()


def test_channels_are_rounded_as_in_the_reference():
    assert [make_divisible(c) for c in (1, 8, 11.9, 12, 18, 24.0, 25.2, 1280 * 0.35)] == [8, 8, 16, 16, 24, 24, 24, 448]
    model = from_preset("mobilenetv2", width_mult=1.4, resolutions=(64,))
    assert model.backbone.channels == 1792
    assert from_preset("mobilenetv2", width_mult=0.5, resolutions=(64,)).backbone.channels == 1280


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "float64"])
def test_dtype_reaches_all_layers(policy):
    model = tiny("resnet18", dtype=policy)
    x = tf.zeros([1, 64, 64, 3])
    assert model(x).dtype == (tf.float32 if policy.startswith("mixed") else tf.float64)
    assert model.backbone.conv0.compute_dtype == ("bfloat16" if policy.startswith("mixed") else "float64")
    assert {variable.dtype for variable in model.weights} == {tf.float32 if policy.startswith("mixed") else tf.float64}


@pytest.mark.parametrize(
    ("arch", "arguments", "message"),
    [
        ("mobilenetv2", {"weight_bits": 2}, "must be 32 in mode float and for mobilenet_v2. Received: weight_bits=2"),
        ("mobilenetv2", {"mode": "preact"}, "`mode` must be float for mobilenet_v2"),
        ("resnet18", {"mode": "float", "activation_bits": 2}, "must be 32 in mode float"),
        ("resnet50", {"stride_in": "5x5"}, "`stride_in` must be one of 3x3, 1x1"),
        ("resnet18", {"calibrated": (64,)}, "`calibrated` must be settings that are not trained"),
    ],
)
def test_bad_arguments(arch, arguments, message):
    with pytest.raises(ValueError, match=message):
        tiny(arch, **arguments)
