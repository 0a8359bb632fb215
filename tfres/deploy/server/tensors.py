"""Tensors of requests, checked against the signature before anything of their size is made."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

from tfres.deploy.server.limits import invalid, shown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tensorflow.core.framework import tensor_pb2
    from tensorflow.core.protobuf import meta_graph_pb2

Arrays = dict[str, np.ndarray]
# Field of a TensorProto that holds values of a dtype.
_FIELDS = {
    tf.float32: "float_val",
    tf.float64: "double_val",
    tf.int32: "int_val",
    tf.int16: "int_val",
    tf.int8: "int_val",
    tf.uint8: "int_val",
    tf.uint16: "int_val",
    tf.int64: "int64_val",
    tf.bool: "bool_val",
    tf.string: "string_val",
}


@dataclasses.dataclass(frozen=True)
class Spec:
    """What an input takes.

    Args:
        name: of the input.
        dtype: of its values.
        shape: sides, None where any.
    """

    name: str
    dtype: tf.DType
    shape: tuple[int | None, ...]

    @classmethod
    def of(cls, name: str, info: meta_graph_pb2.TensorInfo) -> Spec:
        """From a SavedModel."""
        sides = (dim.size for dim in info.tensor_shape.dim)
        return cls(name, tf.as_dtype(info.dtype), tuple(None if side < 0 else side for side in sides))

    @property
    def rows(self) -> bool:
        """Whether its first side is any."""
        return self.shape[:1] == (None,)

    @property
    def encoded(self) -> bool:
        """Whether it holds a picture of unknown size per row."""
        return self.rows and self.dtype == tf.string

    def __str__(self) -> str:
        sides = ", ".join("any" if side is None else str(side) for side in self.shape)
        return f"`{self.name}` must be {self.dtype.name} ({sides})"

    def check_shape(self, shape: Sequence[int], largest_bytes: int) -> None:
        """Refuse a shape that is none of the signature's, has no element, or too many.

        Raises:
            Refused: INVALID_ARGUMENT.
        """
        fits = len(shape) == len(self.shape) and min(shape, default=1) > 0
        if not fits or any(mine not in (None, side) for mine, side in zip(self.shape, shape, strict=True)):
            raise invalid(f"{self}, no side of them 0. Received: shape {shown(tuple(shape))}.")
        if math.prod(shape) * self.dtype.size > largest_bytes:
            raise invalid(f"{self} of at most {largest_bytes} bytes. Received: shape {shown(tuple(shape))}.")


def from_proto(proto: tensor_pb2.TensorProto, spec: Spec, largest_bytes: int) -> np.ndarray:
    """The values of a TensorProto; fewer values than elements mean that the last one stands for the others, as in TensorFlow.

    Raises:
        Refused: INVALID_ARGUMENT for another dtype or shape, and for values that do not fit them.
    """
    if proto.dtype != spec.dtype.as_datatype_enum:
        raise invalid(f"{spec}. Received: dtype {_dtype_name(proto.dtype)}.")
    if proto.tensor_shape.unknown_rank:
        raise invalid(f"{spec}. Received: unknown rank.")
    shape = tuple(dim.size for dim in proto.tensor_shape.dim)
    spec.check_shape(shape, largest_bytes)
    count, kind = math.prod(shape), spec.dtype.as_numpy_dtype
    if proto.tensor_content and spec.dtype != tf.string:
        if len(proto.tensor_content) != count * spec.dtype.size:
            raise invalid(f"{spec}: {count * spec.dtype.size} bytes. Received: {len(proto.tensor_content)} bytes.")
        return np.frombuffer(proto.tensor_content, kind).reshape(shape)
    if spec.dtype not in _FIELDS:
        raise invalid(f"{spec} as `tensor_content`. Received: none.")
    values = getattr(proto, _FIELDS[spec.dtype])
    if not 0 < len(values) <= count or (spec.dtype == tf.string and len(values) < count):
        raise invalid(f"{spec}: {count} values. Received: {len(values)}.")
    if spec.dtype == tf.string:
        return _texts(values, shape)
    found = np.array(values)
    if found.dtype.kind == "i" and not _in_range(found, kind):
        raise invalid(f"{spec}. Received: values from {found.min()} to {found.max()}.")
    found = found.astype(kind)
    return np.concatenate([found, np.full(count - len(found), found[-1])]).reshape(shape)


def from_values(value: object, spec: Spec, largest_bytes: int) -> np.ndarray:
    """An array from numbers or bytes in nested lists, as JSON has them.

    Raises:
        Refused: see `from_proto`.
    """
    try:
        if spec.dtype == tf.string:
            flat, shape = _flat(value)
            found = _texts(flat, shape)
        else:
            found = np.array(_numbers(value, spec))
    except (ValueError, TypeError, OverflowError, RecursionError):
        raise invalid(f"{spec}. Received: lists of several lengths, or what is no number.") from None
    if spec.dtype != tf.string:
        found = _cast(found, spec)
    spec.check_shape(found.shape, largest_bytes)
    return found


def _numbers(value: object, spec: Spec) -> object:
    """Nested lists of numbers as they are: a text among them would give every place its size."""
    if isinstance(value, list):
        for one in value:
            _numbers(one, spec)
    elif not isinstance(value, (bool, int, float)):
        raise invalid(f"{spec}. Received: texts or nothing.")
    return value


def complete(given: Arrays, specs: Mapping[str, Spec], defaults: Arrays, most: int) -> Arrays:
    """All inputs of a signature: those given, checked against each other, and the defaults of the others.

    Args:
        given: name -> array that `from_proto` or `from_values` made.
        specs: of the signature.
        defaults: of inputs that may be left out.
        most: rows that an input may have.

    Raises:
        Refused: INVALID_ARGUMENT for missing inputs, too many rows, or rows that differ between inputs.
    """
    missing = sorted(specs.keys() - given.keys() - defaults.keys())
    if missing:
        raise invalid(f"Inputs must be {', '.join(sorted(specs))}. Received: no {', '.join(missing)}.")
    counts = {name: len(array) for name, array in given.items() if specs[name].rows}
    if max(counts.values(), default=0) > most:
        raise invalid(f"A request must be of at most {most} rows. Received: {max(counts.values())}.")
    rows = {count for name, count in counts.items() if len(specs[name].shape) > 1}
    if len(rows) > 1:
        raise invalid(f"Inputs must have equally many rows. Received: {shown(counts)}.")
    return {**defaults, **given}


def known_input(name: str, specs: Mapping[str, Spec]) -> Spec:
    """The spec of an input by its name.

    Raises:
        Refused: INVALID_ARGUMENT.
    """
    if name not in specs:
        raise invalid(f"Inputs must be {', '.join(sorted(specs))}. Received: {shown(name)}.")
    return specs[name]


def chosen(outputs: Arrays, names: Sequence[str]) -> Arrays:
    """The outputs that a request asks for, all where it names none."""
    return {name: outputs[name] for name in names or outputs}


def check_outputs(names: Sequence[str], known: Sequence[str]) -> None:
    """Refuse outputs that a signature does not have.

    Raises:
        Refused: INVALID_ARGUMENT.
    """
    wrong = [name for name in names if name not in known]
    if wrong or len({*names}) < len(names):
        raise invalid(f"`output_filter` must be of {', '.join(sorted(known))}, each once. Received: {shown([*names])}.")


def _cast(found: np.ndarray, spec: Spec) -> np.ndarray:
    """Numbers as the dtype of the input, where it can hold them."""
    kind = np.dtype(spec.dtype.as_numpy_dtype)
    allowed = {"f": "fiu", "b": "b"}.get(kind.kind, "iu")
    if found.size and found.dtype.kind not in allowed:
        raise invalid(f"{spec}. Received: {'texts or nothing' if found.dtype.kind in 'OUS' else found.dtype.name}.")
    if found.size and kind.kind in "iu" and not _in_range(found, kind):
        raise invalid(f"{spec}. Received: values from {found.min()} to {found.max()}.")
    with np.errstate(over="ignore"):
        cast = found.astype(kind)
    if kind.kind == "f" and (np.isinf(cast) & np.isfinite(found)).any():
        raise invalid(f"{spec}. Received: a number that it cannot hold.")
    return cast


def _in_range(found: np.ndarray, kind: type | np.dtype) -> bool:
    return np.iinfo(kind).min <= found.min() and found.max() <= np.iinfo(kind).max


def _flat(value: object) -> tuple[list[bytes], tuple[int, ...]]:
    """Bytes of a list, or of one value; a signature has no deeper ones."""
    values = value if isinstance(value, list) else [value]
    if not all(isinstance(one, bytes) for one in values):
        raise TypeError("no bytes")
    return values, (len(values),) if isinstance(value, list) else ()


def _texts(values: Sequence[bytes], shape: tuple[int, ...]) -> np.ndarray:
    """An array of bytes as they are: numpy's own kind cuts zeros at the end."""
    found = np.empty(len(values), object)
    found[:] = [bytes(value) for value in values]
    return found.reshape(shape)


def _dtype_name(number: int) -> str:
    try:
        return tf.as_dtype(number).name
    except TypeError:
        return str(number)
