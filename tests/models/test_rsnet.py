"""Quantized RS-Nets: counts, settings, saving, the served form."""

import numpy as np
import pytest
import tensorflow as tf

from quant import ActivationQuantizer, WeightQuantizer
from tfres.families import from_preset
from tfres.models.rsnet import RSNet

# Depth and mode -> quantized weights, final layer, BN channels, weight and activation quantizers, trainable at S=1 and S=5.
COUNTS = {
    ("resnet18", "resnet"): (11_157_504, 513_000, 4_800, 19, 0, 11_689_512, 11_727_912),
    ("resnet18", "preact"): (11_157_504, 513_000, 6_720, 19, 16, 11_693_352, 11_747_112),
    ("resnet34", "preact"): (21_258_240, 513_000, 12_288, 35, 32, 21_805_224, 21_903_528),
    ("resnet50", "resnet"): (23_445_504, 2_049_000, 26_560, 52, 0, 25_557_032, 25_769_512),
    ("resnet50", "preact"): (23_445_504, 2_049_000, 41_664, 52, 48, 25_587_240, 25_920_552),
    ("resnet101", "preact"): (42_385_408, 2_049_000, 85_184, 103, 99, 44_614_184, 45_295_656),
}
# GMACs of quantized convolutions plus float ends at 224, 192, 160, 128, 96.
GMACS = {
    "resnet18": (1.696 + 0.119, 1.246 + 0.087, 0.865 + 0.061, 0.554 + 0.039, 0.311 + 0.022),
    "resnet50": (3.969 + 0.120, 2.916 + 0.089, 2.025 + 0.062, 1.296 + 0.041, 0.729 + 0.024),
}
TINY = {"widths": (4, 6, 8), "blocks": (1, 2, 1), "stem": "cifar", "resolutions": (16, 12), "classes": 5}


def tiny(**overrides):
    model = RSNet(**{**TINY, "weight_bits": 2, "activation_bits": 2, **overrides})
    model.build()
    return model


def randomise(model, rng):
    """Make all branches and statistics different from each other."""
    for variable in model.weights:
        if any(name in variable.name for name in ("gamma", "beta", "moving")):
            variable.assign(rng.uniform(0.5, 1.5, variable.shape))


@pytest.mark.usefixtures("unfilled")
@pytest.mark.parametrize(("arch", "mode"), COUNTS)
def test_counts(arch, mode):
    quantized, final, channels, weight_quantizers, activation_quantizers, one, five = COUNTS[arch, mode]
    model = from_preset(arch, mode=mode, weight_bits=2, activation_bits=2 if mode == "preact" else None)
    model.build()
    layers = list(model._flatten_layers())
    kernels = [layer.latent_kernel for layer in layers if getattr(layer, "weight_bits", None)]
    assert sum(kernel.shape.num_elements() for kernel in kernels) == quantized
    assert model.classifier.count_params() == final
    assert sum(w.shape[0] for w in model.trainable_weights if "r224_gamma" in w.name) == channels
    assert sum(isinstance(layer, WeightQuantizer) for layer in layers) == weight_quantizers
    assert sum(isinstance(layer, ActivationQuantizer) for layer in layers) == activation_quantizers
    trainable = sum(w.shape.num_elements() for w in model.trainable_weights)
    assert trainable - len(model.settings) == five
    cost = model.cost(224)
    assert cost.params == one
    filters = sum(kernel.shape[-1] for kernel in kernels)
    assert cost.bytes == quantized * 2 // 8 + 4 * 2 * filters + 4 * (9408 + final) + 8 * channels
    if arch in GMACS and mode == "resnet":  # convolutions are the same in both modes
        for setting, gmacs in zip(model.settings, GMACS[arch], strict=True):
            assert model.cost(setting).macs / 1e9 == pytest.approx(gmacs, abs=0.0011)


