"""RS-Nets: one set of weights, private batch norms per resolution."""

from tfres.models.rsnet.network import RSNet
from tfres.models.rsnet.presets import PRESETS

__all__ = ["PRESETS", "RSNet"]
