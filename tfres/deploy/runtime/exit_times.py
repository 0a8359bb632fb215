"""How long policies take, from how long pictures take that leave at one exit."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING

import numpy as np

from tfres.deploy.runtime.times import QUANTILE

if TYPE_CHECKING:
    from collections.abc import Sequence

    Taken = Sequence[Sequence[float]]  # ms of the calls in which all pictures left at the first, second, ... exit


def policy_time(shares: Sequence[float], single: Taken, several: Taken, batch: int) -> float:
    """Milliseconds that 95 % of a policy's calls should not exceed.

    Of one picture: the quantile over the calls of all exits, each exit's by its share.

    Of a batch: the sum of the stages' times. A stage takes what calls that leave behind it take longer than those that leave
    before it, and that is linear in the pictures that get there, between what it takes for one and for the whole batch; they
    are so many as 95 % of batches do not exceed where each picture leaves at an exit with the probability of its share.

    Args:
        shares: part of the pictures that leave at each exit.
        single: of one picture, see `Taken`.
        several: of the batch.
        batch: pictures.
    """
    if batch == 1:
        weights = np.concatenate(
            [np.full(len(taken), share / len(taken)) for share, taken in zip(shares, single, strict=True)]
        )
        values = np.concatenate([np.asarray(taken, float) for taken in single])
        order = np.argsort(values)
        reached = np.searchsorted(np.cumsum(weights[order]), QUANTILE * sum(shares) * (1 - 1e-9))
        return float(values[order][min(reached, len(values) - 1)])
    reached, going_on = [batch], 1.0
    for share in shares[:-1]:
        going_on -= share
        reached.append(survivors(batch, going_on))
    return batch_time(reached, [_quantile(taken) for taken in single], [_quantile(taken) for taken in several])


def batch_time(reached: Sequence[int], single: Sequence[float], several: Sequence[float]) -> float:
    """Milliseconds of a batch, see `policy_time`.

    Args:
        reached: how many pictures each stage runs for, the first one for the whole batch.
        single: ms of one picture that leaves at the first, second, ... exit.
        several: of the batch, if all its pictures do.
    """
    one, whole = _stages(single), _stages(several)
    total = whole[0]
    for pictures, low, high in zip(reached[1:], one[1:], whole[1:], strict=True):
        if pictures:
            total += low + (high - low) * (pictures - 1) / max(reached[0] - 1, 1)
    return float(total)


@functools.lru_cache(1024)
def survivors(batch: int, probability: float) -> int:
    """The smallest number that a binomial variable exceeds in 5 % of cases at most."""
    if probability <= 0 or probability >= 1:
        return batch * (probability >= 1)
    reached, counts = 0.0, range(batch + 1)
    stay, leave = math.log(probability), math.log1p(-probability)
    for count in counts:
        ways = math.lgamma(batch + 1) - math.lgamma(count + 1) - math.lgamma(batch - count + 1)
        reached += math.exp(ways + count * stay + (batch - count) * leave)
        if reached >= QUANTILE:
            return count
    return batch


def _quantile(taken: Sequence[float]) -> float:
    return float(np.quantile(taken, QUANTILE))


def _stages(reached: Sequence[float]) -> list[float]:
    """Milliseconds of each stage, from those up to its exit."""
    return [float(ms) for ms in np.diff(np.maximum.accumulate(reached), prepend=0.0)]
