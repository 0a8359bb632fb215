"""Backbones: figures of the published networks, names, places of the convolutions, feature maps, errors."""

import numpy as np
import pytest
import tensorflow as tf

from tests.models.parts import Classifier, Places, plain_parts, slim_parts
from tfres.models.backbones import MNasNet, MobileNetV1, MobileNetV2, ResNet, VGGSmall, WideResNet
from tfres.models.costs import Cost, count_cost
from tfres.models.mutualnet import autoslim

FLOAT = {"mode": "float", "stem": "imagenet", "widths": (64, 128, 256, 512)}
RESNET18 = {**FLOAT, "kind": "basic", "blocks": (2, 2, 2, 2)}
RESNET50 = {**FLOAT, "kind": "bottleneck", "blocks": (3, 4, 6, 3)}
RESNEXT = {**RESNET50, "groups": 32, "base_width": 4}
SMALL = {"blocks": (2, 1), "widths": (4, 8), "kind": "basic", "mode": "preact", "stem": "cifar"}

# Parameters and multiply-adds of the published networks: 1000 classes at 224 pixels, 100 at 32.
PUBLISHED = [
    (MobileNetV1, {}, 4_231_976, 568_740_352),
    (MobileNetV2, {}, 3_504_872, 300_774_272),
    (MNasNet, {}, 4_383_312, 314_415_872),
    (MNasNet, {"width_mult": 0.75}, 3_170_208, 215_493_104),
    (MNasNet, {"width_mult": 0.5}, 2_218_512, 104_455_968),
    (ResNet, RESNET18, 11_689_512, 1_814_073_344),
    (ResNet, RESNET50, 25_557_032, 4_089_184_256),
    (ResNet, RESNEXT, 25_028_904, 4_230_479_872),
    (WideResNet, {"blocks": (1, 1, 1), "widths": (16, 32, 64, 128)}, None, None),
]


def mnasnet_order(width_mult=1.0):
    """Channels and kernel sizes of MNasNet's convolutions, written out: (inputs, outputs, side, kernel, depthwise)."""
    kernels = (3, 3, 3, 3, 5, 5, 5, 5, 5, 5, 3, 3, 5, 5, 5, 5, 3)
    strides = (1, 2, 1, 1, 2, 1, 1, 2, 1, 1, 1, 1, 2, 1, 1, 1, 1)
    expansions = (1,) + (3,) * 6 + (6,) * 10
    outputs = {
        1.0: [32, 16, 24, 24, 24, 40, 40, 40, 80, 80, 80, 96, 96, 192, 192, 192, 192, 320],
        0.75: [24, 16, 24, 24, 24, 32, 32, 32, 64, 64, 64, 72, 72, 144, 144, 144, 144, 240],
        0.5: [16, 8, 16, 16, 16, 24, 24, 24, 40, 40, 40, 48, 48, 96, 96, 96, 96, 160],
    }[width_mult]
    side = 112
    layers = [(3, outputs[0], side, 3, False)]
    for place, (kernel, stride, expansion) in enumerate(zip(kernels, strides, expansions, strict=True)):
        inner = outputs[place] * expansion
        if expansion > 1:
            layers.append((outputs[place], inner, side, 1, False))
        side //= stride
        layers += [(inner, inner, side, kernel, True), (inner, outputs[place + 1], side, 1, False)]
    return [*layers, (outputs[-1], 1280, side, 1, False)]


