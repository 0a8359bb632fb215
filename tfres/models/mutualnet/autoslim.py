"""Channel lists that AutoSlim found, named by their million multiply-adds at 224.

In the order of a network's convolutions without depthwise ones (`place` in `tfres.models.backbones.Parts`): MobileNetV1: stem,
output of every block; MobileNetV2 and MNasNet: stem, output of the first block, expansion and output of every other, last
convolution; ResNet-50: stem, then of every block its three convolutions and, where it has one, its shortcut.

Source: Yu and Huang, arXiv 1903.11728, and its code (figures only).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_V1 = {
    "m150": "16 32 48 48 88 88 224 176 224 368 320 224 744 744",
    "m325": "16 32 48 64 112 184 320 368 320 416 464 560 1128 1128",
    "m572": "24 64 128 144 232 232 560 464 512 464 560 560 1128 1128",
}
_V2 = {
    "m207": """8 8 96 16 96 16 96 24 144 24 144 24 144 48 288 48 288 48 288 48 288 64 432 64 432 64 648 176 720 176 720 176
        1440 280 1920""",
    "m305": """8 8 96 16 96 16 96 24 144 24 144 24 144 56 288 56 288 56 288 56 288 96 432 96 432 96 864 240 1440 240 960 240
        1440 480 1920""",
    "m505": """32 16 144 24 176 24 192 48 240 48 144 48 264 88 288 88 336 88 432 88 576 144 576 144 648 144 864 240 1440 240
        1440 240 1440 480 1920""",
}
_MNASNET = {
    "m217": """16 8 24 16 48 16 24 16 48 32 48 32 48 32 192 56 400 56 400 56 400 80 432 80 648 192 864 192 864 192 864 192
        1728 280 1280""",
    "m315": """16 8 40 24 48 24 40 24 48 40 80 40 48 40 352 64 400 64 400 64 464 80 432 80 792 288 864 288 864 288 1008 288
        1728 360 1920""",
    "m532": """16 8 64 32 56 32 72 32 104 64 128 64 96 64 384 104 528 104 464 104 720 128 576 128 864 288 1584 288 1728 288
        1728 288 1728 480 1920""",
}
# Per stage: the shortcut, then three numbers per block.
_RESNET50 = {
    "m570": """24; 72 8 16 72 16 16 72 8 8 72; 240 16 24 240 16 24 240 16 16 240 16 24 240; 704 72 72 704 48 72 704 48 72 704
        72 72 704 48 48 704 48 48 704; 1680 280 240 1680 120 200 1680 280 280 1680""",
    "m1000": """32; 72 16 16 72 16 16 72 8 8 72; 280 24 40 280 16 24 280 16 24 280 24 40 280; 880 72 72 880 72 96 880 72 72 880
        72 72 880 48 72 880 168 96 880; 2016 360 280 2016 320 360 2016 480 440 2016""",
    "m2006": """40; 120 16 16 120 24 24 120 16 24 120; 440 48 72 440 32 48 440 40 56 440 64 72 440; 1024 168 168 1024 96 144
        1024 120 168 1024 120 144 1024 120 144 1024 256 256 1024; 2016 512 512 2016 480 480 2016 512 512 2016""",
    "m3005": """48; 192 16 16 192 56 56 192 24 40 192; 512 88 112 512 64 104 512 104 112 512 80 128 512; 1024 240 216 1024 144
        216 1024 192 192 1024 144 240 1024 240 256 1024 256 256 1024; 2016 512 512 2016 480 512 2016 512 512 2016""",
}


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split()]


def resnet_order(counts: Iterable[int], blocks: Iterable[int] = (3, 4, 6, 3)) -> list[int]:
    """A residual network's list as published (of every stage the shortcut, then three numbers per block) in the order of our
    convolutions: a block's shortcut behind its three.
    """
    counts = list(counts)
    ordered = [counts.pop(0)]
    for number in blocks:
        shortcut, *inner = (counts.pop(0) for _ in range(1 + 3 * number))
        ordered += [*inner[:3], shortcut, *inner[3:]]
    return ordered


MOBILENET_V1 = {name: _numbers(text) for name, text in _V1.items()}
MOBILENET_V2 = {name: _numbers(text) for name, text in _V2.items()}
MNASNET = {name: _numbers(text) for name, text in _MNASNET.items()}
RESNET50 = {name: resnet_order(_numbers(text.replace(";", " "))) for name, text in _RESNET50.items()}
