"""The loss at every resolution, and distillation from a learned ensemble of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING

import tensorflow as tf

from tfres.objectives.base import SwitchableObjective, check_choice, from_larger, precise

if TYPE_CHECKING:
    from tfres.models.network import Network
    from tfres.settings import Setting
    from tfres.tasks import Task

KD_TYPES = ("ens_topdown", "ens")


@dataclasses.dataclass(frozen=True)
class EnsembleDistillation(SwitchableObjective):
    """The objective of RS-Nets: the loss of every setting, and

        [kd or ensemble] loss(z_e, y) + [kd] D
        z_e = sum_i softmax(alpha)_i stop(z_i)
        d(t, s) = the task's divergence of s from t; for classification the mean over the batch of sum p (ln p - ln q),
            p = softmax(stop(z_t) / T), q = softmax(z_s / T)
        D = T^2 * 2/(S+1) * (sum_i d(e, i) + sum_{i<j} d(i, j))    kd_type "ens_topdown": larger teaches smaller
        D = T^2 * sum_i d(e, i)                                    kd_type "ens"

    for the outputs z_1 ... z_S of the settings in descending order and targets y. The network has `alpha`; the terms are
    `<loss>_ensemble` and `distillation`.

    Args:
        kd, weight_decay, decay_on: see `SwitchableObjective`; of the reference, the float half decays "all", the quantized
            half "kernels".
        kd_type: "ens_topdown" or "ens".
        temperature: T.
        ensemble: train alpha by the ensemble's loss without `kd` too (the float half does).
        divergence: "kl" as above, or "cross_entropy" (-sum p ln q, the quantized half): equal gradients, other values.

    Reference: Wang et al., arXiv 2007.09558, and its code. There T divides the students' logits only (its T is 1).
    """

    kd_type: str = "ens_topdown"
    temperature: float = 1.0
    ensemble: bool = False
    divergence: str = "kl"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("kd_type", self.kd_type, KD_TYPES)
        check_choice("divergence", self.divergence, ("kl", "cross_entropy"))
        if not 0 < self.temperature < float("inf"):
            raise ValueError(f"`temperature` must be positive. Received: temperature={self.temperature}.")

    def teaching(
        self, network: Network, students: list[tf.Tensor], targets: tf.Tensor, task: Task
    ) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
        if not (self.kd or self.ensemble):
            return {}, {}
        teacher = ensemble(task.aligned(students), network.alpha)
        terms = {f"{task.loss_name}_ensemble": task.loss(teacher, targets)}
        if self.kd:
            terms["distillation"] = self.distillation(students, teacher, task)
        return {"ensemble": teacher}, terms

    def distillation(self, students: list[tf.Tensor], teacher: tf.Tensor, task: Task) -> tf.Tensor:
        """The term D from the settings' outputs, largest first, and the ensemble's."""
        options = {"temperature": self.temperature, "form": self.divergence}
        total = tf.add_n([task.divergence(teacher, student, **options) for student in students])
        if self.kd_type == "ens_topdown":
            total += from_larger(task, students, **options)
            total *= 2 / (len(students) + 1)
        return self.temperature**2 * total

    def combined(self, network: Network, outputs: Mapping[Setting, tf.Tensor], task: Task) -> dict[str, tf.Tensor]:
        """The ensemble, where it is trained over several settings and all of these are there."""
        trained = [setting for setting in network.trained_settings if setting in outputs]
        meaningful = self.kd or (self.ensemble and len(trained) > 1)
        if not meaningful or len(trained) < len(network.trained_settings):
            return {}
        aligned = task.aligned([precise(outputs[setting]) for setting in trained])
        return {"ensemble": ensemble(aligned, network.alpha)}


def ensemble(outputs: list[tf.Tensor], alpha: tf.Tensor) -> tf.Tensor:
    """Weighted mean of the settings' outputs; gradients reach alpha only."""
    weights = tf.nn.softmax(tf.cast(alpha, outputs[0].dtype))
    return tf.add_n([weights[i] * tf.stop_gradient(z) for i, z in enumerate(outputs)])