@pytest.mark.parametrize(("kind", "options", "params", "macs"), PUBLISHED)
def test_published_figures(kind, options, params, macs):
    model = Classifier(kind(plain_parts(), **options, name="backbone"))
    side = 32 if kind is WideResNet else 224
    model.build((None, side, side, 3))
    cost = count_cost(model, None, (1, side, side, 3))
    if kind is MNasNet:
        layers = mnasnet_order(options.get("width_mult", 1.0))
        assert macs == 1_280_000 + sum(
            side**2 * kernel**2 * outputs * (1 if depthwise else inputs) for inputs, outputs, side, kernel, depthwise in layers
        )
    if kind is WideResNet:  # counted by hand: stem, three blocks with projections, norms, classifier
        kernels = [
            3 * 16,
            *(inputs * outputs for inputs, outputs in ((16, 32), (32, 32), (32, 64), (64, 64), (64, 128), (128, 128))),
        ]
        projections = 16 * 32 + 32 * 64 + 64 * 128
        norms = 2 * (16 + 32 + 32 + 64 + 64 + 128 + 128)
        params = 9 * sum(kernels) + projections + norms + 129_000
        macs = (
            32**2 * (9 * sum(kernels[:3]) + 16 * 32)
            + 16**2 * (9 * sum(kernels[3:5]) + 32 * 64)
            + 8**2 * (9 * sum(kernels[5:]) + 64 * 128)
            + 128_000
        )
    assert (cost.params, cost.macs, cost.bytes) == (params, macs, 4 * params)
    assert model.backbone.channels == model.classifier.kernel.shape[0]


def test_channel_lists_of_mnasnet():
    """AutoSlim's three networks as one, with the costs computed by its code, which counts the final pooling too."""
    lists = autoslim.MNASNET
    settings = [f"r224-net{name}" for name in lists]
    model = Classifier(MNasNet(slim_parts(settings, lists=lists), name="backbone"))
    model(tf.zeros([1, 32, 32, 3]), training=True)
    for setting, mmacs, mparams in zip(settings, (217.28, 315.35, 531.87), (4.036, 6.078, 8.339), strict=True):
        cost = count_cost(model, setting, (1, 224, 224, 3))
        pooling = 7 * 7 * lists[setting.removeprefix("r224-net")][-1]
        assert (round((cost.macs + pooling) / 1e6, 2), round(cost.params / 1e6, 3)) == (mmacs, mparams)


def test_slimmed_mnasnet_is_the_plain_one():
    """Costs at a width are those of the network built at that width."""
    slim = Classifier(MNasNet(slim_parts(["w1", "w0.5"]), name="backbone"))
    slim(tf.zeros([1, 32, 32, 3]), training=True)
    for setting, params, macs in (("w1", 4_383_312, 314_415_872), ("w0.5", 2_218_512, 104_455_968)):
        assert count_cost(slim, setting, (1, 224, 224, 3)) == Cost(macs, params, 4 * params)


def counts_and_names(backbone, **options):
    places = Places()
    backbone(plain_parts(places=places), **options)
    return [count for count, *_ in places], [name for *_, name in places]


def test_places():
    """The order of the convolutions is that of the published channel lists."""
    counts, names = counts_and_names(MobileNetV1)
    assert counts == [32, 64, 128, 128, 256, 256, *[512] * 6, 1024, 1024] and names[:2] == ["conv0", "pointwise"]
    counts, names = counts_and_names(MobileNetV2)
    assert counts[:6] == [32, 16, 96, 24, 144, 24] and counts[-3:] == [960, 320, 1280] and len(counts) == 35
    assert names[:4] == ["conv0", "project", "expand", "project"] and names[-1] == "conv_last"
    counts, _ = counts_and_names(MNasNet)
    assert counts == [outputs for _, outputs, _, _, depthwise in mnasnet_order() if not depthwise]
    counts, names = counts_and_names(ResNet, **RESNET50)
    published = [64]
    for width, blocks in zip((64, 128, 256, 512), (3, 4, 6, 3), strict=True):
        published += [4 * width, *[width, width, 4 * width] * blocks]
    assert counts == autoslim.resnet_order(published)
    assert names[:8] == ["conv0", "conv1", "conv2", "conv3", "convshortcut", "conv1", "conv2", "conv3"]
    _, names = counts_and_names(WideResNet, blocks=(1, 2), widths=(16, 32, 64))
    block = ["conv1", "conv2"]
    assert names == ["conv0", *block, "convshortcut", *block, "convshortcut", *block]
    counts, names = counts_and_names(ResNet, **{**RESNET50, "mode": "preact_typeA"})
    assert "convshortcut" not in names and len(counts) == 1 + 3 * 16
    for lists, kind in (
        (autoslim.MOBILENET_V1, MobileNetV1),
        (autoslim.MOBILENET_V2, MobileNetV2),
        (autoslim.MNASNET, MNasNet),
    ):
        assert {len(listed) for listed in lists.values()} == {len(counts_and_names(kind)[0])}


