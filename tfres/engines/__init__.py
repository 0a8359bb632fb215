"""Who runs the steps: `keras_engine` and `tensorpack_engine`, over the same model, objective and data."""

from tfres.engines.checkpoints import latest_checkpoint, read_checkpoint
from tfres.engines.training import train

__all__ = ["latest_checkpoint", "read_checkpoint", "train"]
