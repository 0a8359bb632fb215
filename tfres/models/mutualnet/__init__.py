"""MutualNet: one set of weights at many widths and resolutions; slimmable networks with switches."""

from tfres.models.mutualnet.network import MutualNet
from tfres.models.mutualnet.presets import PRESETS

__all__ = ["PRESETS", "MutualNet"]
