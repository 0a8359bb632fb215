"""Multiply-adds of a graph: counted, or refused.

The rules, for one call of the graph:

- Convolutions (grouped, depthwise, transposed and 3-D ones too) count output pixels (transposed: input pixels) times kernel
  elements per pixel, padding included.
- Matrix products and Einsum count every product that is summed.
- Element-wise operations, norms, pooling, resizing and changes of shape cost nothing. Pooling and resizing may be written as a
  matrix product; so a product costs nothing where one operand depends neither on the images nor on a variable.
- What does not depend on the images (kernels that are quantized or generated first) is done once and costs nothing.
- Functions that are called count as if they stood in their place. Branches of a condition must cost the same, and a loop
  nothing; else the cost depends on values.
- Whatever else multiplies, or might (other convolutions and products, Fourier transforms, decompositions, recurrent layers,
  Python functions, custom operations), is refused.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import tensorflow as tf

if TYPE_CHECKING:
    from typing import NoReturn

FIXED, VARIABLES, IMAGES = 0, 1, 2  # what a tensor depends on, to be combined by "or"

# The attributes of an operation that name the functions it calls.
CALLS = {
    "PartitionedCall": ("f",),
    "StatefulPartitionedCall": ("f",),
    "If": ("then_branch", "else_branch"),
    "StatelessIf": ("then_branch", "else_branch"),
    "Case": ("branches",),
    "StatelessCase": ("branches",),
    "While": ("cond", "body"),
    "StatelessWhile": ("cond", "body"),
}
_SELECTING = ("If", "StatelessIf", "Case", "StatelessCase")  # the first input selects the branch
# The axes of the kernel that a pixel is multiplied with.
_CONVOLUTIONS = {
    "Conv2D": slice(3),
    "Conv3D": slice(4),
    "DepthwiseConv2dNative": slice(2),
    "Conv2DBackpropInput": slice(3),
    "Conv3DBackpropInputV2": slice(4),
    "DepthwiseConv2dNativeBackpropInput": slice(2),
}
_PRODUCTS = ("MatMul", "BatchMatMul", "BatchMatMulV2", "BatchMatMulV3", "Einsum")
_SHAPES = ("Shape", "ShapeN", "Size", "Rank")
_REFUSED = re.compile(
    "Conv|MatMul|Einsum|Dot|Dilation|Attention|FFT|RNN|LSTM|GRU|Cholesky|Svd|Qr$|Eig|Lu$|Solve|MatrixInverse|Determinant"
    "|Matrix(Exponential|Logarithm|SquareRoot)|PyFunc|^Xla(?!Sharding)|^TPU|Switch|^(Ref)?(Merge|Enter|Exit|NextIteration)$"
)


class CostError(ValueError):
    """A network holds an operation whose cost cannot be counted."""


def count_macs(graph: tf.Graph, dependences: Sequence[int]) -> int:
    """Multiply-adds of one call of a traced function; the rules are told above.

    Args:
        graph: of a concrete function, with static shapes.
        dependences: of every input of the graph: FIXED, VARIABLES or IMAGES.

    Raises:
        CostError: an operation that cannot be counted.
    """
    return _walk(graph, dependences)[0]


def called_graphs(operation: tf.Operation) -> list[tf.Graph]:
    """The graphs of the functions that one of `CALLS` may call."""
    attributes = [operation.get_attr(name) for name in CALLS[operation.type]]
    functions = [function for value in attributes for function in (value if isinstance(value, list) else [value])]
    graphs = []
    for function in functions:
        found = operation.graph._get_function(function.name)
        if found is None or found.graph is None:
            _refuse(operation, f"the function {function.name} is not known")
        graphs.append(found.graph)
    return graphs


def arguments(operation: tf.Operation) -> list[tf.Tensor]:
    """The inputs of one of `CALLS` that its functions get."""
    return list(operation.inputs)[1:] if operation.type in _SELECTING else list(operation.inputs)


def _walk(graph: tf.Graph, dependences: Sequence[int]) -> tuple[int, list[int]]:
    """Multiply-adds of a graph, and what its outputs depend on."""
    total, found = 0, {tensor.name: mark for tensor, mark in zip(graph.inputs, dependences, strict=True)}
    for operation in graph.get_operations():
        marks = [found.get(tensor.name, IMAGES) for tensor in operation.inputs]
        if operation.type in CALLS:
            macs, outputs = _called(operation, marks)
        else:
            mark = _together(marks)
            macs = _macs(operation, marks) if mark & IMAGES else 0
            if operation.type in _SHAPES:
                mark = FIXED
            elif operation.type == "VarHandleOp":
                mark = VARIABLES
            outputs = [mark] * len(operation.outputs)
        total += macs
        for tensor, mark in zip(operation.outputs, outputs, strict=True):
            found.setdefault(tensor.name, mark)
    return total, [found[tensor.name] for tensor in graph.outputs]


def _called(operation: tf.Operation, marks: list[int]) -> tuple[int, list[int]]:
    """The same for an operation that calls functions."""
    graphs = called_graphs(operation)
    if "While" in operation.type:
        mark = _together(marks)
        if any(_walk(graph, [mark] * len(marks))[0] for graph in graphs):
            _refuse(operation, "how often a loop runs is not known")
        return 0, [mark] * len(operation.outputs)
    given = marks[-len(graphs[0].inputs) :] if graphs[0].inputs else []
    walked = [_walk(graph, given) for graph in graphs]
    costs = sorted({macs for macs, _ in walked})
    if len(costs) > 1:
        _refuse(operation, f"its branches cost {' or '.join(map(str, costs))} multiply-adds")
    selected = marks[0] if operation.type in _SELECTING else FIXED
    return costs[0], [selected | _together(outputs) for outputs in zip(*(outputs for _, outputs in walked), strict=True)]


def _macs(operation: tf.Operation, marks: list[int]) -> int:
    kind = operation.type
    if kind in _CONVOLUTIONS:
        pixels = operation.inputs[2] if "Backprop" in kind else operation.outputs[0]
        return _size(operation, pixels.shape) * _size(operation, operation.inputs[1].shape[_CONVOLUTIONS[kind]])
    if kind in _PRODUCTS and FIXED in marks:
        return 0
    if kind == "Einsum":
        return _einsum(operation)
    if kind in _PRODUCTS:
        transposed = operation.get_attr("transpose_a" if kind == "MatMul" else "adj_x")
        summed = operation.inputs[0].shape[-2 if transposed else -1]
        return _size(operation, operation.outputs[0].shape) * _size(operation, [summed])
    functions = any(attribute.type in ("func", "list(func)") for attribute in operation.op_def.attr)
    if _REFUSED.search(kind) or functions or not hasattr(tf.raw_ops, kind):
        _refuse(operation, "no rule counts it")
    return 0


def _einsum(operation: tf.Operation) -> int:
    """Multiply-adds of two operands: the sizes of all labels, but those that can be summed before the product."""
    left, output = operation.get_attr("equation").decode().replace(" ", "").split("->")
    terms = left.split(",")
    if len(terms) < 2:
        return 0
    sizes: dict[str, list[int | None]] = {}
    for term, tensor in zip(terms, operation.inputs, strict=True):
        _size(operation, tensor.shape)
        for label, size in _labelled(term, tensor.shape):
            sizes.setdefault(label, []).append(size)
    common = {label for label in sizes if all(label in term for term in terms)}
    kept = {label for label in sizes if label in output or label.startswith("...")}
    if common <= kept:
        return 0  # nothing is summed over: element-wise
    return math.prod(max(sizes[label]) for label in common | kept)


def _labelled(term: str, shape: tf.TensorShape) -> list[tuple[str, int | None]]:
    """Label and size of every axis; those behind an ellipsis are labelled by their place from its end: "...1"."""
    before, dots, after = term.partition("...")
    hidden = len(shape) - len(before) - len(after) if dots else 0
    labels = [*before, *(f"...{place}" for place in range(hidden, 0, -1)), *after]
    return list(zip(labels, shape, strict=True))


def _size(operation: tf.Operation, sizes: tf.TensorShape | Sequence[int | None]) -> int:
    """The product of sizes that must be known."""
    known = [None] if isinstance(sizes, tf.TensorShape) and sizes.rank is None else list(sizes)
    if None in known:
        _refuse(operation, "a shape is not known")
    return math.prod(known)


def _together(marks: Sequence[int]) -> int:
    mark = FIXED
    for other in marks:
        mark |= other
    return mark


def _refuse(operation: tf.Operation, reason: str) -> NoReturn:
    where = getattr(operation.graph, "name", "")
    raise CostError(f"The multiply-adds of {operation.type} {operation.name} in {where} cannot be counted: {reason}.")
