"""All settings of a network in one LiteRT file, weights once."""

from tfres.lazy import lazily

_PLACES = {"export_litert": "tfres.deploy.litert.export"}
__all__ = list(_PLACES)
__getattr__ = lazily(__name__, _PLACES)
