"""SAN: kernels generated from the resolution, private batch norms. Loaded on first use."""

from tfres.lazy import lazily

_PLACES = {"PRESETS": "tfres.models.san.presets", "SAN": "tfres.models.san.network"}
__all__ = list(_PLACES)
__getattr__ = lazily(__name__, _PLACES)
