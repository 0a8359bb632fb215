"""MutualNet of `taoyang1122/MutualNet` and slimmable networks of `JiahuiYu/slimmable_networks` (PyTorch variable names)."""

import re

import numpy as np

from tfres.convert.assign import assign_exactly
from tfres.convert.pytorch import BATCH_NORM, laid_out, read_torch, without_prefix
from tfres.data.sources import IMAGENET_MEAN, IMAGENET_STD
from tfres.models.mutualnet import PRESETS, MutualNet
from tfres.models.mutualnet.autoslim import resnet_order
from tfres.recipe import DataRecipe, ModelRecipe, Recipe

OPTIONS = ("widths", "width_range", "sizes")
ARCHITECTURES = {
    **{name: f"mutual_{name}" for name in ("mobilenet_v1", "mobilenet_v2", "mnasnet", "resnet50", "resnet101", "resnet152")},
    "wideresnet": "mutual_wideresnet28_10",
}
_CIFAR_MEAN, _CIFAR_STD = (125.3 / 255, 123.0 / 255, 113.9 / 255), (63.0 / 255, 62.1 / 255, 66.7 / 255)
_V1 = {"depthwise": 0, "depthwise_bn": 1, "pointwise": 3, "pointwise_bn": 4}
_V2 = {"expand": 0, "expand_bn": 1, "depthwise": 3, "depthwise_bn": 4, "project": 6, "project_bn": 7}
_RESNET = {"conv1": 0, "conv1_bn": 1, "conv2": 3, "conv2_bn": 4, "conv3": 6, "conv3_bn": 7}
_WIDE = {"conv1_bn": "bn1", "conv2_bn": "bn2", "convshortcut": "convShortcut"}


def convert(arch, tensors, widths=None, width_range=None, sizes=None, **overrides):
    """The reference's network as a `MutualNet`, for images normalised as in its training.

    Args:
        arch: "mobilenet_v1", "mobilenet_v2", "mnasnet", "resnet50", "resnet101", "resnet152" or "wideresnet" (its depth and
            width are seen in the tensors); in front of it "s_": slimmable networks with switches; "autoslim_": channel lists.
        tensors: names of the state dict (with or without the data-parallel prefix "module.") to arrays in PyTorch's layout.
        widths: width of every pair of statistics, ascending as in the reference's `width_mult_list`; default 1.0 or, of
            two, both ends of the range. AutoSlim: names of the sub-networks.
        width_range: smallest and largest width of the training; default the published setting's.
        sizes: resolutions, the full side first; default the published setting's.
        overrides: further arguments of `MutualNet`; for AutoSlim `channel_lists` as in the reference's settings: a mapping of
            names, or a sequence for the names in `widths`; default the published lists.

    Returns:
        `MutualNet`. Statistics of the network's only width-independent norm (MobileNetV2's last) go to every width.

    Raises:
        ValueError: see `tfres.convert.from_reference`; also a number of widths that is not the checkpoint's.
    """
    plain = re.sub("^(s|autoslim)_", "", str(arch))
    if plain not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise ValueError(f"`arch` must be one of {known}, with s_ or autoslim_ in front or not. Received: arch={arch!r}.")
    tensors = {name: np.asarray(value) for name, value in without_prefix(tensors).items()}
    options = {**PRESETS[ARCHITECTURES[plain]], **_seen(tensors, plain), **overrides}
    if str(arch).startswith("autoslim_"):
        options["channel_lists"] = _lists(f"autoslim_{plain}", options.pop("channel_lists", None), widths, options)
        widths = list(options["channel_lists"])
    options |= {"width_range": width_range or options["width_range"], "resolutions": sizes or options["resolutions"]}
    count = 1 + max((int(n) for name in tensors for n in re.findall(r"\.bn\.(\d+)\.running_mean", name)), default=-1)
    widths = widths or sorted({*options["width_range"]})
    if len(widths) != count:
        raise ValueError(f"`widths` must be {count}, one per pair of statistics of the checkpoint. Received: widths={widths}.")
    if not options.get("channel_lists"):
        options |= {"width_mults": widths, "private": any(name.endswith(".bn.0.weight") for name in tensors)}
    model = MutualNet(**options)
    model.build()
    slots = {f"{'net' if options.get('channel_lists') else 'w'}{_text(width)}": i for i, width in enumerate(widths)}
    pairs, values = {}, _spread(tensors, count)
    for variable in model.weights:
        ours = variable.name.removesuffix(":0")
        theirs = reference_name(ours, slots, plain)
        pairs[theirs] = variable
        if theirs in values:
            values[theirs] = laid_out(values[theirs], "depthwise" in ours)
    assign_exactly(pairs, values, ignore=lambda name: name.endswith("num_batches_tracked"))
    return model


