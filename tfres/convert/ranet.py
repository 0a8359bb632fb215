"""RANets of `yangle15/RANet-pytorch` (PyTorch variable names)."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

from tfres.convert.pytorch import BATCH_NORM, first_size, laid_out, read_checkpoint_of, without_prefix
from tfres.data.options import IMAGENET_MEAN, IMAGENET_STD
from tfres.models.ranet import PRESETS, RANet
from tfres.models.ranet.options import RANetOptions
from tfres.models.weights import assign_exactly, variable_name
from tfres.recipe.values import fields_of, read_text, read_value, shown, unknown

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping

    import numpy as np

FAMILY = "ranet"
REFERENCE = "RANet"  # what its checkpoints say that they are of
# Its names of arguments (and the verb's) -> ours.
SYNONYMS = {
    "scale_list": "scales",
    "nBlocks": "blocks",
    "stepmode": "step_mode",
    "nChannels": "channels",
    "growthRate": "growth",
    "grFactor": "channel_factors",
    "bnFactor": "bottleneck_factors",
    "compress_factor": "compression",
    "data": "stem",
    "num_classes": "classes",
    "input_size": "resolutions",
    "sizes": "resolutions",
}
_OTHERS = ("cascade", "chained", "exits", "calibrated", "weight_bits", "activation_bits")  # not there in the reference
OPTIONS = (*(name for name in fields_of(RANetOptions) if name not in _OTHERS), *SYNONYMS)
_STEMS = {"cifar10": "cifar", "cifar100": "cifar", "ImageNet": "imagenet"}
_SIDES = {"cifar": 32, "imagenet": 224}
_FIRST = {"cifar": "FirstLayer.layers.0.net.0.weight", "imagenet": "FirstLayer.layers.0.0.weight"}
_PLACES = {("unit1", "conv"): 0, ("unit1", "norm"): 1, ("unit2", "conv"): 3, ("unit2", "norm"): 4}
_BOTTLENECK = re.compile(r"scale_flows\.(\d{1,3})\.(\d{1,3})\.layers\.(\d{1,4})\.(conv_normal|conv_up)\.net\.0\.weight")
_TRANSITION = re.compile(r"scale_flows\.(\d{1,3})\.\d{1,3}\.trans\.net\.0\.weight")
# Mean and deviation of RGB pixels in [0, 1] as its loaders have them, by the number of classes; ImageNet's for others.
_PIXELS = {
    10: ((0.4914, 0.4824, 0.4467), (0.2471, 0.2435, 0.2616)),
    100: ((0.5071, 0.4867, 0.4408), (0.2675, 0.2565, 0.2761)),
}


def convert(arch: str, tensors: Mapping[str, Any], dtype: Any = None, **options: Any) -> RANet:
    """The reference's network as a `RANet`, for normalised RGB images.

    Args:
        arch: one of our architectures ("ranet_cifar", ...), or "RANet" for any network of the reference, whose blocks, layers
            and widths are read off the tensors.
        tensors: names of the state dict (with or without the data-parallel prefix "module.") to arrays in PyTorch's layout.
        dtype: a Keras dtype policy.
        options: arguments of `RANet` (`RANetOptions`), by its names or by the reference's (`SYNONYMS`; its lists also as it
            writes them, "1-2-3"; `data` "cifar10", "cifar100" or "ImageNet"). They win over what is read.

    Tensors do not tell everything. Assumed unless given: `reduction` 0.5, `compression` 0.25 (both are checked by the shapes
    that follow), `resolutions` 32 or 224, and of `scales` the smallest that has as many transitions, which is the only one
    unless all blocks but the last end in a transition. Base width and growth are only there times the factors, bottlenecks'
    factors only where they are not cut off: any that give the same network are taken.

    Returns:
        `RANet`.

    Raises:
        ValueError: see `tfres.convert.from_reference`; also options that are unknown or contradict one another.
    """
    given, tensors = _ours(options), without_prefix(tensors)
    if arch == REFERENCE:
        seen = _seen(tensors, given)
    else:
        seen = {"classes": first_size(tensors, "classifier.0.linear.bias", _preset(arch)["classes"])}
    model = _network(arch, {**seen, **given}, dtype)
    pairs, values = {}, {name: laid_out(value) for name, value in tensors.items()}
    for variable in model.weights:
        pairs[reference_name(variable_name(variable), model.options.stem)] = variable
    assign_exactly(pairs, values, ignore=lambda name: name.endswith("num_batches_tracked"))
    return model


def names(arch: str, **options: Any) -> dict[str, str]:
    """Our variables' names -> the reference's; see `tfres.convert.names` and, for arguments, `convert`.

    For "RANet" what is not given is as the reference's arguments are by default.
    """
    model = _network(arch, _ours(options))
    return {ours: reference_name(ours, model.options.stem) for ours in map(variable_name, model.weights)}


def reference_name(name: str, stem: str) -> str:
    """Name in the reference of our variable `name`; the first layer's depends on the stem."""
    *scope, leaf = name.split("/")
    leaf = {"kernel": "weight", "bias": "bias"}.get(leaf) or BATCH_NORM[leaf.removeprefix("all_")]
    if scope[0] == "heads":
        head, *unit = scope[1:]
        place = "linear" if unit == ["linear"] else f"m.{int(unit[0][4:]) - 1}.net.{int(unit[1] == 'norm')}"
        return f"classifier.{int(head[4:]) - 1}.{place}.{leaf}"
    block, *unit = scope[1:]
    if block == "stem":
        layer, place = int(unit[0][4:]) - 1, int(unit[1] == "norm")
        return f"FirstLayer.layers.{layer}.{'' if layer == 0 and stem == 'imagenet' else 'net.'}{place}.{leaf}"
    subnet, number = (int(part) - 1 for part in re.findall(r"\d+", block))
    start = f"scale_flows.{subnet}.{number}"
    if unit[0] in ("last", "transition"):
        return f"{start}.{'conv_last' if unit[0] == 'last' else 'trans'}.net.{int(unit[1] == 'norm')}.{leaf}"
    layer, branch = re.fullmatch(r"layer(\d+)_(own|lower)", unit[0]).groups()
    branch = "conv_normal" if branch == "own" else "conv_up"
    return f"{start}.layers.{int(layer) - 1}.{branch}.net.{_PLACES[tuple(unit[1:])]}.{leaf}"


