"""Top-1 and top-5 accuracy per setting."""

import numpy as np
import tensorflow as tf

from tfres.data.faults import explained
from tfres.data.pipeline import validation_batches
from tfres.objectives.ensemble_distillation import ensemble


def evaluate(model, crop, source, recipe, points=None, with_ensemble=False):
    """Accuracy on the validation split.

    Args:
        model: built.
        crop: `MultiResolutionCrop`.
        source: `Source`.
        recipe: resolved `DataRecipe`.
        points: name -> `(setting, resolution)`; None for every setting at its own resolution.
        with_ensemble: also the ensemble of the trained settings, weighted by the model's alpha (they must be points).

    Returns:
        dict: name of the point (or "ensemble") -> `{"top1": share, "top5": share}`.
    """
    points = points or {str(setting): (setting, setting.resolution) for setting in model.settings}

    resolutions = sorted({resolution for _, resolution in points.values()}, reverse=True)

    @tf.function(reduce_retracing=True)
    def hits(images, labels):
        logits = {
            name: model(crop.at(images[resolution], resolution), setting=setting, training=False)
            for name, (setting, resolution) in points.items()
        }
        if with_ensemble:
            logits["ensemble"] = ensemble([logits[str(setting)] for setting in model.trained_settings], model.alpha)
        return {name: count_hits(labels, z) for name, z in logits.items()}

    totals, seen = {}, 0
    with explained(source):
        for images, labels in validation_batches(source, recipe, resolutions):
            seen += len(labels)
            for name, value in hits(images, labels).items():
                totals[name] = totals.get(name, 0) + value.numpy().astype(np.int64)
    return {name: dict(zip(("top1", "top5"), (value / seen).tolist(), strict=True)) for name, value in totals.items()}


def count_hits(labels, logits):
    """Pictures whose label is the best, and among the five best classes; int32 `(2,)`."""
    return tf.stack(
        [tf.math.count_nonzero(tf.math.in_top_k(labels, tf.cast(logits, tf.float32), k), dtype=tf.int32) for k in (1, 5)]
    )


def metric_names(accuracies):
    """Flat names for logs: `validation_top1_r32`."""
    return {f"validation_{k}_{name}": value for name, both in accuracies.items() for k, value in both.items()}
