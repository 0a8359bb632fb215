"""A classification task for tests that have no pictures."""

from tfres.tasks.classification.options import ClassificationData
from tfres.tasks.classification.task import Classification


def classification(classes, **options):
    """The task on random pictures, bilinear, everything else as given."""
    given = {"source": "fake", "batch_size": 8, "fake_size": 32, "side": 16, "crop": "none", "rules": "torchvision"}
    given |= {
        "resize": "bilinear",
        "flip": "none",
        "mean": [0.0] * 3,
        "std": [1.0] * 3,
        "channel_order": "rgb",
        "lighting": 0.0,
    }
    return Classification(ClassificationData(**{**given, **options}), [str(i) for i in range(classes)])
