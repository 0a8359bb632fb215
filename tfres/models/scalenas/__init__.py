"""ScaleNAS: a multi-scale supernet whose sub-networks are masks. Loaded on first use."""

from tfres.lazy import lazily

_PLACES = {
    "Mask": "tfres.models.scalenas.masks",
    "PRESETS": "tfres.models.scalenas.presets",
    "ScaleNAS": "tfres.models.scalenas.network",
}
__all__ = list(_PLACES)
__getattr__ = lazily(__name__, _PLACES)
