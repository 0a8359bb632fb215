"""What belongs to one training step: statistics gathered by its forward passes, tensors computed once."""

import threading

import tensorflow as tf

_local = threading.local()


class StepScope:
    """Collects the statistics of every forward pass made inside it, and applies them together at the end.

    A network that runs at several settings in one step calls each layer several times. Inside a scope
    - `record` keeps what a layer measured, so that all passes use the values of the step's start and the result
      does not depend on the order of execution;
    - `once` computes a tensor (a quantized kernel, say) the first time and hands it out afterwards.

    Outside a scope layers update their statistics at once, as Keras' own batch normalisation does.

    Records are nests of tensors that may be *summed* over replicas. `apply` sums them over the replicas of a
    `tf.distribute` strategy; `StepScope.merged` sums the scopes of several towers of a TensorFlow 1 graph.

    Example:
        with StepScope() as step:
            loss = sum(objective(model(images, setting, training=True)) for setting in model.settings)
        step.apply()
    """

    def __init__(self):
        self._layers = {}
        self._cache = {}

    def __enter__(self):
        self._outer = getattr(_local, "scope", None)
        _local.scope = self
        return self

    def __exit__(self, *_):
        _local.scope = self._outer
        self._cache.clear()

    @staticmethod
    def merged(scopes):
        """One scope whose records are the sums of the given ones, entry by entry."""
        total = StepScope()
        for key, (layer, records) in scopes[0]._layers.items():
            columns = [scope._layers[key][1] for scope in scopes]
            sums = [
                (setting, tf.nest.map_structure(lambda *t: tf.add_n(t), *(column[i][1] for column in columns)))
                for i, (setting, _) in enumerate(records)
            ]
            total._layers[key] = (layer, sums)
        return total

    @staticmethod
    def joined(scopes):
        """One scope for settings that ran in scopes of their own: their records one after another.

        A record without a setting (of a kernel) is the same in every scope; the first is taken.
        """
        total = StepScope()
        for number, scope in enumerate(scopes):
            for key, (layer, records) in scope._layers.items():
                new = [(setting, statistics) for setting, statistics in records if setting is not None or number == 0]
                total._layers.setdefault(key, (layer, []))[1].extend(new)
        return total

    def records(self):
        """Pairs of layer and its list of `(setting, statistics)`."""
        return list(self._layers.values())

    def apply(self):
        """Hand every layer its records; returns the list of update operations."""
        layers = list(self._layers.values())
        tensors = sum_over_replicas([records for _, records in layers])
        return [layer.apply_statistics(records) for (layer, _), records in zip(layers, tensors, strict=True)]


def record(layer, setting, statistics):
    """Give the layer's statistics to the active scope, or apply them now when there is none.

    Args:
        layer: owner; its `apply_statistics(records)` gets a list of `(setting, statistics)` in recorded order
            and returns an operation.
        setting: the setting of this pass, or None.
        statistics: a nest of tensors that is summed over replicas.
    """
    scope = getattr(_local, "scope", None)
    if scope is not None:
        scope._layers.setdefault(id(layer), (layer, []))[1].append((setting, statistics))
        return
    update = layer.apply_statistics(sum_over_replicas([(setting, statistics)]))
    if not tf.compat.v1.executing_eagerly_outside_functions():
        layer.add_update(update)


def once(key, compute):
    """The value of `compute()`, computed once per active scope and `key`; without a scope computed every time."""
    scope = getattr(_local, "scope", None)
    if scope is None:
        return compute()
    if key not in scope._cache:
        scope._cache[key] = compute()
    return scope._cache[key]


def sum_over_replicas(records):
    """Sum all tensors in the nest over the replicas of the current strategy; other leaves stay."""
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return records
    leaves = tf.nest.flatten(records)
    tensors = [leaf for leaf in leaves if tf.is_tensor(leaf)]
    sums = iter(context.all_reduce("SUM", tensors))
    return tf.nest.pack_sequence_as(records, [next(sums) if tf.is_tensor(leaf) else leaf for leaf in leaves])
