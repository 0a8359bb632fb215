"""Sources of pictures and the one pipeline that all engines eat.

A source has `classes` (names), `mean` and `std` (RGB in [0, 1]) and two splits, `train` and `validation`. A split has
`size` and `examples(indices, ...)`; see `tfres.data.sources`.
"""

from tfres.data.errors import DataError
from tfres.data.pipeline import training_batches, validation_batches
from tfres.data.sources import open_source

__all__ = ["DataError", "open_source", "training_batches", "validation_batches"]
