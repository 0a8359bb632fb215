"""Networks whose settings are exits, and their served form."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from quant import At
from tfres.layers import StackedBatchNorm
from tfres.layers.serving import served_form
from tfres.models.exit_ways import COMPACTIONS, Decision, Fork, Heads, Ways
from tfres.models.layer_names import named_layers
from tfres.models.network import Network, checked_images
from tfres.models.served import ServedNetwork
from tfres.models.weights import fingerprint_of
from tfres.policies import SCORES
from tfres.settings import Private, Setting

if TYPE_CHECKING:
    from tfres.models.backbones import Parts
    from tfres.policies import Policy
    from tfres.tasks import Task


class ExitNetwork(Network):
    """A network whose settings are exits, printed "exit3"; one forward pass gives the outputs of all.

    A family gives a `Trunk` as backbone and `make_heads`, and `exits` among its options.
    """

    axes = ("exit",)
    continuous = False
    joint = True
    private_norms = False
    _fitting: str | None = None  # fingerprint of the policies that were found to fit

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

    def costs_on_the_way(self, number: int, skipped: Iterable[int] = ()) -> dict[str, int]:
        """What a picture costs that leaves at an exit after the heads before: "macs", and what else the family counts.

        Args:
            number: of the exit.
            skipped: exits whose heads do not run, because nobody leaves there.
        """
        raise NotImplementedError

    def more_costs(self, setting: Any = None) -> dict[str, float]:
        """The costs of an exit after all heads before: "macs_sequential" and the family's further ones."""
        costs = self.costs_on_the_way(self.resolve(setting).exit)
        return {"macs_sequential": costs.pop("macs"), **costs}

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
            PolicyError: of a network with other exits or, at the first call in eager mode, other weights. ValueError: an
                unknown `compact`.
        """
        if compact not in COMPACTIONS:
            raise ValueError(f"`compact` must be one of {', '.join(COMPACTIONS)}. Received: compact={compact!r}.")
        if policy.network is not None and policy.network != self._fitting and tf.executing_eagerly():
            policy.check_for(self.exits, fingerprint_of(self))
            self._fitting = policy.network
        policy.check_for(self.exits)
        thresholds = [float("nan") if value is None else value for value in policy.thresholds]  # no score is at least NaN

        def confidence(place: int, outputs: tf.Tensor) -> tf.Tensor:
            return task.confidence(outputs, policy.score, policy.temperatures[place])

        return self.ways.leaving(checked_images(images), confidence, thresholds, compact)

    def served(self, form: Callable[..., tf.keras.layers.Layer] = served_form) -> ServedExits:
        return ServedExits(self, form)

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

        for layer in (*named_layers(self.backbone).values(), *named_layers(self.classifier).values()):
            if isinstance(layer, StackedBatchNorm):
                layer.folded = True
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

    def prepared(self, task: Task, images: tf.Tensor) -> tf.Tensor:
        """Pictures, uint8 `(batch, height, width, 3)`, as `leaving` takes them; those of the right size are not resized."""
        size = self.input_size(self.settings[0])
        fits = tf.reduce_all(tf.shape(images)[1:3] == size)
        ready = tf.cond(fits, lambda: task.normalised(images), lambda: task.resized(images, size))
        return tf.ensure_shape(tf.cast(ready, self.compute_dtype), [None, *size, 3])

    def leaving(
        self,
        images: tf.Tensor,
        task: Task,
        thresholds: tf.Tensor,
        temperatures: tf.Tensor,
        score: tf.Tensor,
        compact: str = "every",
    ) -> Decision:
        """Let every picture leave by a policy that is given as tensors; for graphs.

        Args:
            images: normalised `(batch, height, width, 3)`, at least one.
            task: tells how sure outputs are.
            thresholds: float32 `(exits - 1,)`, infinite where nobody leaves.
            temperatures: float32 `(exits,)`.
            score: int32, its place in `tfres.policies.SCORES`.
            compact: see `Ways.leaving`.
        """

        def confidence(place: int, outputs: tf.Tensor) -> tf.Tensor:
            known = [functools.partial(task.confidence, outputs, name, temperatures[place]) for name in SCORES]
            return tf.switch_case(score, known)

        return self.ways.leaving(images, confidence, tf.unstack(thresholds), compact)

    def create(self, images: tf.Tensor) -> None:
        for _ in self.ways.each(images, self.exits, training=False):
            pass
