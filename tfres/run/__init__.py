"""The folder of a run: recipe, facts, network, checkpoints, metrics, table. Importing it does not load TensorFlow."""

from tfres.run.folder import Run
from tfres.run.history import History

__all__ = ["History", "Run"]
