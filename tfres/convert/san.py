"""SANs of `d-li14/SAN` (PyTorch variable names)."""

from __future__ import annotations

import re
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
from tfres.models.san import PRESETS, SAN
from tfres.models.san.network import PIXELS_PER_ENCODING
from tfres.models.weights import assign_exactly, variable_name

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    import numpy as np

FAMILY = "san"
OPTIONS = ("sizes",)
ARCHITECTURES = tuple(name for name, preset in PRESETS.items() if preset["stem"] == "imagenet")
_GENERATED = {"slope": "weight", "kernel": "bias", "depthwise_kernel": "bias"}
# Ordinary projections beside the generated ones: never used there, not made here.
_DEAD = re.compile(r"(.*\.num_batches_tracked|layer\d\.\d+\.downsample\..*)$")


def convert(arch: str, tensors: Mapping[str, Any], sizes: Sequence[int] | None = None, **overrides: Any) -> SAN:
    """The reference's network as a `SAN`, for RGB images in [0, 1].

    Args:
        arch: "meta_resnet18", "meta_mobilenetv2", ...
        tensors: names of the state dict (with or without the data-parallel prefix "module.") to arrays in PyTorch's layout.
        sizes: resolution of every branch, in the order of the branches; default 224, 192, 160, 128, 96. The encodings are the
            reference's, 0.7 - 0.1 i for branch i.
        overrides: further arguments of `SAN`.

    Returns:
        `SAN`.

    Raises:
        ValueError: see `tfres.convert.from_reference`; also a number of sizes that is not the checkpoint's.
    """
    _check(arch)
    tensors = without_prefix(tensors)
    sizes = checked_sizes(sizes, branches(tensors))
    classes = first_size(tensors, f"{'classifier' if arch == 'meta_mobilenetv2' else 'fc'}.module.bias", 1000)
    model = _network(arch, sizes, {"classes": classes, **overrides})
    theirs = _names(model, arch, sizes)
    pairs, values = {}, dict(tensors)
    for variable in model.weights:
        ours = variable_name(variable)
        pairs[theirs[ours]] = variable
        if theirs[ours] in values:
            values[theirs[ours]] = _laid_out(values[theirs[ours]], ours, tuple(variable.shape))
    assign_exactly(pairs, values, ignore=_DEAD.match)
    return model


def names(arch: str, sizes: Sequence[int] | None = None, **overrides: Any) -> dict[str, str]:
    """Our variables' names -> the reference's; see `tfres.convert.names` and, for arguments, `convert`."""
    _check(arch)
    sizes = checked_sizes(sizes or None, len(sizes or SIZES))
    return _names(_network(arch, sizes, overrides), arch, sizes)


def _check(arch: str) -> None:
    if arch not in ARCHITECTURES:
        raise ValueError(f"`arch` must be one of {', '.join(ARCHITECTURES)}. Received: arch={arch!r}.")


def _network(arch: str, sizes: list[int], options: dict[str, Any]) -> SAN:
    model = SAN(**{**PRESETS[arch], "resolutions": sizes, "encodings": encodings(sizes), **options})
    model.build()
    return model


def _names(model: SAN, arch: str, sizes: list[int]) -> dict[str, str]:
    mobile, bottleneck = arch == "meta_mobilenetv2", PRESETS[arch]["kind"] == "bottleneck"
    return {ours: reference_name(ours, sizes, mobile, bottleneck) for ours in map(variable_name, model.weights)}


def encodings(sizes: Sequence[int]) -> dict[int, float]:
    """The reference's encodings by place, where they are not resolution / 320."""
    by_place = {size: 0.7 - 0.1 * place for place, size in enumerate(sizes)}
    return {size: e for size, e in by_place.items() if abs(e - size / PIXELS_PER_ENCODING) > 1e-9}


def reference_name(name: str, sizes: Sequence[int], mobile: bool, bottleneck: bool) -> str:
    """Name in the reference of our variable `name`; the branch of a resolution is its place in `sizes`."""
    *scope, leaf = name.split("/")
    if scope == ["linear"]:
        return f"{'classifier' if mobile else 'fc'}.module.{'weight' if leaf == 'kernel' else 'bias'}"
    *block, unit = scope[1:]
    if unit == "conv0" and not mobile:
        return "conv1.module.weight"
    norm = unit.endswith("_bn")
    layer = (_mobile_layer if mobile else _residual_layer)(block, unit.removesuffix("_bn"), bottleneck)
    layer = layer.format("bn" if norm else "fc")
    if not norm:
        return f"{layer}.{_GENERATED[leaf]}"
    setting, statistic = leaf.split("_", 1)
    return f"{layer}.bn_{sizes.index(int(setting[1:]))}.{BATCH_NORM[statistic]}"


def _mobile_layer(block: list[str], unit: str, _: bool) -> str:
    if not block:
        return {"conv0": "features.0.{}", "conv_last": "conv.{}"}[unit]
    number = int(block[0][5:])
    place = {"expand": 1, "depthwise": 2, "project": 3}[unit] - (number == 0)
    return f"features.{number + 1}.{{}}{place}"


def _residual_layer(block: list[str], unit: str, bottleneck: bool) -> str:
    if not block:
        return "{}1"
    place = (4 if bottleneck else 3) if unit == "convshortcut" else int(unit[4:])
    return f"layer{int(block[0][5:]) + 1}.{block[1][5:]}.{{}}{place}"


def _laid_out(value: np.ndarray, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """A PyTorch tensor in TensorFlow's layout; a meta learner's as the kernel that it generates."""
    depthwise = "depthwise" in name
    height, width, inputs, outputs = shape if len(shape) == 4 else (1, 1, 1, 0)
    if value.ndim <= 2 and len(shape) == 4 and value.size == height * width * inputs * outputs:
        value = value.reshape([inputs, 1, height, width] if depthwise else [outputs, inputs, height, width])
    return laid_out(value, depthwise)


def read(path: str | os.PathLike, arch: str) -> dict[str, np.ndarray]:
    """Tensors of the reference's `.pth.tar` checkpoint; see `tfres.convert.pytorch.read_checkpoint_of`."""
    return read_checkpoint_of(path, arch)


def recipe(arch: str, config: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The reference's preprocessing: RGB pictures in [0, 1], everything else by the conventions of mode float."""
    shape = {name: config[name] for name in ("resolutions", "classes", "encodings")}
    return {
        "model": {"arch": arch, "mode": "float", **shape},
        "data": {"batch_size": 100, "side": max(config["resolutions"]), "crop": "area"},
    }
