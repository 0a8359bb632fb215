"""One artefact per network, with its query table inside, and the model that picks its setting by a budget."""

from tfres.deploy.adaptive import AdaptiveModel, Answer

__all__ = ["AdaptiveModel", "Answer", "export_savedmodel"]


def __getattr__(name):
    """Serving needs no more than TensorFlow; what writes exports is imported when it is used."""
    if name != "export_savedmodel":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from tfres.deploy.savedmodel import export_savedmodel

    return export_savedmodel
