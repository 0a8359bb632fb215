"""RS-Nets: one set of weights, private batch norms per resolution. Loaded on first use."""

from tfres.lazy import lazily

_PLACES = {"PRESETS": "tfres.models.rsnet.presets", "RSNet": "tfres.models.rsnet.network"}
__all__ = list(_PLACES)
__getattr__ = lazily(__name__, _PLACES)
