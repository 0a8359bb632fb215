"""Every public layer passes the shared harness, and refuses bad arguments and inputs in the same words."""

import numpy as np
import pytest
import tensorflow as tf

import quant
import tfres.layers
from quant import (
    ActivationQuantizer,
    ArithmeticLevels,
    At,
    FixedLevels,
    QuantConv2D,
    QuantDense,
    QuantDepthwiseConv2D,
    WeightQuantizer,
)
from tests.layers.harness import Case, check
from tfres.layers import (
    MetaConv2D,
    MetaDepthwiseConv2D,
    MultiResolutionCrop,
    PackedBatchNorm,
    SharedBatchNorm,
    SlimChannels,
    SlimmableBatchNorm,
    SlimmableConv2D,
    SlimmableDense,
    SlimmableDepthwiseConv2D,
    StackedBatchNorm,
    SwitchableBatchNorm,
)

NAMES, WIDTHS = ("r2", "r1"), ("w1", "w0.5")
SLIM, SERVED = SlimChannels(16), SlimChannels(16, settings=WIDTHS)
IMAGE, ENCODINGS = (4, 5, 5, 4), {"r2": 0.5, "r1": 0.25}


def _of_width(setting):
    return (4, 5, 5, SLIM.at_setting(setting))


def _features(setting):
    return (4, SLIM.at_setting(setting))


