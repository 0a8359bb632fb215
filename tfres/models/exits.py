"""Networks whose settings are exits: a trunk in stages, a head behind each, and work that is skipped when a picture leaves."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import tensorflow as tf

from quant import At
from tfres.models.backbones import Backbone
from tfres.models.network import Network, checked_images
from tfres.models.served import ServedNetwork
from tfres.models.weights import fingerprint, weights_by_name
from tfres.settings import Private, Setting

if TYPE_CHECKING:
    from tfres.models.backbones import Parts
    from tfres.policies import Policy
    from tfres.tasks import Task

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
        cascade: whether a head needs the one before.
    """

    def __init__(self, heads: Mapping[int, tf.keras.layers.Layer], cascade: bool, name: str = "heads") -> None:
        super().__init__(name=name)
        self.exits, self.cascade = sorted(heads), cascade
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
            thresholds: per exit but the last.
            compact: after which exits those that stay are gathered into a smaller batch: "every", "borders" (where a costlier
                part begins) or "never" (a stage runs for all as long as one stays).
        """
        state = self.trunk.begin(images)
        waiting = tf.ones(tf.shape(images)[:1], tf.bool)
        return self._rest(0, state, (), waiting, confidence, thresholds, compact)

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
        outputs = self.heads.answer(number, features, *before)
        score = confidence(place, outputs)
        here = Decision(outputs, tf.fill(tf.shape(score), number), score)
        if number == self.trunk.exits[-1]:
            return here
        leaves = score >= tf.cast(thresholds[place], score.dtype)
        # (graphs would turn "not at least" into "less", which is false for a score that is NaN)
        stays = tf.where(leaves, tf.zeros_like(waiting), waiting)
        carried = (state, (outputs,) if self.heads.cascade else (), stays)
        gathers = compact == "every" or compact == "borders" and number in self.trunk.borders
        rows = tf.where(stays)[:, 0] if gathers else tf.range(tf.size(stays, tf.int64))

        def further() -> Decision:
            rest = tf.nest.map_structure(lambda tensor: tf.gather(tensor, rows), carried) if gathers else carried
            return self._rest(place + 1, *rest, confidence, thresholds, compact)

        def nothing() -> Decision:
            return tf.nest.map_structure(lambda tensor: tensor[:0] if gathers else tensor, here)

        later = tf.cond(tf.reduce_any(stays), further, nothing)
        if gathers:
            return tf.nest.map_structure(lambda a, b: tf.tensor_scatter_nd_update(a, rows[:, None], b), here, later)
        return tf.nest.map_structure(lambda a, b: tf.where(_like(stays, a), b, a), here, later)


def _like(mask: tf.Tensor, tensor: tf.Tensor) -> tf.Tensor:
    """The mask of the rows of a tensor, with as many axes."""
    return tf.reshape(mask, [-1] + [1] * (tensor.shape.rank - 1))


class ExitNetwork(Network):
    """A network whose settings are exits, printed "exit3"; one forward pass gives the outputs of all.

    A family gives a `Trunk` as backbone and `make_heads`, and `exits` among its options.
    """

    axes = ("exit",)
    continuous = False
    joint = True
    private_norms = False

    @property
    def exits(self) -> tuple[int, ...]:
        """Numbers of the exits, ascending."""
        return tuple(self.options.exits)

    @property
    def ways(self) -> Ways:
        """The ways through the network."""
        return Ways(self.backbone, self.classifier)

    def make_heads(self, parts: Parts) -> Heads:
        """The heads, named "heads"."""
        raise NotImplementedError

    def make_classifier(self) -> tf.keras.layers.Layer:
        return self.make_heads(self.parts())

    def served_classifier(self, parts: Parts) -> tf.keras.layers.Layer:
        return self.make_heads(parts)

    def make_trained_settings(self) -> list[Setting]:
        return [Setting(exit=number) for number in reversed(self.exits)]

    def call(self, images: tf.Tensor, setting: Any = None, training: bool | None = None) -> tf.Tensor:
        if not self.built:  # create all variables
            return [*self.ways.each(images, self.exits, training)][-1][1]
        return super().call(images, setting, training)

    def run(self, images: tf.Tensor, at: At | None, training: bool | None = None) -> tf.Tensor:
        number = self.exits[-1] if at is None or at.setting is None else at.setting.exit
        return [*self.ways.each(images, [number], training)][-1][1]

    def forward(
        self,
        inputs: Mapping[Any, tf.Tensor],
        settings: Iterable[Any],
        training: bool | None = None,
        trunk_training: bool | None = None,
        fork: Fork | None = None,
    ) -> dict[Setting, tf.Tensor]:
        """Outputs at several exits, in one pass.

        Args:
            inputs, settings, training: see `Network.forward`.
            trunk_training: mode of the trunk, if it differs.
            fork: see `Fork`.
        """
        resolved = [self.resolve(setting) for setting in settings]
        images = checked_images(inputs[self.size(resolved[0])])
        found = dict(self.ways.each(images, [s.exit for s in resolved], training, trunk_training, fork))
        return {setting: found[setting.exit] for setting in resolved}

    def iterate(self, images: Any) -> Iterator[tuple[Setting, tf.Tensor]]:
        """Better and better outputs for as long as the caller goes on; each costs one more stage and head.

        Args:
            images: as in `call`.

        Example:
            for setting, outputs in network.iterate(images):
                if time.monotonic() > deadline:
                    break
        """
        for number, outputs in self.ways.each(checked_images(images), self.exits, training=False):
            yield Setting(exit=number), outputs

    def adaptive(self, images: Any, policy: Policy, task: Task, compact: str = "every") -> Decision:
        """Let every picture leave at the exit where a policy lets it; what later exits need is not computed for it.

        Args:
            images: as in `call`.
            policy: calibrated for this network (see `tfres.evaluation.early_exit`).
            task: tells how sure outputs are.
            compact: see `Ways.leaving`.

        Raises:
            PolicyError: of a network with other exits or, in eager mode, other weights. ValueError: an unknown `compact`.
        """
        if compact not in COMPACTIONS:
            raise ValueError(f"`compact` must be one of {', '.join(COMPACTIONS)}. Received: compact={compact!r}.")
        known = policy.network is not None and tf.executing_eagerly()
        policy.check_for(self.exits, fingerprint(weights_by_name(self)) if known else None)
        thresholds = [float("nan") if value is None else value for value in policy.thresholds]  # no score is at least NaN

        def confidence(place: int, outputs: tf.Tensor) -> tf.Tensor:
            return task.confidence(outputs, policy.score, policy.temperatures[place])

        return self.ways.leaving(checked_images(images), confidence, thresholds, compact)

    def served(self) -> ServedExits:
        return ServedExits(self)

    def unseen(self, setting: Setting, inference: str, **options: Any) -> Private:
        raise ValueError(f"`inference` is for networks of several resolutions. Received: inference={inference!r}.")

    def uncalibrated(self, setting: Setting, norms_of: int | None = None) -> Private:
        raise ValueError(f"`setting` must be one of the exits, which share their norms. Received: setting={setting}.")


class ServedExits(ServedNetwork):
    """The served form of a network with exits."""

    _frozen: Ways | None = None

    @property
    def ways(self) -> Ways:
        """The ways through the network."""
        return self._frozen or Ways(self.backbone, self.classifier)

    def frozen(self) -> ServedExits:
        from tfres.models.frozen_exits import frozen_ways

        self._frozen = self._frozen or frozen_ways(self)
        return self

    @property
    def exits(self) -> tuple[int, ...]:
        """Numbers of the exits, ascending."""
        return tuple(setting.exit for setting in reversed(self.settings))

    def at(self, setting: Any) -> At:
        """Where the layers run for an exit: the exit itself, which decides what is computed."""
        super().at(setting)
        return At(Setting.parse(setting))

    def run(self, images: tf.Tensor, at: At) -> tf.Tensor:
        return [*self.ways.each(images, [at.setting.exit], training=False)][-1][1]

    def create(self, images: tf.Tensor) -> None:
        for _ in self.ways.each(images, self.exits, training=False):
            pass
