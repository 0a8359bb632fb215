"""Every kind of every family passes the shared harness, and refuses bad arguments and inputs in the same words."""

import numpy as np
import pytest
import tensorflow as tf

from tests.models.harness import Case, check, check_distribution, check_precision
from tfres.families import FAMILIES, from_preset

SMALL = {"resolutions": [16, 12], "classes": 5}
RESIDUAL = {**SMALL, "widths": [4, 6], "blocks": [1, 2], "stem": "cifar"}
MOBILE = {"resolutions": [32, 24], "classes": 5, "width_mult": 0.125}
LOW_BIT = {"weight_bits": 2, "activation_bits": 2}
SLIM = {"resolutions": [32, 24], "classes": 5, "width_range": [0.125, 0.25], "minimum": 8}
KD = {"kd": True}
EXITS = {
    "resolutions": [16],
    "classes": 5,
    "scales": [1, 2],
    "channel_factors": [2, 1],
    "bottleneck_factors": [2, 1],
    "channels": 4,
    "growth": 4,
    "blocks": 1,
    "step": 1,
}

CASES = {
    "basic float": Case("resnet20", {**RESIDUAL, "mode": "float"}, objective=KD),
    "basic preact": Case("resnet20", {**RESIDUAL, **LOW_BIT}, objective=KD),
    "bottleneck resnet": Case("resnet50", {**RESIDUAL, "mode": "resnet", "weight_bits": 2}, objective=KD),
    "bottleneck preact_typeA": Case(
        "resnet50", {**RESIDUAL, **LOW_BIT, "mode": "preact_typeA", "basis_update": "private"}, objective=KD
    ),
    "groups": Case("resnext50_32x4d", {**RESIDUAL, "widths": [16, 32], "groups": 2, "base_width": 16}, objective=KD),
    "vgg_small": Case("vgg_small", {**SMALL, **LOW_BIT, "widths": [4, 6, 8]}, objective=KD),
    "mobilenet_v2": Case("mobilenetv2", MOBILE, objective=KD),
    "generated basic": Case("meta_resnet20", RESIDUAL, exact=False, plain=False, objective=KD),
    "generated bottleneck": Case(
        "meta_resnet50",
        {**RESIDUAL, "encodings": {16: 0.6}, "initial_kernels": "plain"},
        exact=False,
        plain=False,
        objective=KD,
    ),
    "generated mobilenet_v2": Case("meta_mobilenetv2", MOBILE, exact=False, plain=False, objective=KD),
    "slim mobilenet_v1": Case("mutual_mobilenet_v1", SLIM, exact=False, plain=False, objective=KD),
    "slim mobilenet_v2": Case("mutual_mobilenet_v2", SLIM, exact=False, plain=False, objective=KD),
    "slim mnasnet": Case("mutual_mnasnet", SLIM, exact=False, plain=False, objective=KD),
    "slim bottleneck": Case(
        "mutual_resnet50",
        {"resolutions": [32, 24], "classes": 5, "widths": [8, 16], "blocks": [1, 1], "width_range": [0.5, 1], "minimum": 8},
        exact=False,
        plain=False,
        objective=KD,
    ),
    "slim wide": Case(
        "mutual_wideresnet10_2",
        {**SMALL, "widths": [16, 24, 32], "blocks": [1, 1], "width_range": [0.5, 1.0]},
        exact=False,
        plain=False,
        objective=KD,
    ),
    "switches": Case(
        "slim_resnet50",
        {**SMALL, "widths": [16, 24], "blocks": [1, 1], "width_range": [0.5, 1.0], "width_mults": [1.0, 0.5]},
        exact=False,
        plain=False,
    ),
    "exits": Case("ranet_cifar", EXITS, final="heads/exit1/linear", objective={"distillation": 1.0}),
    "exits low-bit": Case(
        "ranet_imagenet",
        {**EXITS, **LOW_BIT, "resolutions": [32], "block_step": 1},
        final="heads/exit1/linear",
        objective={"equilibrium": True},
    ),
    "exits in a cascade": Case(
        "ranet_imagenet",
        {**EXITS, "resolutions": [32], "block_step": 1, "cascade": True, "stem_init": "fan_out"},
        final="heads/exit1/linear",
        objective={"exit_weights": [0.5, 1.0]},
    ),
}
# One of each family, where kinds make no difference.
FEW = ("basic preact", "generated basic", "slim wide", "exits")


