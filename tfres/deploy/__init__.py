"""One artefact per network, with its query table inside."""

from tfres.deploy.savedmodel import export_savedmodel

__all__ = ["export_savedmodel"]
