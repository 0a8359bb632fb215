"""Layers shared by the families."""

from tfres.layers.initializers import FanOutNormal
from tfres.layers.meta_conv import MetaConv2D, MetaDepthwiseConv2D
from tfres.layers.multi_resolution_crop import MultiResolutionCrop
from tfres.layers.precision import dtype_policy
from tfres.layers.slimmable import PackedBatchNorm
from tfres.layers.switchable_batch_norm import StackedBatchNorm, SwitchableBatchNorm

__all__ = [
    "FanOutNormal",
    "MetaConv2D",
    "MetaDepthwiseConv2D",
    "MultiResolutionCrop",
    "PackedBatchNorm",
    "StackedBatchNorm",
    "SwitchableBatchNorm",
    "dtype_policy",
]
