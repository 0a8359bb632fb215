"""Architectures of RS-Nets by name."""

_IMAGENET = {"stem": "imagenet", "widths": (64, 128, 256, 512), "resolutions": (224, 192, 160, 128, 96), "classes": 1000}
_CIFAR = {"stem": "cifar", "resolutions": (32, 28, 24, 20, 16), "classes": 10}

PRESETS = {
    "resnet18": {**_IMAGENET, "kind": "basic", "blocks": (2, 2, 2, 2)},
    "resnet34": {**_IMAGENET, "kind": "basic", "blocks": (3, 4, 6, 3)},
    "resnet50": {**_IMAGENET, "kind": "bottleneck", "blocks": (3, 4, 6, 3)},
    "resnet101": {**_IMAGENET, "kind": "bottleneck", "blocks": (3, 4, 23, 3)},
    "resnet152": {**_IMAGENET, "kind": "bottleneck", "blocks": (3, 8, 36, 3)},
    "resnext50_32x4d": {**_IMAGENET, "kind": "bottleneck", "blocks": (3, 4, 6, 3), "groups": 32, "base_width": 4},
    "resnext101_32x8d": {**_IMAGENET, "kind": "bottleneck", "blocks": (3, 4, 23, 3), "groups": 32, "base_width": 8},
    "mobilenetv2": {**_IMAGENET, "kind": "mobilenet_v2"},
    "resnet20": {**_CIFAR, "kind": "basic", "blocks": (3, 3, 3), "widths": (16, 32, 64)},
    "vgg_small": {**_CIFAR, "kind": "vgg_small", "blocks": (), "widths": (128, 256, 512)},
}