@pytest.mark.parametrize("name", CASES)
def test_network(name, rng, tmp_path):
    check(CASES[name], rng, tmp_path)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "float64"])
@pytest.mark.parametrize("name", FEW)
def test_precision(name, policy, rng):
    check_precision(CASES[name], policy, rng)


@pytest.mark.parametrize("name", FEW)
def test_distribution(name, rng):
    check_distribution(CASES[name], rng)


def test_every_kind_of_every_family_is_checked():
    def kind(arch, options):
        return options.get("kind", options.get("stem")), bool(options.get("private")), bool(options.get("channel_lists"))

    checked = {(case.arch, kind(case.arch, dict(_preset(case.arch)))) for case in CASES.values()}
    kinds = {found for _, found in checked}
    missing = {
        (arch, kind(arch, options))
        for family in FAMILIES.values()
        for arch, options in family.presets.items()
        if not family.tasks or "classification" in family.tasks  # others have a file of their own
        if kind(arch, options)[0] not in {name for name, _, _ in kinds}
    }
    assert not missing


def _preset(arch):
    return next(family.presets[arch] for family in FAMILIES.values() if arch in family.presets)


NUMBER = (0, -1, 1.5, "x", float("nan"), [1])
ARGUMENTS = {
    "resolutions": ([], [0], [-4], [16, 16], [1.5], ["x"], "x", 3, [float("nan")], [10**6]),
    "classes": (*NUMBER, 1, 10**9),
    "synchronised_norms": (1, "yes", 0.5),
    "calibrated": (["x"], ["r0"], ["r8", "r8"], 3),
}
RESIDUAL_ARGUMENTS = {
    "kind": ("wide", 3),
    "stem": ("mnist", 3),
    "blocks": ([0], [1.5], ["x"], "x", [-1, 1], 3),
    "widths": ([0, 4], [1.5, 2], ["x", "y"], "x", [4]),
    "width_mult": (0, -1, "x", float("nan"), float("inf"), 1e9),
    "groups": NUMBER,
    "base_width": NUMBER,
    "stride_in": ("5x5", 3),
    "mode": ("plain", 3),
}
BAD = {
    "resnet20": {
        **ARGUMENTS,
        **RESIDUAL_ARGUMENTS,
        "weight_bits": (*NUMBER, 9),
        "activation_bits": (*NUMBER, 9),
        "basis_update": ("mean", 3),
        "quantize_first_shortcut": (1, "x"),
    },
    "vgg_small": {"feature_side": NUMBER},
    "meta_resnet20": {
        **ARGUMENTS,
        **RESIDUAL_ARGUMENTS,
        "encodings": ({32: float("nan")}, {32: "x"}, {"x": 1}, {7: 0.5}, {32: float("inf")}, [1], 3),
        "initial_kernels": ("zeros", 3),
    },
    "mutual_wideresnet10_2": {
        **ARGUMENTS,
        "kind": ("basic", 3),
        "blocks": ([0], [1.5], ["x"], "x", 3),
        "widths": ([0, 4, 4, 4], [1.5], "x", [4]),
        "width_range": ([], [1], [1, 0.5], [0, 1], [-1, 1], [float("nan"), 1], ["x", 1], 3, [0.5, 1e9]),
        "width_mults": ([], [0], [-1], [2.0], ["x"], [float("nan")], 3),
        "dropout": (-1, 1, "x", float("nan")),
        "divisor": NUMBER,
        "minimum": NUMBER,
        "private": (1, "x"),
        "channel_lists": ({"a": []}, {"a": [0]}, {"a": [1.5]}, {"a": "x"}, {"-": [4]}, 3),
    },
    "ranet_cifar": {
        **ARGUMENTS,
        "resolutions": (*ARGUMENTS["resolutions"], [32, 24]),
        "calibrated": (*ARGUMENTS["calibrated"], ["exit1"]),
        "scales": ([], [0, 1], [2, 1], [1, 17], [1] * 9, [1.5], "x", 3),
        "channel_factors": ([], [1, 1], [4, 2, 0], [4, 2, 65], "x", 3),
        "bottleneck_factors": ([], [1, 1], [4, 2, -1], "x", 3),
        "blocks": (*NUMBER, 17),
        "block_step": (*NUMBER, 17),
        "step": (*NUMBER, 65),
        "step_mode": ("odd", 3),
        "channels": (*NUMBER, 10**4),
        "growth": (*NUMBER, 10**4, 1024),
        "reduction": (0, 1, -0.5, 0.001, "x", float("nan")),
        "compression": (0, 1, 2, "x", float("nan")),
        "stem": ("mnist", 3),
        "stem_init": ("zeros", 3),
        "exits": ([], [0], [7], [1, 1], [1.5], "x", 3),
        "cascade": (1, "yes"),
        "chained": (["exit1"], ["x"], 3),
        "weight_bits": (*NUMBER, 9),
        "activation_bits": (*NUMBER, 9),
    },
}


