"""Skeletons shared by the families: what is connected to what, not what a layer computes."""

from tfres.models.backbones.mobilenet_v2 import MobileNetV2
from tfres.models.backbones.parts import Parts
from tfres.models.backbones.resnet import ResNet
from tfres.models.backbones.vgg_small import VGGSmall

__all__ = ["MobileNetV2", "Parts", "ResNet", "VGGSmall"]
