"""Integer kernels that several signatures have in common, stored once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tfres.deploy.litert.norms import SMALLEST_QUANTIZED

if TYPE_CHECKING:
    from collections.abc import Iterator

_PREFIX = 4096  # codes that are compared first
_ALIKE = 1  # largest difference of codes that are taken for equal: rounding of ties


def share_kernels(content: bytes) -> bytes:
    """The file with one buffer for int8 kernels of one shape whose codes differ by 1 at most.

    The codes of a kernel times a positive factor per channel are equal but for ties of rounding; the factors go into the
    scales, which every tensor keeps for itself. The converter takes the codes for different ones.

    Args:
        content: of a `.tflite` file without anything behind the model.
    """
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    known: dict[tuple[int, ...], dict[int, np.ndarray]] = {}
    moved = {}
    for tensor in _constants(model):
        if tensor.buffer in moved:
            tensor.buffer = moved[tensor.buffer]
            continue
        codes = np.asarray(model.buffers[tensor.buffer].data, np.uint8).view(np.int8)
        kernels = known.setdefault(tuple(tensor.shape), {})
        same = next((number for number, other in kernels.items() if _alike(codes, other)), None)
        if same is None:
            kernels[tensor.buffer] = codes
        moved[tensor.buffer] = tensor.buffer = tensor.buffer if same is None else same
    for number, kept in moved.items():
        if number != kept:
            model.buffers[number].data = None
    builder = flatbuffers.Builder(len(content))
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def _constants(model: schema.ModelT) -> Iterator[schema.TensorT]:
    """The int8 tensors with a content of their own, but small ones: they may be alike by chance."""
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            data = model.buffers[tensor.buffer].data
            if tensor.type == schema.TensorType.INT8 and data is not None and len(data) >= SMALLEST_QUANTIZED:
                yield tensor


def _alike(codes: np.ndarray, other: np.ndarray) -> bool:
    """Whether two arrays of codes are equal but for ties."""
    for part in (slice(_PREFIX), slice(_PREFIX, None)):
        if np.abs(codes[part].astype(np.int16) - other[part]).max(initial=0) > _ALIKE:
            return False
    return True
