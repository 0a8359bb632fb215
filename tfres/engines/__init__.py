"""Who runs the steps: `keras_engine` and `tensorpack_engine`, over the same network, objective and data."""

from tfres.engines.plan import train

__all__ = ["train"]
