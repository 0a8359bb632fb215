"""An example server of an export: TensorFlow Serving's protocol over gRPC and REST, for trying out."""

from tfres.lazy import lazily

_PLACES = {"Limits": "tfres.deploy.server.limits", "Server": "tfres.deploy.server.running"}
__all__ = list(_PLACES)
__getattr__ = lazily(__name__, _PLACES)