def read(path: str | os.PathLike, arch: str) -> dict[str, np.ndarray]:
    """Tensors of the reference's `.pth.tar` checkpoint; see `tfres.convert.pytorch.read_checkpoint_of`."""
    return read_checkpoint_of(path, REFERENCE)


def recipe(arch: str, config: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The network as a recipe, its pictures by the reference's conventions: pixels of the data set's mean and deviation;
    CIFAR padded and cropped, others cut from a side that is 8/7 of the network's.
    """
    stem = config["stem"]
    name = arch if arch in PRESETS else f"ranet_{stem}"
    mean, std = _PIXELS.get(config["classes"] if stem == "cifar" else 0, (IMAGENET_MEAN, IMAGENET_STD))
    data = {"batch_size": 64, "side": config["resolutions"][0], "crop": "pad" if stem == "cifar" else "area"}
    data["holdout"] = 0.0  # which pictures the checkpoint was not trained on is not known
    return {
        "model": {"arch": name, **{field: config[field] for field in fields_of(RANetOptions)}},
        "data": {**data, "mean": list(mean), "std": list(std)},
    }


def _preset(arch: str) -> dict[str, Any]:
    """Options of an architecture; of the reference's class with its default arguments."""
    if arch not in (*PRESETS, REFERENCE):
        raise ValueError(f"`arch` must be one of {', '.join((*PRESETS, REFERENCE))}. Received: arch={shown(arch)}.")
    return PRESETS["ranet_cifar_even" if arch == REFERENCE else arch]


def _network(arch: str, options: dict[str, Any], dtype: Any = None) -> RANet:
    preset = _preset(arch)
    if options.get("stem", preset["stem"]) != preset["stem"]:
        options = {"resolutions": [_SIDES.get(options["stem"], 32)], **options}
    model = RANet(dtype=dtype, **{**preset, **options})
    model.build()
    return model


def _ours(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options by our names.

    Raises:
        ValueError: an unknown name, a value of another type, or two names of one thing with different values.
    """
    found: dict[str, tuple[str, Any]] = {}
    for name, value in options.items():
        if name not in OPTIONS:
            raise ValueError(unknown("option", name, OPTIONS))
        ours = SYNONYMS.get(name, name)
        value = _value(name, value, fields_of(RANetOptions)[ours])
        before, other = found.setdefault(ours, (name, value))
        if other != value:
            raise ValueError(f"`{name}` must be as `{before}`, which is {shown(other)}. Received: {name}={shown(value)}.")
    return {ours: value for ours, (_, value) in found.items()}


def _value(name: str, value: Any, kind: Any) -> Any:
    """The value of an option as ours has it."""
    if name == "data":
        if value not in _STEMS:
            raise ValueError(f"`data` must be one of {', '.join(_STEMS)}. Received: data={shown(value)}.")
        return _STEMS[value]
    if isinstance(value, str) and re.fullmatch(r"\d{1,4}(-\d{1,4})*", value) and kind == list[int]:
        return [int(part) for part in value.split("-")]
    if kind == list[int] and isinstance(value, int):
        return [value]
    return read_text(name, value, kind) if isinstance(value, str) else read_value(name, value, kind)


def _seen(tensors: Mapping[str, np.ndarray], given: Mapping[str, Any]) -> dict[str, Any]:
    """What names and shapes tell of a network, for its options; see `convert`."""

    def size(name: str, axis: int) -> int:
        value = tensors.get(name)
        if value is None or value.ndim <= axis or not value.size:
            raise ValueError(f"The checkpoint is of another network: it has no {name} that could be used.")
        return value.shape[axis]

    found = [tuple(map(int, match.groups()[:3])) for name in tensors if (match := _BOTTLENECK.fullmatch(name))]
    subnets = 1 + max((subnet for subnet, _, _ in found), default=-1)
    blocks = [len({block for place, block, _ in found if place == subnet}) for subnet in range(subnets)]
    layers = [len({layer for _, place, layer in found if place == block}) for block in range(2)]
    if not subnets or not all(blocks):
        raise ValueError("The checkpoint is of another network: it has no blocks (scale_flows.0.0.layers.0. and further).")
    stem = "imagenet" if _FIRST["imagenet"] in tensors else "cifar"
    stems = [_FIRST[stem], *(f"FirstLayer.layers.{layer}.net.0.weight" for layer in range(1, subnets))]
    widths = [size(name, 0) for name in stems[::-1]]
    growth = size("scale_flows.0.0.layers.0.conv_normal.net.3.weight", 0)
    factor = _factor(given, widths, growth)
    channels = max(1, widths[0] // factor)
    ends = [int(match[1]) for match in map(_TRANSITION.fullmatch, tensors) if match]
    return {
        "stem": stem,
        "resolutions": [_SIDES[stem]],
        "classes": size("classifier.0.linear.bias", 0),
        "scales": [1 + ends.count(subnet) for subnet in range(subnets)],
        "blocks": blocks[0],
        "block_step": blocks[1] - blocks[0] if subnets > 1 else 1,
        "step": layers[0],
        "step_mode": "lg" if layers[1] == 2 * layers[0] else "even",
        "channels": channels,
        "growth": max(1, growth // factor),
        "channel_factors": [max(1, width // channels) for width in widths],
        "bottleneck_factors": [_bottleneck_factor(tensors, subnet, size) for subnet in range(subnets)],
        "reduction": 0.5,
        "compression": 0.25,
    }


def _factor(given: Mapping[str, Any], widths: list[int], growth: int) -> int:
    """Factor of sub-network 1: as given, as what is given of base width or growth makes it, or the smallest."""
    if given.get("channel_factors"):
        return max(1, given["channel_factors"][0])
    if "channels" in given or "growth" in given:
        return max(1, widths[0] // max(1, given["channels"]) if "channels" in given else growth // max(1, given["growth"]))
    return widths[0] // math.gcd(*widths)


def _bottleneck_factor(tensors: Mapping[str, np.ndarray], subnet: int, size: Callable[[str, int], int]) -> int:
    """Inner channels per output of a sub-network's bottlenecks, from those that are not cut off at their inputs; else the
    smallest that is.
    """
    least = 1
    for name in tensors:
        match = _BOTTLENECK.fullmatch(name)
        if match and int(match[1]) == subnet + (match[4] == "conv_up"):
            inner, outputs = size(name, 0), size(name.replace("net.0", "net.3"), 0)
            if inner < size(name, 1):
                return max(1, inner // outputs)
            least = max(least, -(-inner // outputs))
    return least
