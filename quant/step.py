"""What belongs to one training step, also inside conditions: what did not run does not move."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import tensorflow as tf

from quant.scope import Record, Same, StepScope, active_scope, apply_now, once, record, sum_over_replicas

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

__all__ = ["Record", "Same", "StepScope", "cond", "once", "optional", "record", "sum_over_replicas", "switch_case"]


def cond(predicate: tf.Tensor | bool, true_fn: Callable[[], Any], false_fn: Callable[[], Any]) -> Any:
    """`tf.cond` for layers that gather statistics: those of the branch that ran move, the others stay.

    Args:
        predicate: scalar bool.
        true_fn, false_fn: functions without arguments that return the same structure of tensors. In a graph each is traced
            twice, the first time to find out what it measures.

    Returns:
        what the chosen function returns.
    """
    if isinstance(predicate, bool):
        return true_fn() if predicate else false_fn()
    return _branched(lambda true, false: tf.cond(predicate, true, false), [true_fn, false_fn])


def switch_case(index: tf.Tensor | int, branch_fns: Sequence[Callable[[], Any]]) -> Any:
    """`tf.switch_case` for layers that gather statistics; see `cond`. An index out of range takes the last function."""
    if isinstance(index, int):
        return branch_fns[index if 0 <= index < len(branch_fns) else -1]()
    return _branched(lambda *fns: tf.switch_case(index, list(fns)), list(branch_fns))


@tf.autograph.experimental.do_not_convert
def optional(index: tf.Tensor | int, layer: tf.keras.layers.Layer, fn: Callable[[], Any], *others: Callable[[], Any]) -> Any:
    """A layer that runs only where `index` is 0: the result of `fn`, or of `others[index - 1]`.

    In a graph every function is traced once, and the active `StepScope` learns when the layer's weights take part.

    Args:
        index: scalar integer; a tensor is one of the graph in which the scope was opened.
        layer: that `fn` calls; built.
        fn: function without arguments.
        others: functions that return the same structure of tensors and measure nothing.
    """
    fns = [fn, *others]
    if isinstance(index, int) or tf.executing_eagerly():
        return fns[int(index)]()
    outer = active_scope()
    if outer is None:
        raise ValueError(f"Layer {layer.name!r} that runs on a condition must be called inside a StepScope.")
    outer.note(layer, tf.equal(index, 0))
    found: list[tuple[tf.keras.layers.Layer, Hashable, Record]] = []

    def measuring() -> tuple[Any, list]:
        with StepScope(outer) as scope:
            result = fn()
        found[:] = scope.entries()
        return result, [_leaves(record) for _, _, record in found]

    def silent(other: Callable[[], Any]) -> Callable[[], Any]:
        return lambda: (other(), [[_zeros(leaf, own) for leaf in _leaves(record)] for own, _, record in found])

    branches = [measuring, *map(silent, others)]
    if len(branches) == 2:
        result, leaves = tf.cond(tf.equal(index, 0), *branches)
    else:
        result, leaves = tf.switch_case(index, branches)
    for (own, key, like), flat in zip(found, leaves, strict=True):
        *statistics, count = flat
        outer.add(own, Record(like.setting, tf.nest.pack_sequence_as(like.statistics, statistics), count), key)
    return result


def _branched(run: Callable[..., Any], fns: list[Callable[[], Any]]) -> Any:
    """`run(*fns)`, a condition; the records of all functions become its outputs and go to the active scope."""
    if tf.executing_eagerly():
        return run(*fns)
    outer = active_scope()
    if outer is None:
        with StepScope() as scope:
            result = _branched(run, fns)
        for layer, records in scope.records():
            apply_now(layer, records)
        return result
    found = [_trace(fn, outer) for fn in fns]
    result, leaves = run(*(_with_records(fn, number, found, outer) for number, fn in enumerate(fns)))
    for entries, tensors in zip(found, leaves, strict=True):
        for (layer, key, like), flat in zip(entries, tensors, strict=True):
            *statistics, count = flat
            packed = tf.nest.pack_sequence_as(like.statistics, statistics)
            outer.add(layer, Record(like.setting, packed, count), key)
    return result


def _trace(fn: Callable[[], Any], outer: StepScope) -> list[tuple[tf.keras.layers.Layer, Hashable, Record]]:
    """What a function measures, found out in a graph that is thrown away."""
    scopes = []

    def traced() -> None:
        with StepScope(outer) as scope:
            fn()
        scopes.append(scope)

    tf.function(traced, autograph=False).get_concrete_function()
    return scopes[-1].entries()


def _with_records(fn: Callable[[], Any], number: int, found: list[list], outer: StepScope) -> Callable[[], Any]:
    """`fn`, the branch of that number, returning its records and zeros for those of the others too."""

    def branch() -> tuple[Any, list]:
        with StepScope(outer) as scope:
            result = fn()
        own = scope.entries()
        return result, [
            [_leaves(record) for _, _, record in own]
            if other == number
            else [[_zeros(leaf, layer) for leaf in _leaves(record)] for layer, _, record in entries]
            for other, entries in enumerate(found)
        ]

    return branch


def _leaves(record: Record) -> list:
    count = record.count
    return [*tf.nest.flatten(record.statistics), count if tf.is_tensor(count) else tf.constant(float(count))]


def _zeros(leaf: tf.Tensor, layer: tf.keras.layers.Layer) -> tf.Tensor:
    if not leaf.shape.is_fully_defined():
        raise ValueError(f"Statistics inside a condition must have a known shape. Received: {leaf.shape} of {layer.name!r}.")
    return tf.zeros(leaf.shape, leaf.dtype)
