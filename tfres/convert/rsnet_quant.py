"""Quantized RS-Nets of `yikaiw/RS-Nets`, folder `quantization` (TensorFlow 1 and tensorpack variable names)."""

import re

from tfres.convert.assign import assign_exactly
from tfres.data.sources import IMAGENET_MEAN, IMAGENET_STD
from tfres.engines import checkpoints
from tfres.models.presets import from_preset
from tfres.recipe import DataRecipe, ModelRecipe, Recipe

OPTIONS = ("sizes", "mode", "qw", "qa")

ARCHITECTURES = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")
# Optimizer, counters and running means of summaries: part of the training, not of the network.
_TRAINING_STATE = re.compile(r"(.*/(Momentum|AccumGrad)$)|global_step$|learning_rate$|EMA/")
_BATCH_NORM = {"gamma": "gamma", "beta": "beta", "moving_mean": "mean/EMA", "moving_variance": "variance/EMA"}


def convert(arch, tensors, sizes=None, mode=None, qw=None, qa=None, **overrides):
    """The reference's network as an `RSNet`.

    What is not given is read off the tensors; what is given must agree with them.

    Args:
        arch: "resnet18", "resnet34", "resnet50", "resnet101", "resnet152", or the depth alone.
        tensors: variable names (with or without ":0") to arrays. Optimizer slots, counters and summary averages
            are ignored; moving-average states of the bases and `alpha` are taken when there.
        sizes: resolutions. mode: "resnet", "preact", "preact_typeA". qw, qa: bits of weights and activations, 32 float.
        overrides: further arguments of `RSNet`.

    Returns:
        `RSNet`, for normalised **BGR** images as the reference.

    Raises:
        ValueError: see `tfres.convert.from_reference`.
    """
    arch = _named(arch)
    if arch not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise ValueError(f"`arch` must be one of {known}. Received: arch={arch!r}.")
    tensors = {name.removesuffix(":0"): value for name, value in tensors.items()}
    names = list(tensors)
    options = {
        "resolutions": sizes or sorted({int(r) for name in names for r in re.findall(r"/conv0/bn(\d+)/", name)}),
        "mode": mode or _mode(names),
        "weight_bits": qw or _bits(tensors, "weight_quant/basis"),
        "activation_bits": qa or _bits(tensors, "ActivationQuantization/basis"),
        "classes": len(tensors["imagenet/linear/b"]) if "imagenet/linear/b" in tensors else 1000,
    }
    model = from_preset(arch, **{**options, **overrides})
    model.build()
    pairs, optional = {}, set()
    for variable in model.weights:
        name, is_optional = _reference_name(variable.name.removesuffix(":0"))
        pairs[name] = variable
        if is_optional:
            optional.add(name)
    assign_exactly(pairs, tensors, optional, ignore=_TRAINING_STATE.match)
    return model


def read(path, arch):
    """Tensors of a TensorFlow 1 checkpoint, by a prefix or folder."""
    return checkpoints.read_checkpoint(checkpoints.find_checkpoint(path))


def recipe(arch, config):
    """The reference's preprocessing: normalised BGR pictures, crop of 224, smaller sizes by nearest neighbour."""
    model = ModelRecipe(
        arch=_named(arch),
        mode=config["mode"],
        weight_bits=config["weight_bits"] or 32,
        activation_bits=config["activation_bits"] or 32,
        resolutions=config["resolutions"],
        classes=config["classes"],
    )
    data = DataRecipe(
        batch_size=100,
        side=max(224, *config["resolutions"]),
        crop="area",
        rules="tensorpack",
        resize="nearest",
        flip="shared",
        lighting=0.1,
        mean=list(IMAGENET_MEAN),
        std=list(IMAGENET_STD),
        channel_order="bgr",
    )
    return Recipe(model=model, data=data)


def _named(arch):
    return f"resnet{arch}" if str(arch).isdigit() else arch


def _mode(names):
    if not any("/bn-last" in name for name in names):
        return "resnet"
    return "preact" if any("convshortcut" in name for name in names) else "preact_typeA"


def _bits(tensors, suffix):
    return next((len(value) for name, value in tensors.items() if name.endswith(suffix)), None)


def _reference_name(name):
    """Name of our variable in the reference, and whether a checkpoint may lack it."""
    if name == "alpha":
        return name, True
    *scope, leaf = name.removeprefix("backbone/").split("/")
    scope = ["imagenet", *scope]
    if leaf in ("kernel", "bias"):
        return "/".join([*scope, "W" if leaf == "kernel" else "b"]), False
    if leaf.startswith("basis"):
        if scope[-1] != "weight_quant":
            scope.append("ActivationQuantization")
        basis = "/".join([*scope, "basis"])
        state = {"basis_biased": "biased", "basis_updates": "local_step"}.get(leaf)
        # The reference repeats the whole scope in the names of the moving average's state.
        return (f"{'/'.join(scope)}/{basis}/{state}", True) if state else (basis, False)
    setting, statistic = leaf.split("_", 1)
    layer = f"{int(setting[1:]):03d}"
    if scope[-1] in ("bn_preact", "bn_last"):
        scope[-1] = f"{scope[-1].replace('_', '-')}{layer}/bn"
    else:
        scope[-1] = scope[-1].removesuffix("_bn")
        scope.append(f"bn{layer}")
    return "/".join([*scope, _BATCH_NORM[statistic]]), False
