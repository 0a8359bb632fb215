"""Thresholds as cuts: how many of an exit's distinct scores, from the top, leave there.

What pictures that leave gain over where they would leave otherwise, summed over falling scores, weighs all cuts of an exit at
once; counted in two dimensions, all pairs of cuts of two exits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from tfres.evaluation.early_exit.reference import ALWAYS

Cuts = tuple[int, ...]  # one for every exit but the last; 0: nobody leaves
# (exit, hits, cost) -> the cut it gets; hits and cost of all pictures are arrays over its cuts.
Visit = Callable[[int, np.ndarray, np.ndarray], int]
# (hits, cost) -> places in the lists of cuts of two exits; hits and cost are tables over both.
VisitPair = Callable[[tuple[int, int], np.ndarray, np.ndarray], tuple[int, int]]
_GRID = 64  # so many cuts of an exit at most are all tried in pairs


class Pictures:
    """Calibration pictures, prepared for the question what a cut does.

    Args:
        scores: `(exits, pictures)`, finite.
        hits: `(exits, pictures)` of bool.
        costs: `(exits,)`.
    """

    def __init__(self, scores: np.ndarray, hits: np.ndarray, costs: np.ndarray) -> None:
        self.exits, self.number = scores.shape
        self._scores, self._hits, self._costs = scores, hits.astype(np.float64), costs
        self._distinct, self._levels = [], np.zeros((self.exits - 1, self.number), np.int64)
        for index, row in enumerate(scores[:-1]):
            values, self._levels[index] = np.unique(-row, return_inverse=True)
            self._distinct.append(-values)
        self._charges = np.broadcast_to(costs[:, None], scores.shape)
        self._columns = np.arange(self.number)
        self.largest: Cuts = tuple(map(len, self._distinct))

    def single(self, index: int) -> Cuts:
        """Everybody leaves at one exit."""
        return tuple(most if exit == index else 0 for exit, most in enumerate(self.largest))

    def of(self, thresholds: Sequence[float]) -> Cuts:
        """The cuts of thresholds."""
        pairs = zip(self._distinct, thresholds, strict=False)
        return tuple(int(np.count_nonzero(distinct >= threshold)) for distinct, threshold in pairs)

    def totals(self, cuts: Cuts) -> tuple[float, float]:
        """Hits and cost, summed over the pictures."""
        at = np.full(self.number, self.exits - 1)
        for index in reversed(range(self.exits - 1)):
            at[self._levels[index] < cuts[index]] = index
        counts = np.bincount(at, minlength=self.exits)
        return float(self._hits[at, self._columns].sum()), float(counts @ self._costs)

    def visit(self, cuts: Cuts, visit: Visit) -> Cuts:
        """Go through the exits from the last to the first, each with what all its cuts would give, the others as they are.

        Returns:
            The cuts that `visit` gave; each is in force when the exits before it are visited.
        """
        levels, hits, costs = self._levels, self._hits, self._costs
        leaves = levels < np.array(cuts, np.int64)[:, None]
        left = np.ones((self.exits, self.number), bool)  # pictures that reach an exit
        gone = np.zeros((self.exits, 2))  # hits and cost of those that do not
        for index, leave in enumerate(leaves):
            np.logical_and(left[index], ~leave, out=left[index + 1])
            here = left[index] & leave
            gone[index + 1] = gone[index] + (hits[index] @ here, costs[index] * np.count_nonzero(here))
        found = list(cuts)
        hits_later, cost_later = hits[-1].copy(), np.full(self.number, costs[-1])
        for index in reversed(range(self.exits - 1)):
            reach = left[index]
            curves = []
            for which, (now, later) in enumerate(((hits[index], hits_later), (costs[index], cost_later))):
                gains = np.bincount(levels[index], (now - later) * reach, self.largest[index])
                start = gone[index, which] + later @ reach
                curves.append(np.concatenate([[start], start + np.cumsum(gains)]))
            found[index] = visit(index, *curves)
            leave = levels[index] < found[index]
            np.copyto(hits_later, hits[index], where=leave)
            cost_later[leave] = costs[index]
        return tuple(found)

    def visit_pairs(self, cuts: Cuts, visit: VisitPair) -> Cuts:
        """Go through the pairs of exits, each with what all pairs of cuts on their grids would give, the others as they are.

        Returns:
            The cuts that `visit` gave; they are in force for the pairs that follow.
        """
        grids = [self._grid(cuts, index) for index in range(self.exits - 1)]
        bins = [np.searchsorted(grid, np.arange(most), "right") for grid, most in zip(grids, self.largest, strict=True)]
        bins = [where[levels] for where, levels in zip(bins, self._levels, strict=True)]  # leaves at cuts from this one on
        found = list(cuts)
        leaves = self._levels < np.array(cuts, np.int64)[:, None]
        for first in range(self.exits - 2):
            for second in range(first + 1, self.exits - 1):
                pair = [first, second]
                tables = self._tables(leaves, pair, [bins[index] for index in pair], [len(grids[index]) for index in pair])
                places = [int(np.searchsorted(grids[index], found[index])) for index in pair]
                for index, old, new in zip(pair, places, visit(tuple(places), *tables), strict=True):
                    if new != old:
                        found[index] = int(grids[index][new])
                        leaves[index] = self._levels[index] < found[index]
        return tuple(found)

    def _tables(self, leaves: np.ndarray, pair: list[int], bins: list[np.ndarray], sizes: list[int]) -> list[np.ndarray]:
        """Hits and cost of all pictures for all cuts of two exits."""
        first, second = pair
        at = np.full(self.number, self.exits - 1)  # where a picture leaves that leaves at neither
        for index in reversed(range(self.exits - 1)):
            if index not in pair:
                at[leaves[index]] = index
        come, stay = np.flatnonzero(at > first), np.flatnonzero(at > second)
        width = sizes[1] + 1
        both = bins[0][stay] * width + bins[1][stay]
        tables = []
        for values, rest in ((self._hits, self._hits[at, self._columns]), (self._charges, self._costs[at])):
            alone = np.bincount(bins[0][come], (values[first] - rest)[come], sizes[0] + 1).cumsum()
            gains = np.bincount(both, (values[second] - rest)[stay], (sizes[0] + 1) * width).reshape(-1, width).cumsum(1)
            # The second exit sees the pictures whose bin of the first is above the first's cut.
            table = rest.sum() + alone[:, None] + gains.sum(0) - gains.cumsum(0)
            tables.append(table[:-1, :-1])
        return tables

    def _grid(self, cuts: Cuts, index: int) -> np.ndarray:
        """Cuts of an exit that are tried: all if they are few; else quantiles of the pictures that come and cuts nearby."""
        most = self.largest[index]
        if most <= _GRID:
            return np.arange(most + 1)
        came = np.ones(self.number, bool)
        for levels, cut in zip(self._levels[:index], cuts[:index], strict=True):
            came &= levels >= cut
        steps = 2 ** np.arange(most.bit_length())
        near = np.concatenate([[0, most, cuts[index]], cuts[index] + steps, cuts[index] - steps])
        levels = np.sort(self._levels[index][came])
        spread = levels[np.linspace(0, len(levels) - 1, _GRID // 2).astype(int)] if len(levels) else []
        grid = np.unique(np.concatenate([near, spread])).astype(np.int64)
        return grid[(grid >= 0) & (grid <= most)]

    def thresholds(self, cuts: Cuts) -> tuple[float | None, ...]:
        """Thresholds that do on these pictures what the cuts do, in the middle between the scores beside them.

        None where nobody leaves; `ALWAYS` where all leave who come, or their lowest score where that is lower.
        """
        found: list[float | None] = []
        left = np.ones(self.number, bool)
        for row, levels, cut in zip(self._scores, self._levels, cuts, strict=False):
            leave = levels < cut
            leaving, staying = row[left & leave], row[left & ~leave]
            left &= ~leave
            if not leaving.size:
                found.append(None)
            elif not staying.size:
                found.append(min(ALWAYS, float(leaving.min())))
            else:
                low, high = staying.max(), leaving.min()
                middle = row.dtype.type(float(low) / 2 + float(high) / 2)
                found.append(float(middle if low < middle <= high else high))
        return tuple(found)
