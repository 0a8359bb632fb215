"""Traced signatures as graphs of constants, which are kept once however many signatures use them."""

from __future__ import annotations

import functools
import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from tfres.models.frozen_exits import with_constants

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from tensorflow.core.framework.graph_pb2 import GraphDef
    from tensorflow.core.framework.node_def_pb2 import NodeDef

_SMALL = 1024  # bytes of a constant that stays in the graph


class Constants:
    """Arrays by their content.

    `arrays` are they, by digest.
    """

    def __init__(self) -> None:
        self.arrays: dict[str, np.ndarray] = {}

    @property
    def bytes(self) -> int:
        """Of all arrays."""
        return sum(array.nbytes for array in self.arrays.values())

    def add(self, array: np.ndarray) -> str:
        """Keep an array; returns its digest."""
        key = digest(array)
        self.arrays.setdefault(key, array)
        return key


def digest(array: np.ndarray) -> str:
    """Of an array's content, shape and type."""
    array = np.ascontiguousarray(array)
    return hashlib.sha256(repr((array.dtype.str, array.shape)).encode() + array.tobytes()).hexdigest()


class Graph:
    """One signature.

    Args:
        name: of the signature.
        function: its tensors by name -> its outputs by name.
        specs: of its tensors.
        constants: takes the large ones.

    `interface` are the specs of its tensors and of its outputs by name. `nodes` are its operations by name; placeholders stand
    for large constants, whose digests `large` has by the node's name.
    """

    def __init__(
        self, name: str, function: Callable[..., dict[str, Any]], specs: Mapping[str, tf.TensorSpec], constants: Constants
    ) -> None:
        def named(**given: tf.Tensor) -> dict[str, tf.Tensor]:  # an output that is an input becomes a tensor of its own
            return {name: tf.identity(output) for name, output in function(**given).items()}

        traced = tf.function(named, autograph=False).get_concrete_function(**specs)
        self.name, self.specs, self._constants = name, dict(specs), constants
        self.inputs = {key: tensor.name for key, tensor in zip(sorted(specs), traced.inputs, strict=False)}
        self.outputs = {key: tensor.name for key, tensor in traced.structured_outputs.items()}
        self.interface = self.specs, traced.structured_outputs
        definition = with_constants(traced)
        self.nodes, self.large = _needed(definition, map(_node_of, self.outputs.values())), {}
        self._versions = definition.versions
        for node in [*self.nodes.values()]:
            if node.op == "Const" and node.attr["value"].tensor.ByteSize() > _SMALL:
                self.large[node.name] = constants.add(tf.make_ndarray(node.attr["value"].tensor))
                self.nodes[node.name] = _placeholder(node)
        self._fixed = functools.cache(self._is_fixed)

    def users(self) -> dict[str, list[str]]:
        """Tensor, as nodes call it -> names of the nodes that use it."""
        found = {}
        for node in self.nodes.values():
            for tensor in node.input:
                found.setdefault(tensor, []).append(node.name)
        return found

    def is_fixed(self, tensor: str) -> bool:
        """Whether a tensor is the same in every call."""
        return self._fixed(_node_of(tensor))

    def values(self, tensors: Sequence[str]) -> list[np.ndarray]:
        """Tensors that are the same in every call."""
        needed, todo = {}, [_node_of(tensor) for tensor in tensors]
        while todo:
            name = todo.pop()
            if name in self.large:
                needed[name] = constant(name, self._constants.arrays[self.large[name]])
            elif name not in needed:
                needed[name] = self.nodes[name]
                todo.extend(map(_node_of, needed[name].input))
        graph = self._definition(needed.values())
        with tf.Graph().as_default(), tf.compat.v1.Session() as session:
            found = tf.graph_util.import_graph_def(graph, return_elements=list(map(_whole, tensors)), name="")
            return session.run(found)

    def function(self, variables: Mapping[str, tf.Variable]) -> Any:
        """The signature as a concrete function that reads its large constants from variables.

        Args:
            variables: by digest.
        """
        names = sorted(self.specs)

        def serve(**given: tf.Tensor) -> dict[str, tf.Tensor]:
            known = {f"{name}:0": tf.convert_to_tensor(variables[key]) for name, key in self.large.items()}
            known |= {self.inputs[name]: given[name] for name in names}
            nodes = [node for name, node in self.nodes.items() if f"{name}:0" not in known]  # a placeholder would want a value
            found = tf.graph_util.import_graph_def(self._definition(nodes), known, list(self.outputs.values()), name="")
            return dict(zip(self.outputs, found, strict=True))

        specs = {name: tf.TensorSpec(self.specs[name].shape, self.specs[name].dtype, name) for name in names}
        return tf.function(serve, autograph=False).get_concrete_function(**specs)

    def _definition(self, nodes: Any) -> GraphDef:
        graph = tf.compat.v1.GraphDef(node=nodes)
        graph.versions.CopyFrom(self._versions)
        return graph

    def _is_fixed(self, name: str) -> bool:
        if name in self.large:
            return True
        node = self.nodes[name]
        return node.op != "Placeholder" and all(map(self.is_fixed, node.input))


def constant(name: str, value: np.ndarray) -> NodeDef:
    """A node that gives an array."""
    node = tf.compat.v1.NodeDef(name=name, op="Const")
    node.attr["dtype"].type = tf.as_dtype(value.dtype).as_datatype_enum
    node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value))
    return node


def _needed(definition: GraphDef, names: Iterable[str]) -> dict[str, NodeDef]:
    """The nodes of a graph that some are computed from, by name; nothing waits for others: nothing has effects here."""
    known, todo = {node.name: node for node in definition.node}, [*names]
    found: dict[str, NodeDef] = {}
    while todo:
        name = todo.pop()
        if name not in found:
            node = found[name] = known[name]
            node.input[:] = [tensor for tensor in node.input if not tensor.startswith("^")]
            todo.extend(map(_node_of, node.input))
    return found


def _placeholder(node: NodeDef) -> NodeDef:
    found = tf.compat.v1.NodeDef(name=node.name, op="Placeholder")
    found.attr["dtype"].type = node.attr["dtype"].type
    found.attr["shape"].shape.CopyFrom(node.attr["value"].tensor.tensor_shape)
    return found


def _node_of(tensor: str) -> str:
    """Name of the node that a tensor comes from."""
    return tensor.partition(":")[0]


def _whole(tensor: str) -> str:
    return tensor if ":" in tensor else f"{tensor}:0"
