"""The scope of one training step: statistics gathered by its forward passes, tensors computed once."""

from __future__ import annotations

import dataclasses
import threading
from typing import TYPE_CHECKING, Any, NamedTuple

import tensorflow as tf

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

_local = threading.local()


class Record(NamedTuple):
    """One measurement of a layer.

    setting: of the pass, or None. statistics: a nest of tensors that may be *summed* over replicas. count: how often it was
    made: the number 1, the number of replicas after their sum, or a scalar float tensor for what lies inside a condition;
    where that is 0 the statistics are zeros and move nothing.
    """

    setting: Any
    statistics: Any
    count: int | tf.Tensor = 1


@dataclasses.dataclass
class _Measured:
    """A layer's records; `keys` beside them tell which are the same measurement, None for those that are not."""

    layer: tf.keras.layers.Layer
    records: list[Record] = dataclasses.field(default_factory=list)
    keys: list[Hashable] = dataclasses.field(default_factory=list)


class StepScope:
    """Collects the statistics of every forward pass made inside it, and applies them together at the end.

    A network that runs at several settings in one step calls each layer several times. Inside a scope
    - `record` keeps what a layer measured, so that all passes use the values of the step's start and the result
      does not depend on the order of execution;
    - `once` computes a tensor (a quantized kernel, say) the first time and hands it out afterwards;
    - `quant.step.cond` and `switch_case` take the place of TensorFlow's: what is measured inside them comes out with a count.

    Outside a scope layers update their statistics at once, as Keras' own batch normalisation does.

    `apply` sums the records over the replicas of a `tf.distribute` strategy; `StepScope.merged` sums the scopes of several
    towers of a TensorFlow 1 graph.

    Example:
        with StepScope() as step:
            loss = sum(objective(model(images, setting, training=True)) for setting in model.settings)
        step.apply()
    """

    def __init__(self, parent: StepScope | None = None) -> None:
        self._layers: dict[int, _Measured] = {}
        self._cache: dict[Hashable, list] = {}
        self._running: list[tuple[tf.keras.layers.Layer, tf.Tensor]] = []
        self._parent = parent  # of a function of a condition: the scope around it
        self._outer: StepScope | None = None
        self._graph: tf.Graph | None = None

    def __enter__(self) -> StepScope:
        self._outer = active_scope()
        self._graph = _current_graph()
        _local.scope = self
        return self

    def __exit__(self, *_: object) -> None:
        _local.scope = self._outer
        self._cache.clear()

    @staticmethod
    def merged(scopes: Sequence[StepScope]) -> StepScope:
        """One scope whose records are the sums of the given ones.

        Records belong together that are the same layer's at the same setting and in the same place among those.
        """
        columns: dict[Hashable, list[Record]] = {}
        owners: dict[Hashable, tuple] = {}
        for scope in scopes:
            seen: dict[Hashable, int] = {}
            for layer, key, record in scope.entries():
                place = (id(layer), str(record.setting))
                seen[place] = seen.get(place, 0) + 1
                column = (*place, seen[place])
                columns.setdefault(column, []).append(record)
                owners.setdefault(column, (layer, key))
        total = StepScope()
        total._running = [pair for scope in scopes for pair in scope._running]
        for column, records in columns.items():
            layer, key = owners[column]
            statistics = tf.nest.map_structure(lambda *t: tf.add_n(t), *(record.statistics for record in records))
            total.add(layer, Record(records[0].setting, statistics, sum(record.count for record in records)), key)
        return total

    @staticmethod
    def joined(scopes: Sequence[StepScope]) -> StepScope:
        """One scope for settings that ran in scopes of their own: their records one after another.

        What is the same measurement in several of them (a kernel's) counts once.
        """
        total = StepScope()
        total._running = [pair for scope in scopes for pair in scope._running]
        for scope in scopes:
            for layer, key, record in scope.entries():
                total.add(layer, record, key)
        return total

    def records(self) -> list[tuple[tf.keras.layers.Layer, list[Record]]]:
        """Pairs of layer and its list of `Record`."""
        return [(measured.layer, measured.records) for measured in self._layers.values()]

    def apply(self) -> list[tf.Operation | None]:
        """Hand every layer its records; returns the list of update operations."""
        layers = self.records()
        sums = sum_over_replicas([records for _, records in layers])
        return [layer.apply_statistics(records) for (layer, _), records in zip(layers, sums, strict=True)]

    def note(self, layer: tf.keras.layers.Layer, on: tf.Tensor) -> None:
        """Remember that a layer runs only where `on` (scalar bool of the graph in which the scope was opened)."""
        if self._parent is not None:
            raise ValueError(f"Layer {layer.name!r} that runs on a condition must not be called inside another condition.")
        self._running.append((layer, on))

    def running(self) -> dict[Hashable, tf.Tensor]:
        """Trainable weights (by `ref()`) that may not take part in the step -> whether they do, scalar bool."""
        found: dict[Hashable, tf.Tensor] = {}
        for layer, on in self._running:
            for weight in layer.trainable_weights:
                key = weight.ref()
                found[key] = tf.logical_or(found[key], on) if key in found else on
        return found

    def entries(self) -> list[tuple[tf.keras.layers.Layer, Hashable, Record]]:
        """All records with their layers and keys."""
        return [
            (measured.layer, key, record)
            for measured in self._layers.values()
            for key, record in zip(measured.keys, measured.records, strict=True)
        ]

    def add(self, layer: tf.keras.layers.Layer, new: Record, key: Hashable = None) -> None:
        """Keep a record; see `record`."""
        measured = self._layers.setdefault(id(layer), _Measured(layer))
        if key is None or key not in measured.keys:
            measured.records.append(new)
            measured.keys.append(key)
            return
        place = measured.keys.index(key)
        measured.records[place] = _first_made(measured.records[place], new)


