"""Architectures of MutualNet and of slimmable networks by name, with the ranges of the published settings.

MNasNet was published with channel lists only; its range and its switches are those of MobileNetV2's slimmable networks.
"""

from tfres.models.mutualnet import autoslim

_IMAGENET = {"resolutions": (224, 192, 160, 128), "classes": 1000}
_RESNET = {**_IMAGENET, "kind": "bottleneck", "widths": (64, 128, 256, 512), "width_range": (0.9, 1.0)}
_SWITCHES = {"resolutions": (224,), "classes": 1000, "private": True, "width_range": (0.25, 1.0)}
_CIFAR = {"kind": "wide", "resolutions": (32, 28, 24, 20), "classes": 100}

PRESETS = {
    "mutual_mobilenet_v1": {**_IMAGENET, "kind": "mobilenet_v1", "width_range": (0.25, 1.0)},
    "mutual_mobilenet_v2": {**_IMAGENET, "kind": "mobilenet_v2", "width_range": (0.7, 1.0)},
    "mutual_mnasnet": {**_IMAGENET, "kind": "mnasnet", "width_range": (0.35, 1.0)},
    "mutual_resnet50": {**_RESNET, "blocks": (3, 4, 6, 3)},
    "mutual_resnet101": {**_RESNET, "blocks": (3, 4, 23, 3)},
    "mutual_resnet152": {**_RESNET, "blocks": (3, 8, 36, 3)},
    "slim_mobilenet_v1": {**_SWITCHES, "kind": "mobilenet_v1", "width_mults": (1.0, 0.75, 0.5, 0.25)},
    "slim_mobilenet_v2": {**_SWITCHES, "kind": "mobilenet_v2", "width_mults": (1.0, 0.75, 0.5, 0.35)},
    "slim_mnasnet": {**_SWITCHES, "kind": "mnasnet", "width_mults": (1.0, 0.75, 0.5, 0.35)},
    "slim_resnet50": {**_RESNET, **_SWITCHES, "blocks": (3, 4, 6, 3), "width_mults": (1.0, 0.75, 0.5, 0.25)},
    "autoslim_mobilenet_v1": {**_SWITCHES, "kind": "mobilenet_v1", "channel_lists": autoslim.MOBILENET_V1},
    "autoslim_mobilenet_v2": {**_SWITCHES, "kind": "mobilenet_v2", "channel_lists": autoslim.MOBILENET_V2},
    "autoslim_mnasnet": {**_SWITCHES, "kind": "mnasnet", "channel_lists": autoslim.MNASNET},
    "autoslim_resnet50": {**_RESNET, **_SWITCHES, "blocks": (3, 4, 6, 3), "channel_lists": autoslim.RESNET50},
    "mutual_wideresnet28_10": {**_CIFAR, "blocks": (4, 4, 4), "widths": (16, 160, 320, 640), "width_range": (0.9, 1.0)},
    "mutual_wideresnet16_2": {**_CIFAR, "blocks": (2, 2, 2), "widths": (16, 32, 64, 128), "width_range": (0.25, 1.0)},
    "mutual_wideresnet10_2": {**_CIFAR, "blocks": (1, 1, 1), "widths": (16, 32, 64, 128), "width_range": (0.25, 1.0)},
}
