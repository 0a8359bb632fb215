"""What an objective is, and what those over a fixed list of settings share."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import tensorflow as tf

from quant.scope import active_scope

if TYPE_CHECKING:
    from tfres.models.network import Network
    from tfres.settings import Setting
    from tfres.tasks import Task


class Outcome(NamedTuple):
    """What an objective returns.

    terms: name -> scalar; their sum is minimised. outputs: name of the setting (or "ensemble") -> the network's outputs.
    """

    terms: dict[str, tf.Tensor]
    outputs: dict[str, tf.Tensor]


class Objective(Protocol):
    """Which settings run in a step and who teaches whom; losses and divergences are the task's.

    random_numbers: how many numbers in [0, 1) a step wants. separable: whether its terms follow from the outputs of
    `trained_settings` alone, so that these may be computed one after another. counts_steps: whether it is called with the
    number of the step too, as `step`. decays_inactive: whether weights that a step does not use move all the same.
    """

    random_numbers: int
    separable: bool
    counts_steps: bool
    decays_inactive: bool

    def ready(self, steps_per_epoch: int) -> Objective:
        """Itself with what it needs beside the network, such as a teacher; called once, where variables may be made."""

    def __call__(self, network: Network, inputs: Mapping, targets: tf.Tensor, task: Task, draws: tf.Tensor) -> Outcome:
        """The loss terms of one batch."""

    def combined(self, network: Network, outputs: Mapping[Setting, tf.Tensor], task: Task) -> dict[str, tf.Tensor]:
        """Further answers that several settings give together, by name."""


@dataclasses.dataclass(frozen=True)
class SwitchableObjective:
    """L = sum over trained settings of loss(z_i, y) + teaching + weight_decay * sum over weights of |W|^2 / 2.

    Losses are the task's, means over the batch, summed over settings; a family adds its `teaching`.

    Args:
        kd: distillation between settings.
        weight_decay: factor of the L2 term.
        decay_on: "kernels" (convolutions and the final layer's kernel) or "all" (every trainable weight).
    """

    kd: bool = False
    weight_decay: float = 0.0
    decay_on: str = "kernels"

    random_numbers = 0
    separable = True
    counts_steps = False
    decays_inactive = False

    def __post_init__(self) -> None:
        check_choice("decay_on", self.decay_on, ("kernels", "all"))
        if not 0 <= self.weight_decay < float("inf"):
            raise ValueError(f"`weight_decay` must be zero or positive. Received: weight_decay={self.weight_decay}.")

    def __call__(
        self, network: Network, inputs: Mapping[Any, tf.Tensor], targets: tf.Tensor, task: Task, draws: Any = None
    ) -> Outcome:
        """Loss terms of one batch.

        Args:
            network: with `trained_settings` and `decayed_weights(decay_on)`.
            inputs: resolution -> normalised images.
            targets: the task's.
            task: gives `loss` and `divergence`.
            draws: float `(random_numbers,)`, uniform in [0, 1).

        Returns:
            `Outcome` with the terms `<loss>_<setting>`, `weight_decay` and the family's.
        """
        outputs = network.forward(inputs, network.trained_settings, training=True)
        return self.outcome(network, {str(setting): z for setting, z in outputs.items()}, targets, task)

    def ready(self, steps_per_epoch: int) -> SwitchableObjective:
        """Itself; see `Objective`."""
        return self

    def outcome(self, network: Network, outputs: Mapping[str, tf.Tensor], targets: tf.Tensor, task: Task) -> Outcome:
        """The `Outcome` of given outputs, by name in the order of `network.trained_settings`."""
        outputs = {name: precise(z) for name, z in outputs.items()}
        terms = {f"{task.loss_name}_{name}": task.loss(z, targets) for name, z in outputs.items()}
        students = list(outputs.values())
        more_outputs, more_terms = self.teaching(network, students, targets, task)
        decay = self.decay(network, students[0].dtype)
        return Outcome(terms | more_terms | decay, outputs | more_outputs)

    def combined(self, network: Network, outputs: Mapping[Setting, tf.Tensor], task: Task) -> dict[str, tf.Tensor]:
        """Further answers that several settings give together; none."""
        return {}

    def decay(self, network: Network, dtype: tf.DType) -> dict[str, tf.Tensor]:
        """The term of weight decay by name; none at 0. Weights that the step does not use are left out."""
        if not self.weight_decay:
            return {}
        scope = None if self.decays_inactive else active_scope()
        running, squares = {} if scope is None else scope.running(), []
        for weight in network.decayed_weights(self.decay_on):
            square = tf.nn.l2_loss(tf.cast(weight, dtype))
            on = running.get(weight.ref())
            squares.append(square if on is None else square * tf.cast(on, dtype))
        return {"weight_decay": self.weight_decay * tf.add_n(squares)}

    def teaching(
        self, network: Network, students: list[tf.Tensor], targets: tf.Tensor, task: Task
    ) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
        """Further outputs and terms by name."""
        return {}, {}


def precise(outputs: tf.Tensor) -> tf.Tensor:
    """Outputs in float32, or in the network's float64."""
    return outputs if outputs.dtype == tf.float64 else tf.cast(outputs, tf.float32)


def check_choice(name: str, value: Any, allowed: tuple[str, ...]) -> None:
    """Raises ValueError unless the value is one of the allowed ones."""
    if value not in allowed:
        raise ValueError(f"`{name}` must be one of {', '.join(allowed)}. Received: {name}={value!r}.")


def from_larger(task: Task, students: list[tf.Tensor], **options: Any) -> tf.Tensor:
    """Sum over pairs of settings of the divergence of the smaller from the larger one; outputs largest first."""
    pairs = [task.divergence(larger, smaller, **options) for i, larger in enumerate(students) for smaller in students[i + 1 :]]
    return tf.add_n(pairs) if pairs else tf.zeros([], students[0].dtype)
