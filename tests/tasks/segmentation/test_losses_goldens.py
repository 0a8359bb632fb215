"""Losses against the reference (`scalenas_losses`)."""

import numpy as np
import pytest
import tensorflow as tf

from tests.reference import generator, relative
from tfres.tasks.segmentation.losses import (
    cross_entropy,
    hard_cross_entropy,
    kl_divergence,
    soft_cross_entropy,
    squared_difference,
)

BOUND = 1e-4


def inputs(boost):
    coarse = generator(2027).integers(0, 19, (2, 16, 32))
    logits = 2.0 * generator(2026).standard_normal((2, 19, 16, 32)) + boost * np.eye(19)[coarse].transpose(0, 3, 1, 2)
    labels = coarse.repeat(4, 1).repeat(4, 2)
    u = generator(2028).random((2, 64, 128))
    labels = np.where(u < 0.1, generator(2034).integers(0, 19, (2, 64, 128)), labels)
    labels = np.where(u > 0.85, 255, labels)
    return tf.constant(logits.transpose(0, 2, 3, 1), tf.float32), tf.constant(labels, tf.uint8)


def losses(golden, *kinds):
    content = golden("scalenas_losses")
    weights = content["settings"]["class_weights"]
    return [(one, weights if one.get("class_weights") else None) for one in content["outputs"] if one["kind"] in kinds]


@pytest.mark.parametrize("traced", [False, True])
def test_cross_entropies_equal_the_references(golden, traced):
    for one, weights in losses(golden, "ohem", "ce"):
        logits, labels = inputs(one["boost"])

        def value(logits, labels, one=one, weights=weights):
            if one["kind"] == "ce":
                return cross_entropy(labels, logits, class_weights=weights)
            return hard_cross_entropy(labels, logits, one["thres"], one["min_kept"], class_weights=weights)

        with tf.GradientTape() as tape:
            tape.watch(logits)
            loss = (tf.function(value) if traced else value)(logits, labels)
        gradient = tape.gradient(loss, logits).numpy()
        assert relative(loss, one["loss"]) < BOUND
        assert relative(np.linalg.norm(gradient), one["grad_norm"]) < BOUND
        assert relative(np.abs(gradient).sum(), one["grad_sum_abs"]) < BOUND


def test_distillation_equals_the_references(golden):
    ((one, _),) = losses(golden, "kd")
    student, teacher = (
        tf.constant(generator(one[f"{who}_seed"]).standard_normal(one["shape"]).astype("f").transpose(0, 2, 3, 1))
        for who in ("student", "teacher")
    )
    assert relative(squared_difference(teacher, student), one["loss"]) < BOUND


def test_no_pixel_that_counts_gives_0():
    labels, logits = tf.fill([1, 4, 4], 255), tf.ones([1, 2, 2, 3])
    assert float(cross_entropy(labels, logits)) == float(hard_cross_entropy(labels, logits, 0.9, 5)) == 0


def test_divergences():
    """Of itself 0, a teacher of another size is resized, none of the gradient reaches it."""
    teacher, student = (tf.constant(generator(seed).standard_normal((1, 4, 6, 3)), tf.float32) for seed in (1, 2))
    p, q = (tf.nn.softmax(x / 2.0).numpy() for x in (teacher, student))
    expected = (p * np.log(p / q)).sum(-1).mean()
    assert abs(float(kl_divergence(teacher, student, 2.0)) - expected) < 1e-6
    assert abs(float(soft_cross_entropy(teacher, student, 2.0)) + (p * np.log(q)).sum(-1).mean()) < 1e-6
    for divergence in (squared_difference, kl_divergence):
        assert abs(float(divergence(teacher, teacher))) < 1e-6
        with tf.GradientTape() as tape:
            tape.watch([teacher, student])
            value = divergence(tf.repeat(tf.repeat(teacher, 2, 1), 2, 2), student)
        of_teacher, of_student = tape.gradient(value, [teacher, student])
        assert of_teacher is None and np.abs(of_student).max() > 0
