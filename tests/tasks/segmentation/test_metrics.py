"""Overlaps against the reference (`scalenas_miou`) and by hand."""

import numpy as np
import pytest
import tensorflow as tf

from tests.reference import generator
from tfres.errors import DataError
from tfres.tasks.segmentation.metrics import NonFiniteOutputs, Overlap


def whole(labels):
    """Targets of which everything counts."""
    labels = np.asarray(labels, np.uint8)
    return {"labels": tf.constant(labels), "sides": tf.constant([labels.shape[1:]] * len(labels))}


def test_overlaps_equal_the_references(golden):
    ((one,), names) = golden("scalenas_miou")["outputs"], [f"class{number}" for number in range(19)]
    coarse = generator(2027).integers(0, 19, (2, 16, 32))
    coarse[coarse == 14] = 0
    labels = np.where(generator(2028).random((2, 64, 128)) < 0.1, 255, coarse.repeat(4, 1).repeat(4, 2))
    logits = generator(2026).standard_normal((2, 19, 16, 32)) + 2 * np.eye(19)[coarse].transpose(0, 3, 1, 2)
    logits[:, 14] -= 20
    metrics = Overlap(names)
    metrics.update(logits.astype("f").transpose(0, 2, 3, 1), whole(labels))
    assert (metrics.confusion == one["confusion"]).all()
    result = metrics.result()
    assert abs(result["miou"] - one["mean_iou"]) < 1e-6 and abs(result["pixels"] - one["pixel_acc"]) < 1e-6
    assert result["iou"]["class14"] is None and abs(result["miou_present"] - one["mean_iou"] * 19 / 18) < 1e-6
    np.testing.assert_allclose([value or 0 for value in result["iou"].values()], one["iou"], atol=1e-6)


def test_what_is_padded_does_not_count():
    """Pictures of two sizes in a batch give what they give one by one."""
    rng, logits = generator(0), generator(1).standard_normal((2, 3, 4, 5)).astype("f")
    labels, sides = rng.integers(0, 5, (2, 6, 8)).astype(np.uint8), [(6, 8), (3, 5)]
    together, apart = Overlap("abcde"), Overlap("abcde")
    together.update(logits, {"labels": labels, "sides": tf.constant(sides)})
    for one, label, (height, width) in zip(logits, labels, sides, strict=True):
        apart.update(one[None], whole(label[None, :height, :width]))
    assert (together.confusion == apart.confusion).all() and together.confusion.sum() == 6 * 8 + 3 * 5


def test_classes_without_a_name_are_never_right():
    metrics = Overlap(["a", "b"], outputs=3)
    metrics.update(np.float32([[[[0, 0, 9], [9, 0, 0]]]]), whole([[[0, 0]]]))
    assert metrics.result()["iou"] == {"a": 0.5, "b": None}


def test_failures():
    metrics = Overlap(["a", "b"])
    metrics.update(np.zeros((1, 1, 1, 2), "f"), whole([[[255]]]))
    with pytest.raises(DataError, match="1 pictures without"):
        metrics.result()
    metrics.update(np.full((1, 1, 1, 2), np.nan, "f"), whole([[[0]]]))
    with pytest.raises(NonFiniteOutputs, match="1 of 2 pictures"):
        metrics.result()
