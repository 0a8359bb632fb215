"""Architectures of MutualNet by name, with the ranges of the published settings."""

_IMAGENET = {"resolutions": (224, 192, 160, 128), "classes": 1000}
_RESNET = {**_IMAGENET, "kind": "bottleneck", "widths": (64, 128, 256, 512), "width_range": (0.9, 1.0)}
_CIFAR = {"kind": "wide", "resolutions": (32, 28, 24, 20), "classes": 100}

PRESETS = {
    "mutual_mobilenet_v1": {**_IMAGENET, "kind": "mobilenet_v1", "width_range": (0.25, 1.0)},
    "mutual_mobilenet_v2": {**_IMAGENET, "kind": "mobilenet_v2", "width_range": (0.7, 1.0)},
    "mutual_resnet50": {**_RESNET, "blocks": (3, 4, 6, 3)},
    "mutual_resnet101": {**_RESNET, "blocks": (3, 4, 23, 3)},
    "mutual_resnet152": {**_RESNET, "blocks": (3, 8, 36, 3)},
    "mutual_wideresnet28_10": {**_CIFAR, "blocks": (4, 4, 4), "widths": (16, 160, 320, 640), "width_range": (0.9, 1.0)},
    "mutual_wideresnet16_2": {**_CIFAR, "blocks": (2, 2, 2), "widths": (16, 32, 64, 128), "width_range": (0.25, 1.0)},
    "mutual_wideresnet10_2": {**_CIFAR, "blocks": (1, 1, 1), "widths": (16, 32, 64, 128), "width_range": (0.25, 1.0)},
}
