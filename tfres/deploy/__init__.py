"""One artefact per network, with its query table inside, and the model that picks its setting by a budget."""

from tfres.lazy import lazily

# On first use: what runs exports does not load what makes them.
_PLACES = {
    "AdaptiveModel": "tfres.deploy.runtime",
    "Answer": "tfres.deploy.runtime",
    "export_litert": "tfres.deploy.litert",
    "export_savedmodel": "tfres.deploy.savedmodel",
}
__all__ = list(_PLACES)
__getattr__ = lazily(__name__, _PLACES)
