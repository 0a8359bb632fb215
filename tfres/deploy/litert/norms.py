"""Norms in the form that keeps kernels once.

The converter folds a constant factor behind a convolution into the filter, so that every setting would store kernels of its
own. As a depthwise convolution of one pixel the factor stays outside, at the price of a pass over the map. So norms are folded
where copies are cheap, smallest kernels first, and have the other form elsewhere.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

from tfres.deploy.litert.graphs import constant, digest

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tensorflow.core.framework.node_def_pb2 import NodeDef

    from tfres.deploy.litert.graphs import Graph

ROOM = 0.03  # share of a file that copies of kernels may take
SMALLEST_QUANTIZED = 1024  # elements of a kernel that the converter quantizes
_NORM, _CONVOLUTIONS = "FusedBatchNormV3", ("Conv2D", "DepthwiseConv2dNative")


@dataclasses.dataclass(frozen=True, eq=False)
class Norm:
    """A norm of a graph: outputs are factor * inputs + shift.

    Args:
        name: of the node.
        factor, shift: float32 `(channels,)`; None where they differ between calls.
        kernel: digest of the filter of the convolution before it, None without one.
        elements: of the kernel.
    """

    name: str
    factor: np.ndarray | None
    shift: np.ndarray | None
    kernel: str | None = None
    elements: int = 0


def find_norms(graph: Graph) -> list[Norm]:
    """The norms of a graph."""
    found, users = [], graph.users()
    for node in [node for node in graph.nodes.values() if node.op == _NORM]:
        kernel, elements = _kernel(graph, users, node)
        if not all(map(graph.is_fixed, node.input[1:5])):
            found.append(Norm(node.name, None, None, kernel, elements))
            continue
        gamma, beta, mean, variance = (value.astype(np.float64) for value in graph.values(node.input[1:5]))
        factor = gamma / np.sqrt(variance + node.attr["epsilon"].f)
        shift = beta - mean * factor
        found.append(Norm(node.name, factor.astype(np.float32), shift.astype(np.float32), kernel, elements))
    return found


def kernels_to_fold(norms: Iterable[Norm], stored: int, quantized: bool) -> set[str]:
    """Digests of the kernels that norms may be folded into.

    A file of quantized kernels has a factor per channel beside the codes, so that the codes of kernels that differ by a
    positive factor per channel are equal and are stored once (see `sharing`).

    Args:
        norms: of all graphs.
        stored: bytes of all constants, each once.
        quantized: whether kernels become integers.
    """
    factors, elements = {}, {}
    for norm in norms:
        if norm.kernel is not None:
            by_content = factors.setdefault(norm.kernel, {})
            by_content["" if norm.factor is None else digest(norm.factor)] = norm.factor
            elements[norm.kernel] = norm.elements
    copies = {}
    for kernel, by_content in factors.items():
        count, size = len(by_content), 4 * elements[kernel]
        if quantized and elements[kernel] >= SMALLEST_QUANTIZED:
            count, size = len({_signs(factor) for factor in by_content.values()}), elements[kernel]
        copies[kernel] = (count - 1) * size
    chosen, taken, room = set(), 0, ROOM * stored / (4 if quantized else 1)
    for kernel in sorted(copies, key=lambda one: (copies[one], elements[one], one)):
        taken += copies[kernel]
        if taken > room and copies[kernel]:
            break
        chosen.add(kernel)
    return chosen


def lower_norms(graph: Graph, norms: Sequence[Norm], folded: set[str]) -> None:
    """Give the norms of a graph their form; nodes that the converter folds are left as they are, with constant values.

    Args:
        graph: is changed.
        norms: of `find_norms`.
        folded: digests of kernels, see `kernels_to_fold`.
    """
    for norm in norms:
        node = graph.nodes.pop(norm.name)
        if norm.factor is None:
            made = _as_sums(node)
        elif norm.kernel in folded:
            made = _plain(node, norm)
        else:
            made = _as_depthwise(node, norm)
        graph.nodes.update({one.name: one for one in made})


def _kernel(graph: Graph, users: dict[str, list[str]], norm: NodeDef) -> tuple[str | None, int]:
    """Digest and number of elements of the filter of the convolution whose outputs go to a norm alone."""
    before = graph.nodes.get(norm.input[0])
    if before is None or before.op not in _CONVOLUTIONS or len(users[norm.input[0]]) > 1:
        return None, 0
    if not graph.is_fixed(before.input[1]):
        return None, 0
    (kernel,) = graph.values([before.input[1]])
    return digest(kernel), kernel.size


def _signs(factor: np.ndarray | None) -> bytes:
    """Of every channel's factor; of none those of the kernel as it is."""
    return b"" if factor is None or (factor > 0).all() else np.sign(factor).tobytes()


def _plain(node: NodeDef, norm: Norm) -> list[NodeDef]:
    """A norm of mean 0 and variance 1 - epsilon."""
    values = {"scale": norm.factor, "offset": norm.shift}
    values |= {"mean": np.zeros_like(norm.factor), "variance": np.full_like(norm.factor, 1 - node.attr["epsilon"].f)}
    made = [constant(f"{norm.name}/{name}", value) for name, value in values.items()]
    node.input[1:5] = [one.name for one in made]
    return [node, *made]


def _as_depthwise(node: NodeDef, norm: Norm) -> list[NodeDef]:
    factor = constant(f"{norm.name}/factor", norm.factor[None, None, :, None])
    shift = constant(f"{norm.name}/shift", norm.shift)
    scaled = _node(f"{norm.name}/scaled", "DepthwiseConv2dNative", node.input[0], factor.name)
    scaled.attr["strides"].list.i.extend([1, 1, 1, 1])
    scaled.attr["padding"].s = b"VALID"
    return [factor, shift, scaled, _node(norm.name, "AddV2", scaled.name, shift.name)]


def _as_sums(node: NodeDef) -> list[NodeDef]:
    """With a factor and a shift that are computed in every call."""
    inputs, gamma, beta, mean, variance = node.input[:5]
    names = {part: f"{node.name}/{part}" for part in ("epsilon", "wide", "root", "factor", "scaled", "moved", "shift")}
    return [
        constant(names["epsilon"], np.array(node.attr["epsilon"].f, np.float32)),
        _node(names["wide"], "AddV2", variance, names["epsilon"]),
        _node(names["root"], "Rsqrt", names["wide"]),
        _node(names["factor"], "Mul", gamma, names["root"]),
        _node(names["moved"], "Mul", mean, names["factor"]),
        _node(names["shift"], "Sub", beta, names["moved"]),
        _node(names["scaled"], "Mul", inputs, names["factor"]),
        _node(node.name, "AddV2", names["scaled"], names["shift"]),
    ]


def _node(name: str, operation: str, *inputs: str) -> NodeDef:
    made = tf.compat.v1.NodeDef(name=name, op=operation, input=inputs)
    made.attr["T"].type = tf.float32.as_datatype_enum
    return made