def record(layer: tf.keras.layers.Layer, setting: object, statistics: Any, key: Hashable = None) -> None:
    """Give the layer's statistics to the active scope, or apply them now when there is none.

    Args:
        layer: owner; its `apply_statistics(records)` gets a list of `Record` in recorded order and returns an operation.
        setting: the setting of this pass, or None.
        statistics: a nest of tensors that is summed over replicas.
        key: records of a layer with the same key are the same measurement, which counts once; None: every one counts.

    Raises:
        ValueError: the scope was opened outside of the condition, loop or function in which this is called.
    """
    scope = active_scope()
    if scope is None:
        apply_now(layer, [Record(setting, statistics)])
        return
    if scope._graph is not _current_graph():
        raise ValueError(
            f"Layer {layer.name!r} gathers statistics inside a condition, loop or function, from where they cannot reach the "
            "StepScope around it. Use quant.step.cond and quant.step.switch_case in place of tf.cond and tf.switch_case, or "
            "open the scope inside."
        )
    scope.add(layer, Record(setting, statistics), key)


def once(key: Hashable, compute: Callable[[], Any]) -> Any:
    """The value of `compute()`, computed once per active scope and `key`; without a scope computed every time.

    A value made inside a condition is handed out there only. The key must tell everything the value depends on.
    """
    active = scope = active_scope()
    while scope is not None:
        for graph, value in scope._cache.get(key, ()):
            if _is_inside(graph):
                return value
        scope = scope._parent
    value = compute()
    if active is not None:
        active._cache.setdefault(key, []).append((_current_graph(), value))
    return value


class Same:
    """Key of an object by its identity; keeps the object alive, so that no other one gets its place."""

    def __init__(self, value: object) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and other.value is self.value

    def __hash__(self) -> int:
        return id(self.value)


def sum_over_replicas(records: Any) -> Any:
    """Sum the tensors in a nest over the replicas of the current strategy, and the counts of the `Record`s in it."""
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return records
    leaves = tf.nest.flatten(records)
    sums = iter(context.all_reduce("SUM", [leaf for leaf in leaves if tf.is_tensor(leaf)]))
    summed = tf.nest.pack_sequence_as(records, [next(sums) if tf.is_tensor(leaf) else leaf for leaf in leaves])
    return _with_counts(summed, context.num_replicas_in_sync)


def _with_counts(nest: Any, replicas: int) -> Any:
    if isinstance(nest, Record):
        return nest if tf.is_tensor(nest.count) else nest._replace(count=nest.count * replicas)
    return [_with_counts(entry, replicas) for entry in nest] if isinstance(nest, list) else nest


def active_scope() -> StepScope | None:
    """The innermost scope that is open in this thread."""
    return getattr(_local, "scope", None)


def _current_graph() -> tf.Graph | None:
    """The graph that is being built; None where operations run at once."""
    return None if tf.executing_eagerly() else tf.compat.v1.get_default_graph()


def _is_inside(graph: tf.Graph | None) -> bool:
    """Whether a tensor of `graph` can be used here: it is the current graph or one around it."""
    current = _current_graph()
    while current is not None and current is not graph:
        current = getattr(current, "outer_graph", None)
    return current is graph


def apply_now(layer: tf.keras.layers.Layer, records: list[Record]) -> None:
    """Update a layer by its records, outside of any scope."""
    update = layer.apply_statistics(sum_over_replicas(records))
    if not tf.compat.v1.executing_eagerly_outside_functions():
        layer.add_update(update)


def _first_made(old: Record, new: Record) -> Record:
    """The first of two records of one measurement that was made."""
    if not tf.is_tensor(old.count):
        return old
    if not tf.is_tensor(new.count):
        return new
    made = old.count > 0
    statistics = tf.nest.map_structure(lambda a, b: tf.where(made, a, b), old.statistics, new.statistics)
    return Record(old.setting, statistics, tf.where(made, old.count, new.count))
