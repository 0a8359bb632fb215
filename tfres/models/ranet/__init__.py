"""RANet: exits over resolution and depth. Loaded on first use."""

from tfres.lazy import lazily

_PLACES = {"PRESETS": "tfres.models.ranet.presets", "RANet": "tfres.models.ranet.network"}
__all__ = list(_PLACES)
__getattr__ = lazily(__name__, _PLACES)
