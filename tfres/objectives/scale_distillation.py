"""The loss at every resolution, and larger resolutions that teach smaller ones."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import tensorflow as tf

from tfres.objectives.base import SwitchableObjective, from_larger

if TYPE_CHECKING:
    from tfres.models.network import Network
    from tfres.tasks import Task


@dataclasses.dataclass(frozen=True)
class ScaleDistillation(SwitchableObjective):
    """The objective of SAN: the loss of every setting, and with `kd` the term `distillation`

        D = sum_{i<j} d(i, j),  d(t, s) = the task's divergence; for classification the mean over the batch of
            sum p (ln p - ln q), p = softmax(stop(z_t)), q = softmax(z_s)

    over the pairs of settings, i the larger one. Neither ensemble nor weight: with S settings D has S(S-1)/2 terms.

    Args:
        kd, weight_decay, decay_on: see `SwitchableObjective`.
        normalise: bring the sum over pairs to the weight of S terms, by 2/(S-1); the reference does not.

    Reference: Li et al., arXiv 2007.06181, and its code.
    """

    normalise: bool = False

    def teaching(
        self, network: Network, students: list[tf.Tensor], targets: tf.Tensor, task: Task
    ) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
        if not self.kd or len(students) == 1:
            return {}, {}
        total = from_larger(task, students)
        return {}, {"distillation": total * 2 / (len(students) - 1) if self.normalise else total}