CASES = {
    "conv": Case(lambda **k: QuantConv2D(4, 3, weight_bits=2, activation="relu", padding="same", **k), IMAGE),
    "float conv": Case(lambda **k: QuantConv2D(4, 3, strides=2, padding="symmetric", groups=2, **k), IMAGE),
    "depthwise": Case(lambda **k: QuantDepthwiseConv2D(3, depth_multiplier=2, weight_bits=3, **k), IMAGE),
    "dense": Case(lambda **k: QuantDense(5, weight_bits=2, activation="tanh", **k), (4, 6)),
    "quantizer": Case(lambda **k: ActivationQuantizer(2, NAMES, **k), IMAGE),
    "private quantizer": Case(lambda **k: ActivationQuantizer(2, NAMES, "private", **k), IMAGE),
    "levels": Case(lambda **k: FixedLevels(2, NAMES, **k), IMAGE, number=True, trains=False),
    "arithmetic levels": Case(lambda **k: ArithmeticLevels(2, NAMES, **k), IMAGE, number=True, trains=False),
    "weights": Case(lambda **k: WeightQuantizer(2, **k), (3, 3, 2, 4)),
    "meta": Case(lambda **k: MetaConv2D(4, 3, encodings=ENCODINGS, slope_initializer="he_normal", **k), IMAGE),
    "low-bit meta": Case(lambda **k: MetaConv2D(4, 3, encodings=ENCODINGS, weight_bits=2, **k), IMAGE),
    "meta depthwise": Case(lambda **k: MetaDepthwiseConv2D(3, encodings=ENCODINGS, weight_bits=2, **k), IMAGE),
    "norm": Case(lambda **k: SwitchableBatchNorm(NAMES, momentum=0.8, gamma_initializer="zeros", **k), IMAGE),
    "synchronised norm": Case(lambda **k: SwitchableBatchNorm(NAMES, synchronised=True, **k), IMAGE),
    "shared norm": Case(lambda **k: SharedBatchNorm(["r1"], momentum=0.8, **k), IMAGE),
    "stacked norm": Case(lambda **k: StackedBatchNorm(NAMES, 1e-4, **k), IMAGE, number=True, trains=False),
    "slim conv": Case(
        lambda **k: SlimmableConv2D(SLIM, 3, weight_bits=2, activation="relu", **k), _of_width("w1"), WIDTHS, inputs=_of_width
    ),
    "slim depthwise": Case(
        lambda **k: SlimmableDepthwiseConv2D(3, weight_bits=2, **k), _of_width("w1"), WIDTHS, inputs=_of_width
    ),
    "slim dense": Case(lambda **k: SlimmableDense(3, weight_bits=2, **k), _features("w1"), WIDTHS, inputs=_features),
    "slim norm": Case(lambda **k: SlimmableBatchNorm(SLIM, WIDTHS, **k), _of_width("w1"), WIDTHS, inputs=_of_width),
    "private slim norm": Case(
        lambda **k: SlimmableBatchNorm(SLIM, WIDTHS, True, **k), _of_width("w1"), WIDTHS, inputs=_of_width
    ),
    "packed norm": Case(
        lambda **k: PackedBatchNorm(SERVED, **k), _of_width("w1"), WIDTHS, number=True, inputs=_of_width, trains=False
    ),
    "crop": Case(
        lambda **k: MultiResolutionCrop([8, 4], "bilinear", flip="none", mean=(0.5, 0.4, 0.3), **k),
        (4, 8, 8, 3),
        dtype="uint8",
        fixed_dtype="float32",
        trains=False,
        takes_at=False,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_layer(name, rng, tmp_path):
    check(CASES[name], rng, tmp_path)


def test_no_public_layer_is_left_out():
    public = [getattr(module, name) for module in (quant, tfres.layers) for name in module.__all__]
    layers = {kind for kind in public if isinstance(kind, type) and issubclass(kind, tf.keras.layers.Layer)}
    assert layers == {type(case.make()) for case in CASES.values()}


BAD = (0, -1, 1.5, "x", float("nan"), True, None)


def _refused(make, name, values):
    for value in values:
        with pytest.raises(ValueError, match=rf"`{name}`.* must.*Received: {name}="):
            make(value)


@pytest.mark.parametrize(
    ("make", "name", "values"),
    [
        (lambda v: QuantConv2D(v, 3), "filters", BAD),
        (lambda v: QuantConv2D(4, v), "kernel_size", (*BAD, (3,), (3, 0))),
        (lambda v: QuantConv2D(4, 3, strides=v), "strides", BAD),
        (lambda v: QuantConv2D(4, 3, groups=v), "groups", BAD),
        (lambda v: QuantConv2D(4, 3, dilation_rate=v), "dilation_rate", BAD),
        (lambda v: QuantConv2D(4, 3, padding=v), "padding", (*BAD, "causal")),
        (lambda v: QuantConv2D(4, 3, use_bias=v), "use_bias", (0, "yes", None)),
        (lambda v: QuantConv2D(4, 3, data_format=v), "data_format", ("channels_first", 1)),
        (lambda v: QuantConv2D(4, v, padding="symmetric"), "kernel_size", (2, (3, 4))),
        (lambda v: QuantConv2D(4, 3, weight_bits=v), "weight_bits", (*BAD[:-1], 9)),
        (lambda v: QuantDepthwiseConv2D(3, depth_multiplier=v), "depth_multiplier", BAD),
        (lambda v: QuantDepthwiseConv2D(3, strides=v), "strides", ((1, 2),)),
        (QuantDense, "units", BAD),
        (ActivationQuantizer, "bits", (*BAD, 32, 9)),
        (lambda v: ActivationQuantizer(2, strict=v), "strict", (1, None)),
        (lambda v: ActivationQuantizer(2, settings=v), "settings", ("r2", 3, ["a", "a"], None)),
        (FixedLevels, "bits", (*BAD, 32)),
        (lambda v: WeightQuantizer(2, fan_out=v), "fan_out", BAD[:-1]),
        (SwitchableBatchNorm, "settings", ([], "r2", 3, ["r1", "r1"], None)),
        (SharedBatchNorm, "settings", ("r2", 3, ["r1", "r1"], ["all"], None)),
        (lambda v: SwitchableBatchNorm(["r1"], momentum=v), "momentum", (-1, 1.5, "x", float("nan"), None)),
        (lambda v: SwitchableBatchNorm(["r1"], epsilon=v), "epsilon", (0, -1, "x", float("nan"), float("inf"))),
        (lambda v: SwitchableBatchNorm(["r1"], synchronised=v), "synchronised", (1, "x", None)),
        (lambda v: SlimmableBatchNorm(v, ["w1"]), "channels", (16, None, "x")),
        (lambda v: SlimmableBatchNorm(SLIM, ["w1"], private=v), "private", (1, None)),
        (PackedBatchNorm, "channels", (16, SLIM)),
        (lambda v: SlimmableConv2D(v, 3), "channels", (16, None)),
        (lambda v: SlimmableConv2D(SLIM, 3, use_bias=v), "use_bias", (True, 1)),
        (lambda v: SlimmableDepthwiseConv2D(3, use_bias=v), "use_bias", (True,)),
        (lambda v: MetaConv2D(4, 3, encodings=v), "encodings", ({}, [0.1], None, {"r1": float("nan")}, {"r1": "x"})),
        (SlimChannels, "base", BAD),
        (lambda v: SlimChannels(8, divisor=v), "divisor", BAD),
        (lambda v: SlimChannels(8, minimum=v), "minimum", BAD),
        (lambda v: SlimChannels(8, upper=v), "upper", (0, -1, "x", float("nan"), None)),
        (lambda v: SlimChannels(8, ratio=v), "ratio", (0, -1, "x", float("nan"), None)),
        (lambda v: SlimChannels(8, fixed=v), "fixed", (1, None)),
        (lambda v: SlimChannels(8, counts=v), "counts", ([4], {"a": 0}, {"a": 1.5})),
    ],
)
def test_bad_arguments(make, name, values):
    if name == "encodings":
        for value in values:
            with pytest.raises(ValueError, match="`encodings` must be"):
                make(value)
        return
    _refused(make, name, values)


@pytest.mark.parametrize("name", CASES)
def test_bad_inputs(name, rng):
    """Another rank, and other channels than those it was built for, are named errors."""
    case = CASES[name]
    if name in ("quantizer", "private quantizer", "levels", "arithmetic levels", "weights"):
        return
    layer = case.make()
    at = {} if not case.takes_at else {"at": case.at(case.settings[0])}
    with pytest.raises(ValueError, match="ndim|rank|`images` must be|`inputs`"):
        layer(tf.zeros([3]), **at)
    layer(case.images(case.settings[0], rng), **at)
    wide = tf.zeros((*case.shape[:-1], 3 * case.shape[-1]))
    with pytest.raises(ValueError, match="axis -1|channels|`images` must be"):
        layer(wide, **at)


@pytest.mark.parametrize("name", [name for name in CASES if name != "crop"])
def test_only_an_at_is_taken(name, rng):
    with pytest.raises(ValueError, match="`at` must be a quant.At or None. Received: at='r2'"):
        CASES[name].make()(CASES[name].images(CASES[name].settings[0], rng), at="r2")


def test_unknown_numbers_of_channels(rng):
    for layer in (SwitchableBatchNorm(["r1"]), StackedBatchNorm(["r1"])):
        with pytest.raises(ValueError, match="`inputs` must have a known number of channels"):
            layer.build((None, None, None, None))
    norm = SlimmableBatchNorm(SLIM, WIDTHS)
    with pytest.raises(ValueError, match="must have 8 channels"):
        norm(tf.constant(np.ones((2, 4, 4, 16), "f")), at=At("w0.5"))
