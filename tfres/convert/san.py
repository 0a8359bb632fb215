"""SANs of `d-li14/SAN` (PyTorch variable names)."""

import re

import numpy as np

from tfres.convert.assign import assign_exactly
from tfres.convert.pytorch import BATCH_NORM, branches, checked_sizes, laid_out, read_checkpoint_of, without_prefix
from tfres.models.san import PRESETS, SAN
from tfres.models.san.network import PIXELS_PER_ENCODING
from tfres.recipe import DataRecipe, ModelRecipe, Recipe

OPTIONS = ("sizes",)
ARCHITECTURES = tuple(name for name, preset in PRESETS.items() if preset["stem"] == "imagenet")
_GENERATED = {"slope": "weight", "kernel": "bias", "depthwise_kernel": "bias"}
# Ordinary projections beside the generated ones: never used there, not made here.
_DEAD = re.compile(r"(.*\.num_batches_tracked|layer\d\.\d+\.downsample\..*)$")


def convert(arch, tensors, sizes=None, **overrides):
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
    if arch not in ARCHITECTURES:
        raise ValueError(f"`arch` must be one of {', '.join(ARCHITECTURES)}. Received: arch={arch!r}.")
    tensors = {name: np.asarray(value) for name, value in without_prefix(tensors).items()}
    sizes = checked_sizes(sizes, branches(tensors))
    mobile = arch == "meta_mobilenetv2"
    bias = tensors.get(f"{'classifier' if mobile else 'fc'}.module.bias")
    options = {"classes": 1000 if bias is None else len(bias), "encodings": encodings(sizes), **overrides}
    model = SAN(**{**PRESETS[arch], "resolutions": sizes, **options})
    model.build()
    pairs, values = {}, dict(tensors)
    for variable in model.weights:
        ours = variable.name.removesuffix(":0")
        theirs = reference_name(ours, sizes, mobile, bottleneck=PRESETS[arch]["kind"] == "bottleneck")
        pairs[theirs] = variable
        if theirs in values:
            values[theirs] = _laid_out(values[theirs], ours, variable.shape)
    assign_exactly(pairs, values, ignore=_DEAD.match)
    return model


def encodings(sizes):
    """The reference's encodings by place, where they are not resolution / 320."""
    by_place = {size: 0.7 - 0.1 * place for place, size in enumerate(sizes)}
    return {size: e for size, e in by_place.items() if abs(e - size / PIXELS_PER_ENCODING) > 1e-9}


def reference_name(name, sizes, mobile, bottleneck):
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


def _mobile_layer(block, unit, _):
    if not block:
        return {"conv0": "features.0.{}", "conv_last": "conv.{}"}[unit]
    number = int(block[0][5:])
    place = {"expand": 1, "depthwise": 2, "project": 3}[unit] - (number == 0)
    return f"features.{number + 1}.{{}}{place}"


def _residual_layer(block, unit, bottleneck):
    if not block:
        return "{}1"
    place = (4 if bottleneck else 3) if unit == "convshortcut" else int(unit[4:])
    return f"layer{int(block[0][5:]) + 1}.{block[1][5:]}.{{}}{place}"


def _laid_out(value, name, shape):
    """A PyTorch tensor in TensorFlow's layout; a meta learner's as the kernel that it generates."""
    depthwise = "depthwise" in name
    if ".conv0" not in name and value.ndim <= 2 and len(shape) == 4:
        height, width, inputs, outputs = shape
        value = value.reshape([inputs, 1, height, width] if depthwise else [outputs, inputs, height, width])
    return laid_out(value, depthwise)


def read(path, arch):
    """Tensors of the reference's `.pth.tar` checkpoint; see `tfres.convert.pytorch.read_checkpoint_of`."""
    return read_checkpoint_of(path, arch)


def recipe(arch, config):
    """The reference's preprocessing: RGB pictures in [0, 1], everything else by the conventions of mode float."""
    model = ModelRecipe(
        arch=arch,
        mode="float",
        resolutions=config["resolutions"],
        classes=config["classes"],
        encodings={int(size): e for size, e in config["encodings"].items()},
    )
    return Recipe(model=model, data=DataRecipe(batch_size=100, side=max(config["resolutions"]), crop="area"))
