"""Architectures of RANets: those of the reference's README and scripts, and that of its published curves."""

_CIFAR = {"stem": "cifar", "classes": 10, "resolutions": [32], "channels": 16, "growth": 6}
_THREE = {"scales": [1, 2, 3], "channel_factors": [4, 2, 1], "bottleneck_factors": [4, 2, 1]}
_FOUR = {"scales": [1, 2, 3, 3], "channel_factors": [4, 2, 1, 1], "bottleneck_factors": [4, 2, 1, 1]}
_IMAGENET = {"stem": "imagenet", "resolutions": [224], "scales": [1, 2, 3, 4], "step": 8, "step_mode": "even", "growth": 16}


def _factors(factors: list[int]) -> dict[str, list[int]]:
    return {"channel_factors": factors, "bottleneck_factors": factors}


PRESETS = {
    "ranet_cifar": {**_CIFAR, **_THREE, "step": 2, "step_mode": "lg"},  # of the README
    "ranet_cifar_even": {**_CIFAR, **_THREE, "step": 4, "step_mode": "even"},  # of the arguments' defaults
    "ranet_cifar_1233": {**_CIFAR, **_FOUR, "step": 4, "step_mode": "even"},  # of train_cifar.sh and the published curve
    "ranet_cifar_1233_lg": {**_CIFAR, **_FOUR, "step": 2, "step_mode": "lg"},
    "ranet_imagenet": {**_IMAGENET, "channels": 64, **_factors([4, 2, 2, 1])},  # of the published curve
    "ranet_imagenet_c32": {**_IMAGENET, "channels": 32, **_factors([4, 2, 2, 1])},  # of the README
    "ranet_imagenet_c16": {**_IMAGENET, "channels": 16, **_factors([4, 2, 1, 1])},  # of train_imagenet.sh
}
