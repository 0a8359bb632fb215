"""Options, sources and batches in few words."""

import itertools

import numpy as np

from tfres.tasks.classification.options import ClassificationData
from tfres.tasks.classification.task import Classification


def options(source, **fields):
    """Resolved options of a small pipeline."""
    crop = "pad" if source == "fake" else "area"
    fixed = {
        "source": str(source), "batch_size": 4, "side": 16, "fake_size": 18, "crop": crop, "rules": "torchvision",
        "resize": "bilinear", "flip": "shared", "channel_order": "rgb", "mean": [0.0] * 3, "std": [1.0] * 3,
    }  # fmt: skip
    return ClassificationData(**{**fixed, **fields})


def opened(source, classes=None, **fields):
    """`(task, source)`."""
    data = options(source, **fields)
    found = Classification.open(data, classes)
    return Classification(data.resolved(found), found.classes), found


def take(task, source, count, first_step=0, seed=0, sizes=(16, 12), **rest):
    """The first training batches as dicts of arrays."""
    batches = task.training_batches(source, sizes, seed, first_step, **rest)
    return [{name: np.asarray(part) for name, part in batch.items()} for batch in itertools.islice(batches, count)]
