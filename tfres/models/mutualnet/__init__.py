"""MutualNet: one set of weights at many widths and resolutions; slimmable networks with switches. Loaded on first use."""

from tfres.lazy import lazily

_PLACES = {"PRESETS": "tfres.models.mutualnet.presets", "MutualNet": "tfres.models.mutualnet.network"}
__all__ = list(_PLACES)
__getattr__ = lazily(__name__, _PLACES)
