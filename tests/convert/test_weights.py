"""Assignment by name: all or nothing."""

import numpy as np
import pytest
import tensorflow as tf

from tfres.models.weights import assign_exactly, variable_name, weights_by_name


@pytest.fixture
def pairs():
    return {"a": tf.Variable([1.0, 2.0], name="scope/a"), "b": tf.Variable(np.zeros((2, 2), "d")), "n": tf.Variable(3)}


def _values(pairs):
    return {name: variable.numpy().tolist() for name, variable in pairs.items()}


def test_numbers_of_other_kinds(pairs):
    brain = tf.constant([1.5, 2.5], tf.bfloat16).numpy()
    assign_exactly(pairs, {"a": brain, "b": [[1, 2], [3, 4]], "n": np.int64(5)})
    assert _values(pairs) == {"a": [1.5, 2.5], "b": [[1, 2], [3, 4]], "n": 5}
    assign_exactly(pairs, {"a": np.array([1, 2], np.float16), "n": np.int8(1), "x/Momentum": 0}, {"b"}, lambda n: "/" in n)
    assert _values(pairs) == {"a": [1, 2], "b": [[1, 2], [3, 4]], "n": 1}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"a": [np.nan, 1]}, "cannot be used. Tensors that do not hold finite numbers: a"),
        ({"a": [np.inf, 1]}, "finite numbers: a"),
        ({"a": [1e300, 1]}, "finite numbers: a"),
        ({"a": ["x", "y"]}, "finite numbers: a"),
        ({"a": [1j, 1]}, "finite numbers: a"),
        ({"a": [None, 1]}, "finite numbers: a"),
        ({"a": [1, 2, 3]}, r"another network. Shapes: a is \(3,\), must be \(2,\)"),
        ({"c": 1}, "another network. Tensors missing: none; left over: c"),
        ({3: 1}, "left over: 3"),
        ({f"t{i:02}": 1 for i in range(20)}, "t07 and 12 more"),
    ],
)
def test_what_does_not_fit_changes_nothing(pairs, change, told):
    before = _values(pairs)
    with pytest.raises(ValueError, match=told):
        assign_exactly(pairs, {"n": 9, "b": np.ones((2, 2)), "a": [5, 5], **change})
    assert _values(pairs) == before


def test_names():
    layer = tf.keras.layers.Dense(2, name="linear")
    layer.build((None, 3))
    assert set(weights_by_name(layer)) == {"kernel", "bias"} or "linear/kernel" in weights_by_name(layer)
    assert variable_name(tf.Variable(1.0, name="x/y")) == "x/y"
