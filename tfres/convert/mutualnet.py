"""MutualNet of `taoyang1122/MutualNet` and slimmable networks of `JiahuiYu/slimmable_networks` (PyTorch variable names)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from tfres.convert.pytorch import BATCH_NORM, laid_out, read_torch, without_prefix
from tfres.data.options import IMAGENET_MEAN, IMAGENET_STD
from tfres.models.mutualnet import PRESETS, MutualNet
from tfres.models.mutualnet.autoslim import resnet_order
from tfres.models.weights import assign_exactly, variable_name
from tfres.settings import Setting

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    import numpy as np

FAMILY = "mutualnet"
OPTIONS = ("widths", "width_range", "sizes")
ARCHITECTURES = {
    **{name: f"mutual_{name}" for name in ("mobilenet_v1", "mobilenet_v2", "mnasnet", "resnet50", "resnet101", "resnet152")},
    "wideresnet": "mutual_wideresnet28_10",
}
_CIFAR_MEAN, _CIFAR_STD = (125.3 / 255, 123.0 / 255, 113.9 / 255), (63.0 / 255, 62.1 / 255, 66.7 / 255)
_LAST = re.compile(r"(features\.18\.1)\.bn\.\d+\.(running_\w+)")
_V1 = {"depthwise": 0, "depthwise_bn": 1, "pointwise": 3, "pointwise_bn": 4}
_V2 = {"expand": 0, "expand_bn": 1, "depthwise": 3, "depthwise_bn": 4, "project": 6, "project_bn": 7}
_RESNET = {"conv1": 0, "conv1_bn": 1, "conv2": 3, "conv2_bn": 4, "conv3": 6, "conv3_bn": 7}
_WIDE = {"conv1_bn": "bn1", "conv2_bn": "bn2", "convshortcut": "convShortcut"}


def convert(
    arch: str,
    tensors: Mapping[str, Any],
    widths: Sequence[float | str] | None = None,
    width_range: Sequence[float] | None = None,
    sizes: Sequence[int] | None = None,
    **overrides: Any,
) -> MutualNet:
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
    plain, tensors = _plain(arch), without_prefix(tensors)
    count = 1 + max((int(n) for name in tensors for n in re.findall(r"\.bn\.([0-9]{1,4})\.running_mean", name)), default=-1)
    private = any(name.endswith(".bn.0.weight") for name in tensors)
    options = {**_seen(tensors, plain), **overrides}
    model, slots = _network(arch, widths, width_range, sizes, private, options, count)
    pairs, values = {}, _spread(tensors, count)
    for variable in model.weights:
        ours = variable_name(variable)
        theirs = reference_name(ours, slots, plain)
        pairs[theirs] = variable
        if theirs in values:
            values[theirs] = laid_out(values[theirs], "depthwise" in ours)
    assign_exactly(pairs, values, ignore=lambda name: name.endswith("num_batches_tracked"))
    return model


def names(
    arch: str,
    widths: Sequence[float | str] | None = None,
    width_range: Sequence[float] | None = None,
    sizes: Sequence[int] | None = None,
    **overrides: Any,
) -> dict[str, str]:
    """Our variables' names -> the reference's; see `tfres.convert.names` and, for arguments, `convert`.

    Statistics of MobileNetV2's last norm, which there do not depend on the width, are one tensor for all of ours.
    """
    private = str(arch).startswith("s_")
    model, slots = _network(arch, widths, width_range, sizes, private, overrides)
    found = {ours: reference_name(ours, slots, _plain(arch)) for ours in map(variable_name, model.weights)}
    return {ours: _LAST.sub(r"\1.\2", theirs) if _plain(arch) == "mobilenet_v2" else theirs for ours, theirs in found.items()}


def _plain(arch: str) -> str:
    plain = re.sub("^(s|autoslim)_", "", str(arch))
    if plain not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise ValueError(f"`arch` must be one of {known}, with s_ or autoslim_ in front or not. Received: arch={arch!r}.")
    return plain


def _network(
    arch: str,
    widths: Sequence[float | str] | None,
    width_range: Sequence[float] | None,
    sizes: Sequence[int] | None,
    private: bool,
    options: dict[str, Any],
    count: int | None = None,
) -> tuple[MutualNet, dict[str, int]]:
    """The network, and the place of every width in the reference's list; `count`: how many widths there must be."""
    plain = _plain(arch)
    options = {**PRESETS[ARCHITECTURES[plain]], **options}
    if str(arch).startswith("autoslim_"):
        options["channel_lists"] = _lists(f"autoslim_{plain}", options.pop("channel_lists", None), widths, options)
        widths = list(options["channel_lists"])
    options |= {"width_range": width_range or options["width_range"], "resolutions": sizes or options["resolutions"]}
    widths = list(widths or sorted({*options["width_range"]}))
    if count is not None and len(widths) != count:
        raise ValueError(f"`widths` must be {count}, one per pair of statistics of the checkpoint. Received: widths={widths}.")
    lists = bool(options.get("channel_lists"))
    if not lists:
        options |= {"width_mults": widths, "private": private}
    model = MutualNet(**options)
    model.build()
    settings = [Setting(subnet=str(width)) if lists else Setting(width_mult=width) for width in widths]
    return model, {str(setting): place for place, setting in enumerate(settings)}


