"""The sum of the losses of all exits, and how exits share a trunk and teach one another."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from tfres.objectives.base import Outcome, SwitchableObjective

if TYPE_CHECKING:
    from tfres.models.exits import ExitNetwork
    from tfres.tasks import Task


@dataclasses.dataclass(frozen=True)
class ExitsObjective(SwitchableObjective):
    """L = sum over exits of weight_k loss(z_k, y) + distillation + weight decay.

    Args:
        kd: whether there is distillation.
        weight_decay, decay_on: see `SwitchableObjective`.
        exit_weights: of the exits, the first one first; None for 1 each.
        equilibrium: where exit k of K leaves the trunk, the gradient of its head is multiplied by 1/(K - k + 1) and that of
            everything behind by (K - k)/(K - k + 1). A stage then gets the mean over the exits behind it: its plain gradient
            over their number.
        distillation: factor of T^2 sum over the exits before the last of d(z_K, z_k), d the task's divergence.
        temperature: T.
        heads_only: no gradient and no new statistics for the trunk.

    References: Yang et al., RANet, arXiv 2003.07326 (the sum); Li et al., improved techniques for adaptive networks, arXiv
    1908.06294 (equilibrium, distillation).
    """

    exit_weights: list[float] | None = None
    equilibrium: bool = False
    distillation: float = 0.0
    temperature: float = 1.0
    heads_only: bool = False

    separable = False

    def __call__(
        self, network: ExitNetwork, inputs: Mapping[Any, tf.Tensor], targets: tf.Tensor, task: Task, draws: Any = None
    ) -> Outcome:
        """Loss terms of one batch; see `SwitchableObjective`."""
        how: dict[str, Any] = {}
        if self.heads_only:
            how = {"trunk_training": False, "fork": lambda number, features, state: (tf.stop_gradient(features), state)}
        elif self.equilibrium:
            how = {"fork": equilibrium(network.exits)}
        outputs = network.forward(inputs, network.trained_settings, training=True, **how)
        return self.outcome(network, {str(setting): z for setting, z in outputs.items()}, targets, task)

    def outcome(self, network: ExitNetwork, outputs: Mapping[str, tf.Tensor], targets: tf.Tensor, task: Task) -> Outcome:
        found = super().outcome(network, outputs, targets, task)
        if self.exit_weights is None:
            return found
        weights = dict(zip(network.exits, self.exit_weights, strict=True))
        factors = {f"{task.loss_name}_{setting}": weights[setting.exit] for setting in network.trained_settings}
        return Outcome({name: factors.get(name, 1.0) * term for name, term in found.terms.items()}, found.outputs)

    def decay(self, network: ExitNetwork, dtype: tf.DType) -> dict[str, tf.Tensor]:
        """As the base class; of the heads alone where these alone are trained."""
        if not (self.weight_decay and self.heads_only):
            return super().decay(network, dtype)
        heads = {weight.ref() for weight in network.classifier.trainable_weights}
        weights = [weight for weight in network.decayed_weights(self.decay_on) if weight.ref() in heads]
        return {"weight_decay": self.weight_decay * tf.add_n([tf.nn.l2_loss(tf.cast(weight, dtype)) for weight in weights])}

    def teaching(
        self, network: ExitNetwork, students: list[tf.Tensor], targets: tf.Tensor, task: Task
    ) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
        if not self.kd or len(students) == 1:
            return {}, {}
        last, *others = students
        total = tf.add_n([task.divergence(last, other, temperature=self.temperature) for other in others])
        return {}, {"distillation": self.distillation * self.temperature**2 * total}


def equilibrium(exits: tuple[int, ...]) -> Callable[[int, tf.Tensor, Any], tuple[tf.Tensor, Any]]:
    """The fork (see `tfres.models.exit_ways`) that scales gradients as `ExitsObjective` says."""

    def fork(number: int, features: tf.Tensor, state: Any) -> tuple[tf.Tensor, Any]:
        if number not in exits:
            return features, state
        behind = len(exits) - exits.index(number)
        further = tf.nest.map_structure(lambda tensor: scaled_gradient(tensor, (behind - 1) / behind), state)
        return scaled_gradient(features, 1 / behind), further

    return fork


def scaled_gradient(tensor: tf.Tensor, factor: float) -> tf.Tensor:
    """The tensor itself; gradients that flow through are multiplied."""

    @tf.custom_gradient
    def identity(x: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        return tf.identity(x), lambda gradient: factor * gradient

    return identity(tensor)
