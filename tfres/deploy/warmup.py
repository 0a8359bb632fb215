"""Warm-up records of an export: what TensorFlow Serving runs before a version gets its first request."""

from __future__ import annotations

from typing import TYPE_CHECKING

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from tfres.deploy.runtime.files import GRAPH
from tfres.errors import first_line

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Callable

    from tensorflow.core.framework import tensor_pb2
    from tensorflow.core.protobuf import meta_graph_pb2

Size = tuple[int, int]
_GREY = 127


def write_warmup(folder: pathlib.Path, place: pathlib.Path, name: str, size_of: Callable[[str], Size]) -> None:
    """Write a TFRecord file with one `PredictionLog` per signature of a SavedModel: one grey picture each.

    Inputs that are no pictures are what the signature takes for what a request leaves out, else one row of zeros (a stage's
    state). The few fields of TensorFlow Serving's messages are encoded here, so that its package is not needed.

    Args:
        folder: of the SavedModel.
        place: of the file.
        name: of the model.
        size_of: name of a signature -> height and width of its picture.

    Raises:
        OSError: it cannot be written.
    """
    known = saved_model_pb2.SavedModel.FromString((folder / GRAPH).read_bytes())
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        with tf.io.TFRecordWriter(str(place)) as records:
            for signature, definition in sorted(known.meta_graphs[0].signature_def.items()):
                if definition.inputs:  # the others are the loader's own
                    records.write(_prediction_log(name, signature, _inputs(definition, size_of(signature))))
    except tf.errors.OpError as error:
        raise OSError(first_line(error)) from None


def _inputs(definition: meta_graph_pb2.SignatureDef, size: Size) -> dict[str, tensor_pb2.TensorProto]:
    return {
        name: definition.defaults[name] if name in definition.defaults else _input(info, size)
        for name, info in definition.inputs.items()
    }


def _input(info: meta_graph_pb2.TensorInfo, size: Size) -> tensor_pb2.TensorProto:
    kind, sides = tf.as_dtype(info.dtype), [dim.size for dim in info.tensor_shape.dim]
    if kind == tf.string:
        return tf.make_tensor_proto([tf.io.encode_jpeg(tf.fill([*size, 3], tf.constant(_GREY, tf.uint8))).numpy()])
    shape = [1, *size, 3] if kind == tf.uint8 else [max(side, 1) for side in sides]
    value = tf.make_tensor_proto(_GREY if kind == tf.uint8 else 0, kind)
    value.tensor_shape.CopyFrom(tf.TensorShape(shape).as_proto())  # one value stands for all
    return value


def _prediction_log(name: str, signature: str, inputs: dict[str, tensor_pb2.TensorProto]) -> bytes:
    """`PredictionLog(predict_log=PredictLog(request=PredictRequest(model_spec=..., inputs=...)))` of TensorFlow Serving."""
    model_spec = _field(1, name.encode()) + _field(3, signature.encode())
    entries = (_field(1, key.encode()) + _field(2, inputs[key].SerializeToString()) for key in sorted(inputs))
    request = _field(1, model_spec) + b"".join(_field(2, entry) for entry in entries)
    return _field(6, _field(1, request))


def _field(number: int, content: bytes) -> bytes:
    """A field of protobuf's wire type 2: a message, text or bytes."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    low = bytearray()
    while value > 127:
        low.append(value & 127 | 128)
        value >>= 7
    return bytes([*low, value])