def test_variable_names():
    backbone = ResNet(plain_parts(quantized=True), **SMALL, name="backbone")
    backbone(tf.zeros([1, 8, 8, 3]))
    norm = ("gamma", "beta", "moving_mean", "moving_variance")
    expected = {"conv0/kernel", "group0/quant_last/basis", "group0/block0/quant1/basis"}
    expected |= {f"group1/block0/convshortcut{part}" for part in ("/kernel", *(f"_bn/{leaf}" for leaf in norm))}
    for block in ("group0/block0", "group0/block1", "group1/block0"):
        expected |= {f"{block}/conv{i}/kernel" for i in (1, 2)} | {f"{block}/quant2/basis"}
    norms = ["conv0_bn", "group0/bn_last", "group1/bn_last", "group0/block1/bn_preact"]
    norms += [f"{block}/conv{i}_bn" for block in ("group0/block0", "group0/block1", "group1/block0") for i in (1, 2)]
    expected |= {f"{name}/{leaf}" for name in norms for leaf in norm} | {"group0/block1/quant1/basis"}
    assert {weight.name for weight in backbone.weights} == {f"backbone/{name}:0" for name in expected}
    backbone = MNasNet(plain_parts(), 0.25, name="backbone")
    backbone(tf.zeros([1, 32, 32, 3]))
    kernels = [weight.name for weight in backbone.weights if "kernel" in weight.name]
    assert kernels[:3] == ["backbone/conv0/kernel:0", "backbone/block0/depthwise/depthwise_kernel:0",
                           "backbone/block0/project/kernel:0"]  # fmt: skip
    assert "backbone/block16/expand/kernel:0" in kernels and kernels[-1] == "backbone/conv_last/kernel:0"


