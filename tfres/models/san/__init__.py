"""SAN: kernels generated from the resolution, private batch norms."""

from tfres.models.san.network import SAN
from tfres.models.san.presets import PRESETS

__all__ = ["PRESETS", "SAN"]
