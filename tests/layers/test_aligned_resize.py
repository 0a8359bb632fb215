"""Bilinear resizing with aligned corners, against its definition."""

import numpy as np
import pytest
import tensorflow as tf

from tfres.layers.aligned_resize import aligned_resize


def _defined(x, size):
    """Pixel i of an axis lies at i (in - 1) / (out - 1) of the input."""
    for axis, after in enumerate(size, 1):
        before = x.shape[axis]
        places = np.arange(after) * (before - 1) / max(after - 1, 1)
        low = np.floor(places + 1e-9).astype(int)
        share = (places - low).reshape([-1 if a == axis else 1 for a in range(4)])
        x = (1 - share) * x.take(low, axis) + share * x.take(np.minimum(low + 1, before - 1), axis)
    return x


@pytest.mark.parametrize("size", [(16, 16), (15, 9), (7, 7), (4, 12), (2, 3), (1, 1), (1, 5)])
@pytest.mark.parametrize("kind", ["float32", "float64"])
def test_definition(rng, size, kind):
    x = rng.standard_normal((2, 8, 8, 3))
    ours = aligned_resize(tf.constant(x, kind), size)
    assert ours.dtype == kind and ours.shape == (2, *size, 3)
    np.testing.assert_allclose(ours, _defined(x, size), rtol=0, atol=1e-12 if kind == "float64" else 2e-6)


def test_same_size_is_the_same_tensor():
    x = tf.zeros([1, 4, 6, 2])
    assert aligned_resize(x, (4, 6)) is x


def test_one_pixel_fills_the_map(rng):
    x = rng.standard_normal((2, 1, 1, 3))
    for kind in ("float32", "float64"):
        np.testing.assert_array_equal(
            aligned_resize(tf.constant(x, kind), (3, 5)), np.broadcast_to(x.astype(kind), (2, 3, 5, 3))
        )


def test_corners_stay(rng):
    x = tf.constant(rng.standard_normal((1, 5, 5, 2)), tf.float32)
    np.testing.assert_allclose(aligned_resize(x, (11, 8))[:, ::10, ::7], x[:, ::4, ::4], atol=1e-6)


def test_sixteen_bits_are_computed_in_float32(rng):
    x = tf.constant(rng.standard_normal((1, 4, 4, 2)), tf.bfloat16)
    found = aligned_resize(x, (7, 7))
    assert found.dtype == tf.bfloat16
    np.testing.assert_array_equal(found, tf.cast(aligned_resize(tf.cast(x, tf.float32), (7, 7)), tf.bfloat16))


def test_gradient_is_the_transpose(rng):
    """In both kinds; also in a graph that does not know the number of pictures."""
    x, above = rng.standard_normal((2, 4, 4, 1)), rng.standard_normal((2, 9, 6, 1))

    @tf.function(input_signature=[tf.TensorSpec([None, 4, 4, 1]), tf.TensorSpec([None, 9, 6, 1])])
    def traced(x, above):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = aligned_resize(x, (9, 6))
        return tape.gradient(y, x, above)

    x64 = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(x64)
        y = aligned_resize(x64, (9, 6))
    gradient = tape.gradient(y, x64, tf.constant(above))
    assert np.sum(gradient * x) == pytest.approx(np.sum(y * above))
    np.testing.assert_allclose(traced(x.astype("f"), above.astype("f")), gradient, atol=1e-5)
