"""Losses agree with the reference."""

import numpy as np
import tensorflow as tf

from tests.reference import generator
from tfres.tasks.pose import losses


def nhwc(array):
    return np.float32(array).transpose(0, 2, 3, 1)


def test_heatmap_losses(golden):
    case = next(case for case in golden("scalenas_losses")["outputs"] if case["kind"] == "joints_mse")
    output = nhwc(generator(2031).standard_normal((3, 17, 16, 12)))
    target = nhwc(generator(2032).random((3, 17, 16, 12)))
    weights = np.float32(generator(2033).random((3, 17, 1)) < 0.7)[..., 0]
    assert weights.sum() == case["weights_on"]
    for key, found in (
        ("with_target_weight", losses.heatmap_loss(output, target, weights)),
        ("without_target_weight", losses.heatmap_loss(output, target)),
        ("ohkm_top8_with_weight", losses.heatmap_loss(output, target, weights, 8)),
        ("plain_mse", losses.squared_distance(target, output)),
    ):
        assert abs(float(found) / case[key] - 1) < 1e-5, key


def test_distillation(golden):
    case = next(case for case in golden("scalenas_losses")["outputs"] if case["kind"] == "kd")
    teacher, student = (
        generator(case[f"{who}_seed"]).standard_normal(case["shape"]).astype(np.float32) for who in ("teacher", "student")
    )
    assert abs(float(losses.squared_distance(teacher, student)) / case["loss"] - 1) < 1e-5


def test_no_gradient_reaches_the_teacher():
    teacher, student = tf.Variable([1.0, 3.0]), tf.Variable([2.0, 5.0])
    with tf.GradientTape() as tape:
        distance = losses.squared_distance(teacher, student)
    gradients = tape.gradient(distance, [teacher, student])
    assert gradients[0] is None
    np.testing.assert_allclose(gradients[1], [1.0, 2.0])