def _lists(preset, lists, names, options):
    """Channel lists by name, in the order of our convolutions and without the classes that the reference's end with."""
    if preset not in PRESETS:
        raise ValueError(f"`arch` {preset} is not known as a network with channel lists.")
    if lists is None:
        return PRESETS[preset]["channel_lists"]
    if not isinstance(lists, dict):
        lists = dict(zip(map(str, names or range(1, len(lists) + 1)), lists, strict=True))
    expected = len(next(iter(PRESETS[preset]["channel_lists"].values())))
    lists = {name: list(counts)[:expected] for name, counts in lists.items()}
    in_order = options["kind"] != "bottleneck"
    return lists if in_order else {name: resnet_order(counts, options["blocks"]) for name, counts in lists.items()}


def read(path, arch):
    """Tensors of the reference's `.pt` checkpoint; it does not say its architecture."""
    tensors, _ = read_torch(path)
    return tensors


def recipe(arch, config):
    """The network as a recipe, its pictures by the conventions of MutualNet.

    Raises:
        ValueError: a wide residual network that no preset has.
    """
    plain = re.sub("^(s|autoslim)_", "", arch)
    names = [name for name in PRESETS if name == ARCHITECTURES[plain] or plain == "wideresnet" and "wideresnet" in name]
    shape = {name: config[name] for name in ("blocks", "widths")}
    fitting = [name for name in names if all(list(PRESETS[name].get(k, ())) == v for k, v in shape.items())]
    if not fitting:
        raise ValueError(f"`arch` must be one of {', '.join(names)} to become a run. Received: {shape}.")
    fields = ("resolutions", "classes", "width_range", "width_mults", "private", "divisor")
    model = ModelRecipe(
        arch=fitting[0],
        mode="float",
        channel_lists={name: list(counts) for name, counts in config["channel_lists"].items()} or None,
        **{name: list(config[name]) if isinstance(config[name], list) else config[name] for name in fields},
    )
    cifar = plain == "wideresnet"
    mean, std = (_CIFAR_MEAN, _CIFAR_STD) if cifar else (IMAGENET_MEAN, IMAGENET_STD)
    crop, side = "reflect" if cifar else "area", max(config["resolutions"])
    return Recipe(model=model, data=DataRecipe(batch_size=100, side=side, crop=crop, mean=list(mean), std=list(std)))


def _text(width):
    return f"{width:g}" if isinstance(width, (int, float)) else str(width)


def _seen(tensors, arch):
    """What the shapes tell: the number of classes; depth and width of a wide residual network."""
    head = tensors.get("fc.weight" if arch == "wideresnet" else "classifier.0.weight")
    seen = {} if head is None else {"classes": len(head)}
    if arch == "wideresnet":
        blocks = [len({name.split(".")[2] for name in tensors if name.startswith(f"block{g}.")}) for g in (1, 2, 3)]
        first = [tensors.get(f"block{g}.layer.0.conv1.weight") for g in (1, 2, 3)]
        if all(kernel is not None for kernel in first):
            seen |= {"blocks": blocks, "widths": [16, *(len(kernel) for kernel in first)]}
    return seen


def _spread(tensors, count):
    """The tensors with the statistics of an ordinary norm once per width."""
    values = {}
    for name, value in tensors.items():
        match = re.fullmatch(r"(features\.18\.1)\.(running_\w+)", name)
        values |= {f"{match[1]}.bn.{i}.{match[2]}": value for i in range(count)} if match else {name: value}
    return values


def reference_name(name, slots, arch):
    """Name in the reference of our variable `name`.

    Args:
        name: of our variable.
        slots: name of a width ("w0.5") -> its place in the reference's list.
        arch: "mobilenet_v1", ...
    """
    *scope, leaf = name.split("/")
    if scope == ["linear"]:
        return f"{'fc' if arch == 'wideresnet' else 'classifier.0'}.{'weight' if leaf == 'kernel' else 'bias'}"
    layer = _layer(arch, *scope[1:])
    if leaf in ("kernel", "depthwise_kernel"):
        return f"{layer}.weight"
    if leaf in ("gamma", "beta"):
        return f"{layer}.{BATCH_NORM[leaf]}"
    slot, statistic = leaf.split("_", 1)
    return f"{layer}.bn.{slots[slot]}.{BATCH_NORM[statistic]}"


def _layer(arch, *scope):
    unit, block = scope[-1], scope[:-1]
    if arch == "wideresnet":
        if not block:
            return {"conv0": "conv1", "bn_last": "bn1"}[unit]
        group, number = re.fullmatch(r"group(\d+)_block(\d+)", block[0]).groups()
        return f"block{int(group) + 1}.layer.{number}.{_WIDE.get(unit, unit)}"
    if not block:
        return f"features.{0 if unit.startswith('conv0') else 18}.{int(unit.endswith('_bn'))}"
    first, *rest = (int(re.sub(r"\D", "", part)) for part in block)
    if not rest:  # the first block of MobileNetV2 and MNasNet does not expand
        place = _V1[unit] if arch == "mobilenet_v1" else _V2[unit] - (3 if first == 0 else 0)
        return f"features.{first + 1}.body.{place}"
    number = 1 + rest[0] + sum(PRESETS[ARCHITECTURES[arch]]["blocks"][:first])
    shortcut = unit.startswith("convshortcut")
    place = f"shortcut.{int(unit.endswith('_bn'))}" if shortcut else f"body.{_RESNET[unit]}"
    return f"features.{number}.{place}"
