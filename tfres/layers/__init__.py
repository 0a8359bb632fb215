"""Layers shared by the families."""

from tfres.layers.initializers import FanOutNormal
from tfres.layers.meta_conv import MetaConv2D, MetaDepthwiseConv2D
from tfres.layers.multi_resolution_crop import MultiResolutionCrop
from tfres.layers.precision import dtype_policy
from tfres.layers.serving import assign, served_form
from tfres.layers.shared_batch_norm import SharedBatchNorm
from tfres.layers.slim_channels import SlimChannels, slim_channels
from tfres.layers.slimmable import SlimmableConv2D, SlimmableDense, SlimmableDepthwiseConv2D
from tfres.layers.slimmable_batch_norm import PackedBatchNorm, SlimmableBatchNorm
from tfres.layers.switchable_batch_norm import StackedBatchNorm, SwitchableBatchNorm

__all__ = [
    "FanOutNormal",
    "MetaConv2D",
    "MetaDepthwiseConv2D",
    "MultiResolutionCrop",
    "PackedBatchNorm",
    "SharedBatchNorm",
    "SlimChannels",
    "SlimmableBatchNorm",
    "SlimmableConv2D",
    "SlimmableDense",
    "SlimmableDepthwiseConv2D",
    "StackedBatchNorm",
    "SwitchableBatchNorm",
    "assign",
    "dtype_policy",
    "served_form",
    "slim_channels",
]
