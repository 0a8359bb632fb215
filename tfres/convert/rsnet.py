"""Float RS-Nets of `yikaiw/RS-Nets`, folder `non-quantization` (PyTorch variable names)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tfres.convert.pytorch import (
    BATCH_NORM,
    SIZES,
    branches,
    checked_sizes,
    first_size,
    laid_out,
    read_checkpoint_of,
    without_prefix,
)
from tfres.families import from_preset
from tfres.models.rsnet import PRESETS
from tfres.models.weights import assign_exactly, variable_name

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    import numpy as np

    from tfres.models.rsnet import RSNet

FAMILY = "rsnet"
OPTIONS = ("sizes",)
ARCHITECTURES = tuple(
    name for name, preset in PRESETS.items() if preset["stem"] == "imagenet" and preset["kind"] != "vgg_small"
)
_MOBILE_ENDS = {"conv0": "features.0.0", "conv0_bn": "features.0.1", "conv_last": "conv.0", "conv_last_bn": "conv.1"}


def convert(arch: str, tensors: Mapping[str, Any], sizes: Sequence[int] | None = None, **overrides: Any) -> RSNet:
    """The reference's network as an `RSNet`, for RGB images in [0, 1].

    Args:
        arch: "parallel_resnet18", "parallel_mobilenetv2", ... (the prefix may be left out).
        tensors: names of the state dict (with or without the data-parallel prefix "module.") to arrays in PyTorch's layout.
        sizes: resolution of every branch, in the order of the branches; default 224, 192, 160, 128, 96.
        overrides: further arguments of `RSNet`.

    Returns:
        `RSNet`.

    Raises:
        ValueError: see `tfres.convert.from_reference`; also a number of sizes that is not the checkpoint's.
    """
    name = _named(arch)
    tensors = without_prefix(tensors)
    sizes = checked_sizes(sizes, branches(tensors))
    classes = first_size(tensors, f"{'classifier' if name == 'mobilenetv2' else 'fc'}.module.bias", 1000)
    model = _network(name, sizes, {"classes": classes, **overrides})
    order = [sizes.index(setting.resolution) for setting in model.settings]
    theirs = _names(model, name, sizes)
    pairs, values = {theirs[variable_name(variable)]: variable for variable in model.weights}, dict(tensors)
    for ours, name in theirs.items():
        if name == "alpha" and name in values and values[name].shape == (len(order),):
            values[name] = values[name][order]
        elif name in values:
            values[name] = laid_out(values[name], "depthwise" in ours)
    assign_exactly(pairs, values, ignore=lambda name: name.endswith("num_batches_tracked"))
    return model


def names(arch: str, sizes: Sequence[int] | None = None, **overrides: Any) -> dict[str, str]:
    """Our variables' names -> the reference's; see `tfres.convert.names` and, for arguments, `convert`."""
    name, sizes = _named(arch), checked_sizes(sizes or None, len(sizes or SIZES))
    return _names(_network(name, sizes, overrides), name, sizes)


def _named(arch: str) -> str:
    name = str(arch).removeprefix("parallel_")
    if name not in ARCHITECTURES:
        known = ", ".join(f"parallel_{known}" for known in ARCHITECTURES)
        raise ValueError(f"`arch` must be one of {known}. Received: arch={arch!r}.")
    return name


def _network(name: str, sizes: list[int], options: dict[str, Any]) -> RSNet:
    return from_preset(name, **{"resolutions": sizes, **options})


def _names(model: RSNet, name: str, sizes: list[int]) -> dict[str, str]:
    ours = map(variable_name, model.weights)
    return {variable: reference_name(variable, sizes, mobile=name == "mobilenetv2") for variable in ours}


def read(path: str | os.PathLike, arch: str) -> dict[str, np.ndarray]:
    """Tensors of the reference's `.pth.tar` checkpoint; see `tfres.convert.pytorch.read_checkpoint_of`."""
    return read_checkpoint_of(path, arch, prefix="parallel_")


def recipe(arch: str, config: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The reference's preprocessing: RGB pictures in [0, 1], everything else by the conventions of mode float."""
    shape = {name: config[name] for name in ("resolutions", "classes")}
    return {
        "model": {"arch": arch.removeprefix("parallel_"), "mode": "float", **shape},
        "data": {"batch_size": 100, "side": max(config["resolutions"]), "crop": "area"},
    }


def reference_name(name: str, sizes: Sequence[int], mobile: bool = False) -> str:
    """Name in the reference of our variable `name`; the branch of a resolution is its place in `sizes`.

    Args:
        name: of our variable.
        sizes: resolutions of the branches.
        mobile: whether the network is a MobileNetV2.
    """
    if name == "alpha":
        return name
    *scope, leaf = name.split("/")
    if scope == ["linear"]:
        return f"{'classifier' if mobile else 'fc'}.module.{'weight' if leaf == 'kernel' else 'bias'}"
    layer = _mobile_layer(scope[1:]) if mobile else _residual_layer(scope[1:])
    if leaf.endswith("kernel"):
        return f"{layer}.module.weight"
    setting, statistic = leaf.split("_", 1)
    return f"{layer}.bn_{sizes.index(int(setting[1:]))}.{BATCH_NORM[statistic]}"


def _mobile_layer(scope: list[str]) -> str:
    *block, unit = scope
    if not block:
        return _MOBILE_ENDS[unit]
    number = int(block[0][5:])
    # Places in the reference's sequence; the first block has no expansion.
    place = {"expand": 0, "depthwise": 3, "project": 6}[unit.removesuffix("_bn")] - (3 if number == 0 else 0)
    return f"features.{number + 1}.conv.{place + unit.endswith('_bn')}"


def _residual_layer(scope: list[str]) -> str:
    *block, unit = scope
    if not block:
        return {"conv0": "conv1", "conv0_bn": "bn1"}[unit]
    prefix = f"layer{int(block[0][5:]) + 1}.{block[1][5:]}"
    if unit.startswith("convshortcut"):
        return f"{prefix}.downsample.{1 if unit.endswith('_bn') else 0}"
    return f"{prefix}.bn{unit[4:-3]}" if unit.endswith("_bn") else f"{prefix}.{unit}"