@pytest.mark.parametrize(("arch", "name"), [(arch, name) for arch, bad in BAD.items() for name in bad])
def test_bad_arguments(arch, name):
    for value in BAD[arch][name]:
        with pytest.raises(ValueError, match=rf"`{name}`.* must.* Received: ") as caught:
            from_preset(arch, **{name: value})
        assert len(str(caught.value)) < 500


@pytest.mark.parametrize("arch", BAD)
def test_unknown_arguments(arch):
    with pytest.raises(ValueError, match="Did you mean `resolutions`"):
        from_preset(arch, resolution=[16])


@pytest.fixture(scope="module")
def networks():
    return {name: CASES[name].make() for name in FEW}


@pytest.mark.parametrize("name", FEW)
@pytest.mark.parametrize(
    "images",
    [
        np.zeros([0, 16, 16, 3], "f"),
        np.zeros([1, 0, 16, 3], "f"),
        np.zeros([1, 16, 0, 3], "f"),
        None,
        [[1.0], [1.0, 2.0]],
        [],
        "picture",
        np.zeros([1, 16, 16, 3], np.uint8),
        np.zeros([1, 16, 16, 3], np.int64),
        np.zeros([1, 16, 16, 3], complex),
        np.zeros([16, 16, 3], "f"),
        np.zeros([1, 1, 16, 16, 3], "f"),
        np.zeros([1, 16, 16, 1], "f"),
        np.zeros([1, 16, 16, 4], "f"),
        np.zeros([1, 3, 16, 16], "f"),
        np.zeros([], "f"),
        tf.constant(["a"]),
    ],
    ids=lambda value: f"{type(value).__name__} {getattr(value, 'dtype', '')} {getattr(value, 'shape', '')}",
)
def test_bad_images(name, images, networks):
    for call in (networks[name], networks[name].features):
        with pytest.raises(ValueError, match="`images` must be float .* Received: "):
            call(images)


@pytest.mark.parametrize("name", FEW)
def test_bad_settings_and_names(name, networks):
    network, images = networks[name], np.zeros([1, 16, 16, 3], "f")
    for setting in ("x", -1, 0, 1.5, "exit9", "neta", object(), [16]):
        with pytest.raises(ValueError, match="setting|Setting"):
            network(images, setting=setting)
    with pytest.raises(ValueError, match="`names` must be names of layers. .* Did you mean 'backbone"):
        network.features(images, names=["backbone/conv_0"])
    with pytest.raises(ValueError, match="`names` must be"):
        network.features(images, names=["nothing at all"])
