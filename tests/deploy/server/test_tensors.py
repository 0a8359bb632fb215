"""Values of requests as arrays: every type, and what does not fit."""

import numpy as np
import pytest
import tensorflow as tf

from tfres.deploy.server.documents import inputs_of, read_document, write_document
from tfres.deploy.server.limits import Refused
from tfres.deploy.server.tensors import Spec, from_proto, from_values

FLOATS, WHOLE, BYTES = (Spec("x", kind, (None,)) for kind in (tf.float32, tf.int64, tf.string))
MUCH = 2**20


@pytest.mark.parametrize(
    ("spec", "values"),
    [
        (FLOATS, [0.1, np.inf, -0.0]),
        (WHOLE, [2**62, -(2**63)]),
        (BYTES, [b"a\0", b"", b"\xff\0\0"]),
        (Spec("x", tf.float16, (None, 2)), [[1.5, 2.0]]),
        (Spec("x", tf.bool, (2,)), [True, False]),
        (Spec("x", tf.string, ()), b"margin"),
    ],
)
def test_values_arrive_as_they_are(spec, values):
    kind = object if spec.dtype == tf.string else spec.dtype.as_numpy_dtype
    expected = np.array(values, kind)
    for found in (from_proto(tf.make_tensor_proto(expected), spec, MUCH), from_values(values, spec, MUCH)):
        assert found.dtype == expected.dtype and found.shape == expected.shape
        assert found.tolist() == expected.tolist()


@pytest.mark.parametrize(
    ("spec", "values", "text"),
    [
        (FLOATS, [1e39], "a number that it cannot hold"),
        (FLOATS, [True], "Received: bool"),
        (FLOATS, ["1"], "texts or nothing"),
        (FLOATS, [1.0] * (MUCH // 4 + 1), "at most 1048576 bytes"),
        (WHOLE, [2**63], "values from 9223372036854775808"),
        (WHOLE, [1.0], "Received: float64"),
        (WHOLE, 3, "Received: shape ()"),
        (BYTES, [3], "what is no number"),
        (BYTES, [[b"x"]], "what is no number"),
    ],
)
def test_values_that_do_not_fit(spec, values, text):
    with pytest.raises(Refused, match=".") as caught:
        from_values(values, spec, MUCH)
    assert caught.value.code == "INVALID_ARGUMENT" and text in caught.value.message


def test_documents_of_several_inputs():
    specs = {"a": Spec("a", tf.float32, (None,)), "b": Spec("b", tf.string, (None,))}
    rows = read_document(b'{"instances": [{"a": 1, "b": "x"}, {"a": Infinity, "b": {"b64": "AA=="}}]}')
    columns = read_document(b'{"inputs": {"a": [1, Infinity], "b": ["x", {"b64": "AA=="}]}}')
    for document in (rows, columns):
        found = inputs_of(document, specs, MUCH)
        assert found["a"].tolist() == [1, np.inf] and found["b"].tolist() == [b"x", b"\0"]
    outputs = {"y": np.float32([[1], [2]]), "z": np.array([b"\0", b"x"], object)}
    assert write_document(rows, outputs) == (
        b'{"predictions": [{"y": [1.0], "z": {"b64": "AA=="}}, {"y": [2.0], "z": {"b64": "eA=="}}]}'
    )
    assert write_document(columns, outputs) == b'{"outputs": {"y": [[1.0], [2.0]], "z": [{"b64": "AA=="}, {"b64": "eA=="}]}}'
    assert write_document(columns, {"y": np.float32(1)}) == b'{"outputs": 1.0}'
    for document, wrong in ((rows, {"y": np.float32(1)}), (rows, {**outputs, "w": np.float32([1])})):
        with pytest.raises(Refused, match="a row each; give `inputs`"):
            write_document(document, wrong)
    with pytest.raises(Refused, match="Inputs must be named: a, b"):
        inputs_of(read_document(b'{"inputs": [1]}'), specs, MUCH)


def test_a_long_text_among_numbers_takes_no_room():
    """Each place of an array of texts would be of the longest one's size."""
    with pytest.raises(Refused, match="texts or nothing"):
        from_values([["x" * 10**6, *[1.0] * 10**5]], Spec("x", tf.float32, (None, None)), MUCH)