def _lists(
    preset: str,
    lists: Mapping[str, Sequence[int]] | Sequence[Sequence[int]] | None,
    names: Sequence[float | str] | None,
    options: dict[str, Any],
) -> dict[str, list[int]]:
    """Channel lists by name, in the order of our convolutions and without the classes that the reference's end with."""
    if preset not in PRESETS:
        raise ValueError(f"`arch` {preset} is not known as a network with channel lists.")
    if lists is None:
        return PRESETS[preset]["channel_lists"]
    if not isinstance(lists, dict):
        names = list(map(str, names or range(1, len(lists) + 1)))
        if len(names) != len(lists):
            raise ValueError(f"`widths` must be {len(lists)} names, one per channel list. Received: widths={names}.")
        lists = dict(zip(names, lists, strict=True))
    expected = len(next(iter(PRESETS[preset]["channel_lists"].values())))
    lists = {name: list(counts)[:expected] for name, counts in lists.items()}
    in_order = options["kind"] != "bottleneck"
    return lists if in_order else {name: resnet_order(counts, options["blocks"]) for name, counts in lists.items()}


def read(path: str | os.PathLike, arch: str) -> dict[str, np.ndarray]:
    """Tensors of the reference's `.pt` checkpoint; it does not say its architecture."""
    tensors, _ = read_torch(path)
    return tensors


def recipe(arch: str, config: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
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
    model = {"arch": fitting[0], "mode": "float", **{name: config[name] for name in (*fields, "channel_lists")}}
    cifar = plain == "wideresnet"
    mean, std = (_CIFAR_MEAN, _CIFAR_STD) if cifar else (IMAGENET_MEAN, IMAGENET_STD)
    crop, side = "reflect" if cifar else "area", max(config["resolutions"])
    data = {"batch_size": 100, "side": side, "crop": crop, "mean": list(mean), "std": list(std)}
    return {"model": model, "data": data}


def _seen(tensors: Mapping[str, np.ndarray], arch: str) -> dict[str, Any]:
    """What the shapes tell: the number of classes; depth and width of a wide residual network."""
    head = tensors.get("fc.weight" if arch == "wideresnet" else "classifier.0.weight")
    seen = {} if head is None or not head.ndim else {"classes": len(head)}
    if arch == "wideresnet":
        blocks = [len({name.split(".")[2] for name in tensors if re.match(rf"block{g}\.\w+\.", name)}) for g in (1, 2, 3)]
        first = [tensors.get(f"block{g}.layer.0.conv1.weight") for g in (1, 2, 3)]
        if all(kernel is not None and kernel.ndim for kernel in first):
            seen |= {"blocks": blocks, "widths": [16, *(len(kernel) for kernel in first)]}
    return seen


def _spread(tensors: Mapping[str, np.ndarray], count: int) -> dict[str, np.ndarray]:
    """The tensors with the statistics of an ordinary norm once per width."""
    values = {}
    for name, value in tensors.items():
        match = re.fullmatch(r"(features\.18\.1)\.(running_\w+)", name)
        values |= {f"{match[1]}.bn.{i}.{match[2]}": value for i in range(count)} if match else {name: value}
    return values


def reference_name(name: str, slots: Mapping[str, int], arch: str) -> str:
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


def _layer(arch: str, *scope: str) -> str:
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