@pytest.mark.parametrize(
    ("kind", "options", "strides"),
    [
        (MobileNetV1, {}, [2, 4, 8, 16, 32]),
        (MobileNetV2, {"width_mult": 0.35}, [2, 4, 8, 16, 32]),
        (MNasNet, {"width_mult": 0.35}, [2, 4, 8, 16, 32]),
        (ResNet, {**SMALL, "mode": "float", "stem": "imagenet"}, [2, 4, 8]),
        (ResNet, {**SMALL, "mode": "resnet", "stem": "imagenet", "kind": "bottleneck"}, [2, 4, 8]),
        (ResNet, SMALL, [1, 2]),
        (WideResNet, {"blocks": (1, 2, 1), "widths": (8, 8, 16, 32)}, [1, 2, 4]),
        (VGGSmall, {"widths": (4, 8, 16), "resolution": 64}, [1, 2, 4, 8]),
    ],
)
def test_feature_maps(kind, options, strides, rng):
    backbone = kind(plain_parts(), **options)
    images = tf.constant(rng.standard_normal((2, 64, 32, 3)), tf.float32)
    maps = backbone(images)
    assert list(maps) == strides
    assert all(maps[stride].shape[1:3] == (64 // stride, 32 // stride) for stride in strides)
    features = backbone.pool(maps)
    assert features.shape == (2, backbone.channels)
    if kind is not VGGSmall:
        np.testing.assert_array_equal(features, tf.reduce_mean(maps[strides[-1]], [1, 2]))


@pytest.mark.parametrize(("side", "bins"), [(32, None), (24, [[0, 1], [0, 1], [1, 2], [2, 3]]), (64, None)])
def test_pooling_of_vgg_small(side, bins, rng):
    """The largest resolution as it is; others as adaptive pooling: bins from floor to ceil."""
    backbone = VGGSmall(plain_parts(), (2, 2, 4), resolution=32)
    maps = backbone(tf.constant(rng.standard_normal((1, side, side, 3)), tf.float32))
    last, count = maps[8].numpy()[0], side // 8
    edges = [(i * count // 4, -(-(i + 1) * count // 4)) for i in range(4)]
    expected = [[last[a:b, c:d].mean((0, 1)) for c, d in edges] for a, b in edges]
    np.testing.assert_allclose(backbone.pool(maps)[0], np.ravel(expected), rtol=1e-5, atol=1e-6)
    if side == 32:
        np.testing.assert_array_equal(backbone.pool(maps)[0], last.ravel())


NAN = float("nan")
WIDE = {"blocks": (1, 1), "widths": (8, 16, 32)}
VGG = {"widths": (4, 8), "resolution": 32}
WRONG = [
    *((ResNet, SMALL, {"blocks": value}, "`blocks` must be a list of positive integers") for value in
      ((0, 1), (-1, 1), (1.5, 1), ("2", "1"), (NAN, 1), (True, 1), (), "22", 2, None)),
    *((ResNet, SMALL, {"widths": value}, "`widths` must be a list of positive integers") for value in
      ((0, 8), (4.0, 8), "48", None)),
    (ResNet, SMALL, {"widths": (4, 8, 16)}, "`widths` must be 2, one per entry of `blocks`. Received: widths=.4, 8, 16."),
    (ResNet, SMALL, {"mode": "binary"}, "`mode` must be one of float, resnet, preact, preact_typeA. Received: mode='binary'"),
    (ResNet, SMALL, {"kind": ["basic"]}, "`kind` must be one of basic, bottleneck"),
    (ResNet, SMALL, {"stem": None}, "`stem` must be one of imagenet, cifar"),
    (ResNet, SMALL, {"stride_in": "5x5"}, "`stride_in` must be one of 3x3, 1x1"),
    (ResNet, SMALL, {"quantize_first_shortcut": "yes"}, "`quantize_first_shortcut` must be True or False"),
    *((ResNet, RESNET50, {"groups": value}, "`groups` must be a positive integer") for value in (0, -1, 1.5, "2", NAN)),
    *((ResNet, RESNET50, {"base_width": value}, "`base_width` must be a positive integer") for value in (0, "4", 0.5)),
    (ResNet, {**RESNET50, "widths": (8, 16, 32, 64)}, {"base_width": 4}, "`base_width` must be at least 8"),
    (ResNet, SMALL, {"groups": 2}, "must be 1, 64 and 3x3 for basic blocks. Received: groups=2, base_width=64, stride_in=3x3"),
    (ResNet, SMALL, {"stride_in": "1x1"}, "must be 1, 64 and 3x3 for basic blocks"),
    *((kind, {}, {"width_mult": value}, "`width_mult` must be a positive number. Received: width_mult=")
      for kind in (MobileNetV2, MNasNet) for value in (0, -1, "1", NAN, float("inf"), True, None)),
    (WideResNet, WIDE, {"blocks": (1, 0)}, "`blocks` must be a list"),
    (WideResNet, WIDE, {"widths": (8, 16)}, "`widths` must be 3, of stem and groups. Received: widths=.8, 16."),
    (WideResNet, WIDE, {"widths": (8, 16, 16)}, "`widths` must differ from group to group"),
    *((WideResNet, WIDE, {"dropout": value}, "`dropout` must be a rate from 0 to below 1") for value in (1, -0.1, NAN, "0")),
    (VGGSmall, VGG, {"widths": (4, 8.5)}, "`widths` must be a list"),
    *((VGGSmall, VGG, {"resolution": value}, "`resolution` must be a positive integer") for value in (0, 32.0, None)),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "options", "wrong", "message"), WRONG)
def test_errors(kind, options, wrong, message):
    with pytest.raises(ValueError, match=message):
        kind(plain_parts(), **{**options, **wrong})
