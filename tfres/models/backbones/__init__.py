"""Skeletons shared by the families: what is connected to what, not what a layer computes."""

from tfres.models.backbones.mobilenet_v1 import MobileNetV1
from tfres.models.backbones.mobilenet_v2 import MNasNet, MobileNetV2
from tfres.models.backbones.parts import Backbone, Parts
from tfres.models.backbones.resnet import ResNet
from tfres.models.backbones.vgg_small import VGGSmall
from tfres.models.backbones.wide_resnet import WideResNet

__all__ = ["Backbone", "MNasNet", "MobileNetV1", "MobileNetV2", "Parts", "ResNet", "VGGSmall", "WideResNet"]
