"""Graphs of a network with exits, one per stage and head, that all its signatures call.

They hold the weights as constants: a call then takes no thousand handles of variables through every branch, which costs more
than the stages that early exit saves, and norms are folded into convolutions when the graph is loaded.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from tfres.models.exit_ways import Ways

if TYPE_CHECKING:
    from collections.abc import Callable

    from tfres.models.exits import ServedExits


def frozen_ways(served: ServedExits) -> Ways:
    """The ways through a network in graphs that are traced once each, for calls from other graphs; for inference only."""
    size = served.input_size(served.settings[0])
    trunk = _Trunk(served.ways, tf.TensorSpec([None, *size, 3], served.compute_dtype))
    return Ways(trunk, _Heads(served.ways, trunk))


class _Frozen:
    """A function traced once, with weights as constants.

    Args:
        function: of nested tensors.
        like: the arguments, tensors or specs of these; the first axis may be of any length.

    `outputs` are what it gives, as symbols.
    """

    def __init__(self, function: Callable[..., Any], *like: Any) -> None:
        specs = tf.nest.map_structure(lambda one: tf.TensorSpec([None, *one.shape[1:]], one.dtype), like)
        traced = tf.function(function, autograph=False).get_concrete_function(*specs)
        flat = tf.nest.flatten(specs)
        body, self.outputs = of_constants(traced, len(flat)), traced.structured_outputs

        def frozen(*inputs: tf.Tensor) -> list[tf.Tensor]:
            return tf.nest.flatten(body(*inputs))

        self._frozen = tf.function(frozen, input_signature=flat, autograph=False).get_concrete_function()

    def __call__(self, *args: Any) -> Any:
        return tf.nest.pack_sequence_as(self.outputs, self._frozen(*tf.nest.flatten(args)))


def of_constants(traced: Any, count: int) -> Callable[..., Any]:
    """A concrete function as a Python function for other graphs, which captures nothing (see `with_constants`).

    Args:
        traced: the concrete function.
        count: of its tensors, which the Python function takes in their order; what it captured follows them.
    """
    names = [tensor.name for tensor in traced.inputs[:count]]
    found = [tensor.name for tensor in tf.nest.flatten(traced.structured_outputs)]
    graph = with_constants(traced)

    def of_tensors(*inputs: tf.Tensor) -> Any:
        given = dict(zip(names, inputs, strict=True))
        outputs = tf.graph_util.import_graph_def(graph, given, found, name="")
        return tf.nest.pack_sequence_as(traced.structured_outputs, outputs)

    return of_tensors


def with_constants(traced: Any) -> Any:
    """The graph of a concrete function (without functions in it that capture) in which what it captured are constants."""
    captured = traced.captured_inputs
    symbols = traced.inputs[len(traced.inputs) - len(captured) :]
    values = {symbol.op.name: value for symbol, value in zip(symbols, captured, strict=True)}
    graph = traced.graph.as_graph_def()
    nodes = [node for node in graph.node if node.name not in values]
    del graph.node[:]
    for node in nodes:
        if node.op == "ReadVariableOp":
            kind, handle = node.attr["dtype"].type, values[node.input[0]]
            node = _constant(node.name, tf.raw_ops.ReadVariableOp(resource=handle, dtype=kind))
        graph.node.append(node)
    graph.node.extend(_constant(name, value) for name, value in values.items() if value.dtype != tf.resource)
    return graph


def _constant(name: str, value: tf.Tensor) -> tf.compat.v1.NodeDef:
    node = tf.compat.v1.NodeDef(name=name, op="Const")
    node.attr["dtype"].type = value.dtype.as_datatype_enum
    node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value.numpy()))
    return node


class _Trunk:
    """A trunk whose stages are graphs of their own; the state before the first stage are the pictures."""

    def __init__(self, ways: Ways, images: tf.TensorSpec) -> None:
        trunk = ways.trunk
        self.exits, self.borders, self.frozen, state = trunk.exits, trunk.borders, {}, images

        def stage(state: Any, number: int) -> Any:
            state = trunk.begin(state, training=False) if number == trunk.exits[0] else state
            return trunk.advance(state, number, training=False)

        for number in trunk.exits:
            self.frozen[number] = _Frozen(functools.partial(stage, number=number), state)
            state = self.frozen[number].outputs[1]

    def begin(self, images: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        return images

    def advance(self, state: Any, number: int, training: bool | None = None) -> tuple[tf.Tensor, Any]:
        return self.frozen[number](state)


class _Heads:
    """Heads that are graphs of their own."""

    def __init__(self, ways: Ways, trunk: _Trunk) -> None:
        heads = ways.heads
        self.cascade, self.needed, self.frozen = heads.cascade, heads.needed, {}

        def head(features: tf.Tensor, before: list[tf.Tensor], number: int) -> tf.Tensor:
            outputs = heads.answer(number, features, *before, training=False)
            return tf.cast(outputs, tf.float32)

        before = []
        for number in trunk.exits:
            features = trunk.frozen[number].outputs[0]
            self.frozen[number] = _Frozen(functools.partial(head, number=number), features, before)
            before = [self.frozen[number].outputs] if self.cascade else []

    def answer(
        self, number: int, features: tf.Tensor, before: tf.Tensor | None = None, training: bool | None = None
    ) -> tf.Tensor:
        return self.frozen[number](features, [before] if self.cascade and before is not None else [])

    def nothing(self, number: int, features: tf.Tensor) -> tf.Tensor:
        like = self.frozen[number].outputs
        return tf.zeros([tf.shape(features)[0], *like.shape[1:]], like.dtype)
