"""One artefact per network, with its query table inside, and the model that picks its setting by a budget."""

from tfres.deploy.runtime import AdaptiveModel, Answer
from tfres.deploy.savedmodel import export_savedmodel

__all__ = ["AdaptiveModel", "Answer", "export_savedmodel"]
