"""The ways through a network with exits: a trunk in stages, a head behind each, work that is skipped when a picture leaves."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from tfres.models.backbones import Backbone

State = Any  # nested tensors, each with a row per picture
# Between two stages: function of exit, features for the head and state, giving both, such as with other gradients.
Fork = Callable[[int, tf.Tensor, State], tuple[tf.Tensor, State]]
COMPACTIONS = ("every", "borders", "never")


class Trunk(Backbone):
    """A backbone in stages; stage k is everything between an exit and the one before.

    A family gives `begin` and `advance`. `exits` are the exits' numbers, ascending; `borders` those after which the next stage
    begins a costlier part, such as a finer resolution.
    """

    exits: tuple[int, ...]
    borders: frozenset[int]

    def begin(self, images: tf.Tensor, training: bool | None = None) -> State:
        """The state before the first stage."""
        raise NotImplementedError

    def advance(self, state: State, number: int, training: bool | None = None) -> tuple[tf.Tensor, State]:
        """Run the stage that ends at an exit: the features for its head, and what later stages need of the state."""
        raise NotImplementedError


class Heads(tf.keras.layers.Layer):
    """The heads of all exits.

    Args:
        heads: exit -> layer called `(features, outputs of the head before or None, training)`.
        shape: of the outputs for one picture.
        cascade: whether a head needs the one before.
    """

    def __init__(
        self, heads: Mapping[int, tf.keras.layers.Layer], shape: Sequence[int], cascade: bool, name: str = "heads"
    ) -> None:
        super().__init__(name=name)
        self.exits, self.shape, self.cascade = sorted(heads), tuple(shape), cascade
        self._heads = [heads[number] for number in self.exits]

    def needed(self, exits: Iterable[int]) -> list[int]:
        """Which heads run for the outputs of these exits."""
        exits = {*exits}
        return [number for number in self.exits if number in exits or self.cascade and number < max(exits)]

    def answer(
        self, number: int, features: tf.Tensor, before: tf.Tensor | None = None, training: bool | None = None
    ) -> tf.Tensor:
        """Outputs of an exit from its features, and in a cascade from the outputs of the head before."""
        with tf.name_scope(f"{self.name}/"):
            return self._heads[self.exits.index(number)](features, before, training=training)

    def nothing(self, number: int, features: tf.Tensor) -> tf.Tensor:
        """What stands for the outputs of a head that does not run."""
        kind = tf.float32 if features.dtype.size < tf.float32.size else features.dtype
        return tf.zeros([tf.shape(features)[0], *self.shape], kind)


class Decision(NamedTuple):
    """What a network answered to pictures that left it at exits of their own.

    outputs `(batch, ...)`; exit int32 `(batch,)`, its number; score float `(batch,)`, the confidence there.
    """

    outputs: tf.Tensor
    exit: tf.Tensor
    score: tf.Tensor


@dataclasses.dataclass(frozen=True)
class Ways:
    """The ways through a trunk and its heads.

    Args:
        trunk: `Trunk`.
        heads: `Heads`.
    """

    trunk: Trunk
    heads: Heads

    def each(
        self,
        images: tf.Tensor,
        exits: Iterable[int],
        training: bool | None = None,
        trunk_training: bool | None = None,
        fork: Fork | None = None,
    ) -> Iterator[tuple[int, tf.Tensor]]:
        """`(exit, outputs)` of each of some exits, ascending; a stage runs when its outputs are asked for.

        Args:
            images: normalised.
            exits: which.
            training: of the heads, and of the trunk unless `trunk_training` is given.
            fork: see `Fork`.
        """
        exits = {*exits}
        trunk_training = training if trunk_training is None else trunk_training
        needed, before = self.heads.needed(exits), None
        state = self.trunk.begin(images, training=trunk_training)
        for number in self.trunk.exits:
            if number > needed[-1]:
                return
            features, state = self.trunk.advance(state, number, training=trunk_training)
            if number in needed:
                if fork is not None:
                    features, state = fork(number, features, state)
                before = self.heads.answer(number, features, before, training=training)
                if number in exits:
                    yield number, before

    def leaving(
        self,
        images: tf.Tensor,
        confidence: Callable[[int, tf.Tensor], tf.Tensor],
        thresholds: Sequence[Any] | tf.Tensor,
        compact: str = "every",
    ) -> Decision:
        """Let every picture leave at the first exit whose score reaches the threshold; stages that no picture reaches do not
        run.

        Args:
            images: normalised, at least one.
            confidence: `(place of the exit, outputs) -> scores`.
            thresholds: per exit but the last; where one is infinite, or not a number, nobody leaves and the head does not run
                (but in a cascade).
            compact: after which exits those that stay are gathered into a smaller batch, filled up to one of a few sizes, when
                they fit into a smaller one: "every", "borders" (where a costlier part begins) or "never" (a stage runs for all
                as long as one stays).
        """
        compact = "never" if images.shape[0] == 1 else compact  # of one picture there is nothing to gather
        waiting = tf.ones(tf.shape(images)[:1], tf.bool)
        return self._rest(0, self.trunk.begin(images), (), waiting, confidence, thresholds, compact)

    def _rest(
        self,
        place: int,
        state: State,
        before: tuple[tf.Tensor, ...],
        waiting: tf.Tensor,
        confidence: Callable[[int, tf.Tensor], tf.Tensor],
        thresholds: Any,
        compact: str,
    ) -> Decision:
        """From the stage at a place in `exits` on; `before` has the outputs of the head before, in a cascade, `waiting` tells
        which rows have not left yet.
        """
        number = self.trunk.exits[place]
        features, state = self.trunk.advance(state, number)

        def answered() -> Decision:
            outputs = self.heads.answer(number, features, *before)
            score = confidence(place, outputs)
            return Decision(outputs, tf.fill(tf.shape(score), number), score)

        def passed() -> Decision:
            outputs = self.heads.nothing(number, features)
            return Decision(outputs, tf.fill(tf.shape(waiting), number), tf.fill(tf.shape(waiting), float("nan")))

        if number == self.trunk.exits[-1]:
            return answered()
        threshold = thresholds[place]
        runs = self.heads.cascade or threshold < float("inf")
        here = (answered() if runs else passed()) if isinstance(runs, bool) else tf.cond(runs, answered, passed)
        outputs, _, score = here
        leaves = score >= tf.cast(threshold, score.dtype)
        # (graphs would turn "not at least" into "less", which is false for a score that is NaN)
        stays = tf.where(leaves, tf.zeros_like(waiting), waiting)
        carried = (state, (outputs,) if self.heads.cascade else (), stays)
        gathers = compact == "every" or compact == "borders" and number in self.trunk.borders
        if not gathers:
            later = tf.cond(
                tf.reduce_any(stays),
                lambda: self._rest(place + 1, *carried, confidence, thresholds, compact),
                lambda: here,
            )
            return tf.nest.map_structure(lambda a, b: tf.where(_like(stays, a), b, a), here, later)
        count, size = tf.math.count_nonzero(stays, dtype=tf.int32), tf.size(stays)

        def further() -> Decision:
            padded = _bucket(count, size)

            def gathered() -> tuple[Any, tf.Tensor, tf.Tensor]:
                rows = tf.cast(tf.where(stays)[:, 0], tf.int32)
                taken = tf.concat([rows, tf.repeat(rows[:1], padded - count)], 0)
                kept = tf.nest.map_structure(lambda tensor: tf.gather(tensor, taken), carried[:2])
                return kept, tf.range(padded) < count, taken

            def onward(state: State, before: tuple[tf.Tensor, ...], still: tf.Tensor) -> Decision:
                return self._rest(place + 1, state, before, still, confidence, thresholds, compact)

            smaller = padded < size
            kept, still, taken = tf.cond(smaller, gathered, lambda: (carried[:2], stays, tf.range(size)))
            found = (_apart(onward) if place == 0 else onward)(*kept, still)
            places = tf.boolean_mask(taken, still)[:, None]
            return tf.nest.map_structure(
                lambda a, b: tf.tensor_scatter_nd_update(a, places, tf.boolean_mask(b, still)), here, found
            )

        return tf.cond(count > 0, further, lambda: here)


def _apart(function: Callable[..., Any]) -> Callable[..., Any]:
    """In a graph, the function as one node that is not merged into it: an executor prepares every node of a graph, also those
    of branches that are not taken, and a picture that leaves at the first exit should not pay for all that follow.
    """
    if tf.executing_eagerly():
        return function
    return tf.function(function, autograph=False, experimental_attributes={"_noinline": True})


def _bucket(count: tf.Tensor, most: tf.Tensor) -> tf.Tensor:
    """How many rows so many are filled up to: 1, 2, 4 or a multiple of an eighth of all (of 2 at least), at most all.

    Kernels are prepared anew for every size of a batch, which costs more than a few rows.
    """
    small, step = tf.where(count > 2, 4, count), tf.maximum(most // 8, 2)
    return tf.minimum(tf.where(count > 4, (count + step - 1) // step * step, small), most)


def _like(mask: tf.Tensor, tensor: tf.Tensor) -> tf.Tensor:
    """The mask of the rows of a tensor, with as many axes."""
    return tf.reshape(mask, [-1] + [1] * (tensor.shape.rank - 1))
