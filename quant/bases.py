"""The bases of a learned quantizer: variables on a Keras layer and their update by one step's records."""

from __future__ import annotations

from typing import TYPE_CHECKING

import tensorflow as tf

from quant import checks, lq
from quant.scope import Record, once, record

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    import numpy as np


class LQLayer(tf.keras.layers.Layer):
    """Basis variables and their update; subclasses say what is quantized.

    Variables per basis: `basis` (K, C), and the state of its moving average, `basis_biased` (K, C) and
    `basis_updates` (). All float32 under mixed precision; none is trained by gradient.
    """

    signed = None

    def __init__(self, bits: int, strict: bool = False, **kwargs: object) -> None:
        bits = checked_level_bits(bits)
        strict = checks.flag("strict", strict)
        super().__init__(**kwargs)
        self.bits = bits
        self.strict = strict
        self._autocast = False

    @property
    def precision(self) -> int:
        """Bit width, under the name tools for low-bit networks look for."""
        return self.bits

    def get_config(self) -> dict:
        return {**super().get_config(), "bits": self.bits, "strict": self.strict}

    def _add_basis(self, initial: np.ndarray, prefix: str = "") -> tuple[tf.Variable, ...]:
        return add_basis(self, initial, f"{prefix}basis")

    def _quantize(self, x: tf.Tensor, basis: tf.Variable, setting: object, training: bool | None, key: Hashable) -> tf.Tensor:
        """Quantize in the basis' precision, return in the dtype of `x`; record statistics in training."""

        def make_table() -> lq.LevelTable:
            return lq.level_table(tf.convert_to_tensor(basis), self.signed, self.strict)

        # The basis does not change within a step, so its table is the same for all settings.
        table = once((self, id(basis), "table"), make_table)
        values = tf.cast(x, basis.dtype)
        if not training:
            return tf.cast(lq.quantize(values, table), x.dtype)
        y, statistics = lq.quantize_with_statistics(values, table)
        record(self, setting, tf.nest.map_structure(tf.stop_gradient, statistics), key)
        return tf.cast(y, x.dtype)

    def _update(self, variables: tuple[tf.Variable, ...], records: Sequence[Record]) -> tf.Operation:
        return update_basis(variables, records, 0.0 if self.strict and not self.signed else lq.PROXIMAL)


def checked_level_bits(bits: object) -> int:
    """`bits` of a layer that quantizes: 1 to 8.

    Raises:
        ValueError: anything else.
    """
    checked = lq.check_bits("bits", bits)
    if checked is None:
        raise checks.wrong("bits", f"an integer from 1 to {lq.MAX_BITS}", bits)
    return checked


def add_basis(layer: tf.keras.layers.Layer, initial: np.ndarray, name: str) -> tuple[tf.Variable, ...]:
    """Variables of one basis on a Keras layer: `<name>`, `<name>_biased` `(K, C)` and `<name>_updates` `()`."""

    def add(suffix: str, value: np.ndarray) -> tf.Variable:
        return layer.add_weight(
            name=f"{name}{suffix}",
            shape=value.shape,
            initializer=tf.keras.initializers.Constant(value),
            trainable=False,
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
        )

    zeros = 0 * initial
    return add("", initial), add("_biased", zeros), add("_updates", zeros[0, 0])


def update_basis(
    variables: tuple[tf.Variable, ...], records: Sequence[Record], proximal: float = lq.PROXIMAL
) -> tf.Operation | None:
    """One moving-average update per record, all solved from the same old basis; a record whose count is 0 has none.

    Args:
        variables: of `add_basis`.
        records: their statistics are `LQStatistics`; applied in order.
        proximal: see `lq.solve_basis`.

    Returns:
        the update operation.
    """
    state = old, *_ = [tf.convert_to_tensor(variable) for variable in variables]
    statistics = [_solvable(entry) for entry in records]
    joined = lq.LQStatistics(*(tf.concat(sums, axis=0) for sums in zip(*statistics, strict=True)))
    solutions = lq.solve_basis(joined, tf.tile(old, [1, len(records)]), proximal)
    for entry, solution in zip(records, tf.split(solutions, len(records), axis=1), strict=True):
        moved = lq.debiased_average(state[1], state[2], solution)
        if tf.is_tensor(entry.count):
            moved = [tf.where(entry.count > 0, new, kept) for new, kept in zip(moved, state, strict=True)]
        state = moved
    return tf.group(*(variable.assign(value) for variable, value in zip(variables, state, strict=True)))


def _solvable(entry: Record) -> lq.LQStatistics:
    """The statistics; those of something that did not run become a system that has a solution."""
    gram, moment = entry.statistics
    if tf.is_tensor(entry.count):
        gram = tf.where(entry.count > 0, gram, tf.eye(gram.shape[-1], batch_shape=gram.shape[:-2], dtype=gram.dtype))
    return lq.LQStatistics(gram, moment)


def by_setting(records: Sequence[Record]) -> dict[str | None, list[Record]]:
    """Records of the same setting together, by its name, in recorded order."""
    groups: dict[str | None, list[Record]] = {}
    for entry in records:
        groups.setdefault(None if entry.setting is None else str(entry.setting), []).append(entry)
    return groups
