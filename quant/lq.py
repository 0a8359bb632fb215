"""The learned quantizer of LQ-Nets as pure functions: levels, forward with gradient, basis update.

A basis `v` of K bits spans L = 2**K levels `codes @ v`. Codes are {-1, +1}**K for weights (`signed=True`, one basis
per output channel) and {0, 1}**K for activations (`signed=False`, one basis per tensor). K is the basis' first axis.

Forward: y = the level nearest to x (thresholds midway between neighbouring levels, x > threshold strictly).
Gradient: weights dL/dx = dL/dy; activations dL/dx = dL/dy where x <= top level, else 0. The basis gets none.
Update: v* = argmin |x - B v|**2 + delta |v - v_old|**2 with the codes B of the forward pass, then a zero-debiased moving
average. Only the count n_s and the sum S_s of x per level s are needed: B'B = sum n_s e_s e_s', B'x = sum S_s e_s.

References: Zhang et al., LQ-Nets (ECCV 2018), arXiv 1807.10029. Differences from its code, all off with `strict=True`:
the proximal term delta also holds for activations (there a singular system stops training), and the lowest level keeps
its own code and value when a basis entry is negative.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf

MAX_BITS = 8
MOMENTUM = 0.9
PROXIMAL = 1e-4
_QUARTILE = 0.6745  # 0.75 quantile of the standard normal
_STEEP = 1e30  # makes any difference of two floats at least 1
_FUSE_FROM = 2**18  # elements from which XLA pays
_MAX_CHAIN_BITS = 4  # up to here comparing with every threshold beats a binary search


class LQStatistics(NamedTuple):
    """Sufficient statistics of the least-squares step; sums, so replicas and resolutions simply add.

    gram: `(C, K, K)`, B'B per channel (C = 1 for activations). moment: `(C, K)`, B'x.
    """

    gram: tf.Tensor
    moment: tf.Tensor


def check_bits(name: str, bits: object) -> int | None:
    """`bits` as an int in 1..8, or None when it means "not quantized" (None or 32).

    Raises:
        ValueError: anything else.
    """
    if bits is None or bits == 32:
        return None
    if not isinstance(bits, int) or isinstance(bits, bool) or not 1 <= bits <= MAX_BITS:
        raise ValueError(f"`{name}` must be an integer from 1 to {MAX_BITS}, or 32 for float. Received: {name}={bits!r}.")
    return bits


def codes(bits: int, signed: bool) -> np.ndarray:
    """All codes, `(2**bits, bits)` float32; bit j of code i is `(i >> j) & 1`, with 0 standing for -1 when signed."""
    bit = (np.arange(2**bits)[:, None] >> np.arange(bits)) & 1
    return (2 * bit - 1 if signed else bit).astype(np.float32)


def initial_activation_basis(bits: int) -> np.ndarray:
    """`(bits, 1)`: uniform levels from 0 to 1.349 (twice the quartile of a standard normal)."""
    return (2 * _QUARTILE / (2**bits - 1) * 2.0 ** np.arange(bits))[:, None].astype(np.float32)


def initial_weight_basis(bits: int, fan_out: int, channels: int) -> np.ndarray:
    """`(bits, channels)`: 0.6745 sigma 2**j / 2**(bits-1), sigma = sqrt(2 / fan_out), fan_out = h*w*out of the kernel."""
    column = _QUARTILE * np.sqrt(2 / fan_out) * 2.0 ** (np.arange(bits) - (bits - 1))
    return np.repeat(column[:, None], channels, axis=1).astype(np.float32)


def sorted_levels(basis: tf.Tensor, signed: bool) -> tuple[tf.Tensor, tf.Tensor]:
    """Levels in ascending order and the code of each.

    Args:
        basis: `(K, C)`.
        signed: True for weights.

    Returns:
        `(levels, order)`, both `(C, 2**K)`: value, and index into `codes`, of the level in that place. Of equal levels
        the higher code comes first.
    """
    levels = levels_of_codes(basis, signed)
    descending, order = tf.math.top_k(levels, k=levels.shape[1])
    return tf.reverse(descending, [1]), tf.reverse(order, [1])


def levels_of_codes(basis: tf.Tensor, signed: bool) -> tf.Tensor:
    """`(C, 2**K)`: the level of every code, in the order of `codes`; arguments as `sorted_levels`."""
    columns = tf.unstack(tf.expand_dims(basis, -1))  # few operations: every quantizer of a network is traced
    return sum(bits * column for bits, column in zip(codes(len(columns), signed).T, columns, strict=True))


class LevelTable(NamedTuple):
    """What a quantizer of one basis looks up, places in ascending order.

    thresholds: `(C, L-1)`. levels: `(C, L)`, the outputs. codes: `(C, L, K)`. signed: True for weights.
    """

    thresholds: tf.Tensor
    levels: tf.Tensor
    codes: tf.Tensor
    signed: bool


def level_table(basis: tf.Tensor, signed: bool, strict: bool = False) -> LevelTable:
    """The `LevelTable` of a basis `(K, C)`.

    `strict` gives the lowest place what the reference gives it: code 0...0 or -1...-1, and activations output 0.
    """
    levels, order = sorted_levels(basis, signed)
    thresholds = 0.5 * levels[:, :-1] + 0.5 * levels[:, 1:]
    if strict:
        order = tf.concat([tf.zeros_like(order[:, :1]), order[:, 1:]], axis=1)
        if not signed:
            levels = tf.concat([tf.zeros_like(levels[:, :1]), levels[:, 1:]], axis=1)
    return LevelTable(thresholds, levels, tf.cast(tf.gather(codes(basis.shape[0], signed), order), basis.dtype), signed)


def place(x: tf.Tensor, thresholds: tf.Tensor, levels: tf.Tensor) -> tf.Tensor:
    """Level of every value of `x` by given `(L-1,)` thresholds and `(L,)` levels; no gradient."""
    if levels.shape[0] <= 2**_MAX_CHAIN_BITS:
        return _select(x, tf.unstack(thresholds), tf.unstack(levels))
    return tf.gather(levels, tf.reshape(tf.searchsorted(thresholds, tf.reshape(x, [-1])), tf.shape(x)))


def climb(x: tf.Tensor, thresholds: tf.Tensor, levels: tf.Tensor) -> tf.Tensor:
    """`place` by sums and products only: l[0] + sum (l[i + 1] - l[i]) clip(1e30 (x - t[i]), 0, 1).

    Near t the difference x - t is exact, so that a step is where `x > t` is; levels are those of `place` but for the rounding
    of the sum. Where comparing and selecting are slow this is quicker.
    """
    y = levels[0]
    for threshold, step in zip(tf.unstack(thresholds), tf.unstack(levels[1:] - levels[:-1]), strict=True):
        y += step * tf.clip_by_value((x - threshold) * _STEEP, 0.0, 1.0)
    return y


def quantize(x: tf.Tensor, table: LevelTable) -> tf.Tensor:
    """Nearest level of every value, with the straight-through gradient (see the module's formulas).

    Args:
        x: float tensor; for weights channels are the last axis.
        table: `LevelTable` of the basis.

    Returns:
        tensor like `x`.
    """
    return _quantize(x, table, False)


def quantize_with_statistics(x: tf.Tensor, table: LevelTable) -> tuple[tf.Tensor, LQStatistics]:
    """`quantize` and, from the same pass, the `LQStatistics` of the basis update.

    Returns:
        `(y, LQStatistics)`; gradients flow through `y` only.
    """
    y, gram, moment = _quantize(x, table, True)
    return y, LQStatistics(gram, moment)


def solve_basis(statistics: LQStatistics, basis: tf.Tensor, proximal: float = PROXIMAL) -> tf.Tensor:
    """Least-squares basis v* = (B'B + delta I)^-1 (B'x + delta v_old), solved in float64.

    Args:
        statistics: `LQStatistics`.
        basis: the old basis `(K, C)`, to which the solution is drawn (or `(K, 1)`, the same for every channel).
        proximal: delta; 0 leaves a singular system singular (an error on the CPU).

    Returns:
        `(K, C)`.
    """
    gram = tf.cast(statistics.gram, tf.float64)
    moment = tf.cast(statistics.moment, tf.float64)
    gram += proximal * tf.eye(basis.shape[0], dtype=tf.float64)
    moment += proximal * tf.transpose(tf.cast(basis, tf.float64))
    solution = tf.linalg.solve(gram, moment[..., None])[..., 0]
    return tf.cast(tf.transpose(solution), basis.dtype)


def debiased_average(
    biased: tf.Tensor, count: tf.Tensor, solution: tf.Tensor, momentum: float = MOMENTUM
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """One zero-debiased moving-average update: m <- 0.9 m + 0.1 v*, v = m / (1 - 0.9**k); the first one gives v*.

    Args:
        biased: m, like `solution`; starts at 0.
        count: k before this update, scalar float; starts at 0.
        solution: v*.
        momentum: the factor 0.9.

    Returns:
        `(average, biased, count)` after the update.
    """
    count = count + 1
    biased = momentum * biased + (1 - momentum) * solution
    return biased / (1 - tf.pow(tf.constant(momentum, count.dtype), count)), biased, count


def _quantize(x: tf.Tensor, table: LevelTable, with_statistics: bool) -> tf.Tensor | tuple[tf.Tensor, ...]:
    """Shared body: places every value, outputs its level, optionally sums the statistics; gradient for x only."""

    @tf.custom_gradient
    def straight_through(x: tf.Tensor) -> tuple:
        find = _place_by_chain if table.levels.shape[1] <= 2**_MAX_CHAIN_BITS else _place_by_search
        y, counts, sums = find(x, table.thresholds, table.levels, table.signed, with_statistics)
        results = y
        if with_statistics:
            gram = tf.linalg.matmul(table.codes * counts[..., None], table.codes, transpose_a=True)
            results = (y, gram, tf.linalg.matmul(sums[:, None], table.codes)[:, 0])

        def gradient(dy: tf.Tensor, *_: object) -> tf.Tensor:
            if table.signed:
                return dy
            # dy where x <= top, as one subtraction and the fast kernel of relu's gradient (dy where features > 0).
            above = tf.math.nextafter(table.levels[0, -1], tf.constant(np.inf, dy.dtype))
            return tf.raw_ops.ReluGrad(gradients=dy, features=above - x)

        return results, gradient

    return straight_through(x)


def _place_by_chain(
    x: tf.Tensor, thresholds: tf.Tensor, outputs: tf.Tensor, signed: bool, with_statistics: bool
) -> tuple[tf.Tensor, tf.Tensor | None, tf.Tensor | None]:
    """One comparison per threshold. Counts and sums per level are differences of those above each threshold."""
    channels = outputs.shape[0]
    axes = list(range(x.shape.rank - 1)) if signed else None
    # Levels of weights, (C,) each, broadcast over the last axis; those of activations are scalars.
    thresholds, outputs = (tf.unstack(table if signed else table[0], axis=-1) for table in (thresholds, outputs))
    if not with_statistics:
        return _select(x, thresholds, outputs), None, None
    y, counts, sums = _compare(x, thresholds, outputs, axes)
    total = tf.cast(tf.size(x) // channels, x.dtype) * tf.ones_like(sums[:1])
    return y, _per_level(tf.concat([total, counts], axis=0)), _per_level(sums)


def _compare(
    x: tf.Tensor, thresholds: list[tf.Tensor], outputs: list[tf.Tensor], axes: list[int] | None
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """From lists of thresholds and levels: the level of every value, and figures over `axes` with a new first axis.

    Returns:
        `(y, counts above every threshold, [sum of all, sums above every threshold])`.
    """
    counts, sums = [], [tf.reduce_sum(x, axes)]
    for threshold in thresholds:
        with tf.control_dependencies(sums[-1:]):  # one mask in memory at a time
            above = tf.cast(x > threshold, x.dtype)
        counts.append(tf.reduce_sum(above, axes))
        sums.append(tf.reduce_sum(above * x, axes))
    fuse = axes is None and x.dtype == tf.float32 and (x.shape.num_elements() or 0) >= _FUSE_FROM
    with tf.control_dependencies(sums[-1:]):
        y = (_fused_select if fuse else _select)(x, thresholds, outputs)
    return y, tf.stack(counts), tf.stack(sums)


def _select(x: tf.Tensor, thresholds: list[tf.Tensor], outputs: list[tf.Tensor]) -> tf.Tensor:
    y = tf.where(x > thresholds[0], outputs[1], outputs[0])
    for threshold, output in zip(thresholds[1:], outputs[2:], strict=True):
        with tf.control_dependencies([y]):
            above = x > threshold
        y = tf.where(above, output, y)
    return y


# One pass over the tensor instead of one per level; in training only, so that exports need no XLA.
_fused_select = tf.function(_select, jit_compile=True, autograph=False)


def _per_level(above: tf.Tensor) -> tf.Tensor:
    """From [all, above threshold 0, above threshold 1, ...] (first axis) to `(C, L)` figures per level."""
    above = tf.transpose(tf.reshape(above, [above.shape[0], -1]))
    return above - tf.pad(above[:, 1:], [[0, 0], [0, 1]])


def _place_by_search(
    x: tf.Tensor, thresholds: tf.Tensor, outputs: tf.Tensor, signed: bool, with_statistics: bool
) -> tuple[tf.Tensor, tf.Tensor | None, tf.Tensor | None]:
    """Binary search for the place of every value; the time does not grow with the number of levels."""
    channels, levels = outputs.shape
    rows = tf.transpose(tf.reshape(x, [-1, channels])) if signed else tf.reshape(x, [1, -1])
    place = tf.searchsorted(thresholds, rows, side="left")
    y = tf.gather(outputs, place, batch_dims=1)
    y = tf.reshape(tf.transpose(y) if signed else y, tf.shape(x))
    if not with_statistics:
        return y, None, None
    ids = tf.reshape(place + levels * tf.range(channels)[:, None], [-1])
    values = tf.reshape(rows, [-1])
    counts, sums = (
        tf.reshape(tf.math.unsorted_segment_sum(v, ids, channels * levels), [channels, levels])
        for v in (tf.ones_like(values), values)
    )
    return y, counts, sums
