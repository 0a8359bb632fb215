"""Quantized RS-Nets of `yikaiw/RS-Nets`, folder `quantization` (TensorFlow 1 and tensorpack variable names)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from tfres.convert.pytorch import first_size
from tfres.data.options import IMAGENET_MEAN, IMAGENET_STD
from tfres.families import from_preset
from tfres.models.weights import assign_exactly, variable_name
from tfres.run import checkpoints

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from tfres.models.rsnet import RSNet

FAMILY = "rsnet"

OPTIONS = ("sizes", "mode", "qw", "qa")

ARCHITECTURES = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")
# Optimizer, counters and running means of summaries: part of the training, not of the network.
_TRAINING_STATE = re.compile(r"(.*/(Momentum|AccumGrad)$)|global_step$|learning_rate$|EMA/")
_BATCH_NORM = {"gamma": "gamma", "beta": "beta", "moving_mean": "mean/EMA", "moving_variance": "variance/EMA"}


def convert(
    arch: str | int,
    tensors: Mapping[str, Any],
    sizes: Sequence[int] | None = None,
    mode: str | None = None,
    qw: int | None = None,
    qa: int | None = None,
    **overrides: Any,
) -> RSNet:
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
    wrong = [name for name in tensors if not isinstance(name, str)]
    if wrong or not tensors:
        raise ValueError(
            f"`tensors` must be a mapping of names to arrays. Received: {f'key {wrong[0]!r}' if wrong else 'none'}."
        )
    tensors = {name.removesuffix(":0"): value for name, value in tensors.items()}
    found = list(tensors)
    options = {
        "resolutions": sizes or sorted({int(r) for name in found for r in re.findall(r"/conv0/bn([0-9]{1,5})/", name)}),
        "mode": mode or _mode(found),
        "weight_bits": qw or _bits(tensors, "weight_quant/basis"),
        "activation_bits": qa or _bits(tensors, "ActivationQuantization/basis"),
        "classes": first_size(tensors, "imagenet/linear/b", 1000),
    }
    if not options["resolutions"]:
        raise ValueError("The checkpoint is of another network: it has no norms of resolutions (.../conv0/bn096/...).")
    model = _network(arch, {**options, **overrides})
    pairs, optional = {}, set()
    for variable in model.weights:
        name, is_optional = _reference_name(variable_name(variable))
        pairs[name] = variable
        if is_optional:
            optional.add(name)
    assign_exactly(pairs, tensors, optional, ignore=_TRAINING_STATE.match)
    return model


def names(
    arch: str | int,
    sizes: Sequence[int] | None = None,
    mode: str | None = None,
    qw: int | None = None,
    qa: int | None = None,
    **overrides: Any,
) -> dict[str, str]:
    """Our variables' names -> the reference's; see `tfres.convert.names` and, for arguments, `convert`.

    Here nothing can be read off tensors: what is not given is the preset's.
    """
    options = {"resolutions": sizes, "mode": mode, "weight_bits": qw, "activation_bits": qa}
    given = {name: value for name, value in options.items() if value is not None}
    model = _network(_named(arch), {**given, **overrides})
    return {ours: _reference_name(ours)[0] for ours in map(variable_name, model.weights)}


def _network(arch: str, options: dict[str, Any]) -> RSNet:
    model = from_preset(arch, **options)
    model.build()
    return model


def read(path: str | os.PathLike, arch: str) -> dict[str, np.ndarray]:
    """Tensors of a TensorFlow 1 checkpoint, by a prefix or folder."""
    return checkpoints.read_checkpoint(checkpoints.find_checkpoint(path))


def recipe(arch: str | int, config: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The reference's preprocessing: normalised BGR pictures, crop of 224, smaller sizes by nearest neighbour."""
    shape = {name: config[name] for name in ("mode", "weight_bits", "activation_bits", "resolutions", "classes")}
    data = {"batch_size": 100, "side": max(224, *config["resolutions"]), "crop": "area", "rules": "tensorpack"}
    data |= {"resize": "nearest", "flip": "shared", "lighting": 0.1, "channel_order": "bgr"}
    return {
        "model": {"arch": _named(arch), **shape},
        "data": {**data, "mean": list(IMAGENET_MEAN), "std": list(IMAGENET_STD)},
    }


def _named(arch: str | int) -> str:
    name = f"resnet{arch}" if str(arch).isdigit() else arch
    if name not in ARCHITECTURES:
        raise ValueError(f"`arch` must be one of {', '.join(ARCHITECTURES)}. Received: arch={arch!r}.")
    return name


def _mode(names: Sequence[str]) -> str:
    if not any("/bn-last" in name for name in names):
        return "resnet"
    return "preact" if any("convshortcut" in name for name in names) else "preact_typeA"


def _bits(tensors: Mapping[str, Any], suffix: str) -> int | None:
    return next((len(value) for name, value in tensors.items() if name.endswith(suffix) and np.ndim(value)), None)


def _reference_name(name: str) -> tuple[str, bool]:
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