def test_cifar_counts_by_hand():
    vgg = from_preset("vgg_small", resolutions=(32,), weight_bits=2, activation_bits=2)
    vgg.build()
    assert vgg.cost().params == 4_660_106
    assert (
        sum(layer.kernel.shape.num_elements() for layer in vgg._flatten_layers() if getattr(layer, "weight_bits", None))
        == 4_571_136
    )
    resnet = from_preset("resnet20", mode="resnet")
    resnet.build()
    first = 32 * 32 * 27 * 16
    group = [6 * 32 * 32 * 9 * 16 * 16]
    for side, width in ((16, 32), (8, 64)):
        group.append(side * side * (9 * width // 2 * width + 5 * 9 * width * width + width // 2 * width))
    assert resnet.cost(32).macs == first + sum(group) + 64 * 10


@pytest.mark.parametrize("mode", ["resnet", "preact", "preact_typeA"])
@pytest.mark.parametrize("kind", ["basic", "bottleneck"])
def test_every_mode_saves_and_reloads_every_setting(rng, tmp_path, mode, kind):
    model = tiny(mode=mode, kind=kind, activation_bits=None if mode == "resnet" else 2)
    randomise(model, rng)
    model.save(tmp_path / "model.keras")
    loaded = tf.keras.models.load_model(tmp_path / "model.keras")
    assert loaded.get_config() == model.get_config()
    outputs = []
    for setting in model.settings:
        x = tf.constant(rng.standard_normal((2, setting.resolution, setting.resolution, 3)), tf.float32)
        outputs.append(model(x, setting=setting))
        np.testing.assert_array_equal(loaded(x, setting=setting), outputs[-1])
        np.testing.assert_array_equal(model(x, setting=str(setting)), outputs[-1])
        assert outputs[-1].shape == (2, 5)


@pytest.mark.parametrize("basis_update", ["sequential", "private"])
@pytest.mark.parametrize("kind", ["basic", "vgg_small"])
def test_served_form_is_equal_bit_for_bit(rng, basis_update, kind):
    model = tiny(kind=kind, basis_update=basis_update)
    randomise(model, rng)
    served = model.served()
    for setting in model.settings:
        x = tf.constant(rng.standard_normal((2, setting.resolution, setting.resolution, 3)), tf.float32)
        np.testing.assert_array_equal(served.run(x, served.at(setting)), model(x, setting=setting))
    assert len(served.weights) < len(model.weights)


def test_branches_are_private_and_the_rest_is_shared(rng):
    model = tiny()
    x = tf.constant(rng.standard_normal((2, 12, 12, 3)), tf.float32)
    before = [model(x, setting=setting).numpy() for setting in model.settings]
    for variable in model.weights:
        if "r16_" in variable.name:
            variable.assign(rng.uniform(0.5, 1.5, variable.shape))
    after = [model(x, setting=setting).numpy() for setting in model.settings]
    assert not np.array_equal(before[0], after[0])
    np.testing.assert_array_equal(before[1], after[1])


def test_first_shortcut_can_be_quantized(rng):
    x = tf.constant(rng.standard_normal((2, 16, 16, 3)), tf.float32)
    plain, full = (tiny(kind="bottleneck", quantize_first_shortcut=flag) for flag in (False, True))
    full.set_weights(plain.get_weights())
    assert not np.array_equal(plain(x), full(x))


def test_order_of_resolutions_does_not_matter():
    ascending, descending = tiny(resolutions=(12, 16)), tiny()
    assert [setting.resolution for setting in ascending.settings] == [16, 12]
    assert [v.name for v in ascending.weights] == [v.name for v in descending.weights]


def test_odd_sides_work_in_type_a(rng):
    model = tiny(mode="preact_typeA", resolutions=(15, 11))
    assert model(tf.constant(rng.standard_normal((1, 15, 15, 3)), tf.float32)).shape == (1, 5)


def test_names_are_stable():
    names = [variable.name for variable in tiny().weights]
    assert names == [variable.name for variable in tiny().weights]
    for name in ("backbone/group1/block0/convshortcut/weight_quant/basis:0", "backbone/group0/bn_last/r12_gamma:0", "alpha:0"):
        assert name in names


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"resolutions": (16, 16)},
            "`resolutions` must be distinct positive integers, or pairs such as 360x480, up to 8192. Received: .*=.16, 16.",
        ),
        ({"resolutions": (16, -4)}, "`resolutions` must be distinct positive integers"),
        ({"resolutions": ()}, "`resolutions` must be distinct positive integers"),
        ({"weight_bits": 9}, "`weight_bits` must be an integer from 1 to 8.*weight_bits=9"),
        ({"mode": "resnet"}, "`activation_bits` must be 32 in mode 'resnet'"),
        ({"mode": "plain"}, "`mode` must be one of float, resnet, preact, preact_typeA"),
        ({"kind": "wide"}, "`kind` must be one of basic, bottleneck"),
        ({"stem": "mnist"}, "`stem` must be one of imagenet, cifar"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        tiny(**arguments)


def test_unknown_setting_and_preset():
    with pytest.raises(ValueError, match="`setting` must be one of r16, r12. Received: setting=r14"):
        tiny().resolve(14)
    with pytest.raises(ValueError, match="Did you mean 'resnet18'"):
        from_preset("resnet19")
