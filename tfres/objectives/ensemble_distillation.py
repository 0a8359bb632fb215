"""Cross entropy at every resolution, and distillation from a learned ensemble of them."""

import dataclasses

import tensorflow as tf

from tfres.objectives.classification import (
    SwitchableClassification,
    check_choice,
    cross_entropy,
    from_larger,
    kl_divergence,
    soft_cross_entropy,
)

KD_TYPES = ("ens_topdown", "ens")


@dataclasses.dataclass(frozen=True)
class EnsembleDistillation(SwitchableClassification):
    """The objective of RS-Nets: the classification's terms, and

        [kd or ensemble] CE(z_e, y) + [kd] D
        z_e = sum_i softmax(alpha)_i stop(z_i)
        d(t, s) = mean over the batch of sum p (ln p - ln q), p = softmax(stop(z_t) / T), q = softmax(z_s / T)
        D = T^2 * 2/(S+1) * (sum_i d(e, i) + sum_{i<j} d(i, j))    kd_type "ens_topdown": larger teaches smaller
        D = T^2 * sum_i d(e, i)                                    kd_type "ens"

    for the logits z_1 ... z_S of the settings in descending order and labels y. The model has `alpha`; the terms are
    `cross_entropy_ensemble` and `distillation`.

    Args:
        kd, weight_decay, decay_on, label_smoothing: see `SwitchableClassification`; of the reference, the float half decays
            "all", the quantized half "kernels".
        kd_type: "ens_topdown" or "ens".
        temperature: T.
        ensemble: train alpha by the ensemble's cross entropy without `kd` too (the float half does).
        divergence: "kl" as above, or "cross_entropy" (-sum p ln q, the quantized half): equal gradients, other values.

    Reference: Wang et al., arXiv 2007.09558, and its code. There T divides the students' logits only (its T is 1).
    """

    kd_type: str = "ens_topdown"
    temperature: float = 1.0
    ensemble: bool = False
    divergence: str = "kl"

    def __post_init__(self):
        super().__post_init__()
        check_choice("kd_type", self.kd_type, KD_TYPES)
        check_choice("divergence", self.divergence, ("kl", "cross_entropy"))
        if not self.temperature > 0:
            raise ValueError(f"`temperature` must be positive. Received: temperature={self.temperature}.")

    def _teaching(self, model, students, labels):
        if not (self.kd or self.ensemble):
            return {}, {}
        teacher = ensemble(students, model.alpha)
        terms = {"cross_entropy_ensemble": cross_entropy(labels, teacher)}
        if self.kd:
            terms["distillation"] = self.distillation(students, teacher)
        return {"ensemble": teacher}, terms

    def distillation(self, students, teacher):
        """The term D from the settings' logits, largest first, and the ensemble's."""
        divergence = kl_divergence if self.divergence == "kl" else soft_cross_entropy
        total = tf.add_n([divergence(teacher, student, self.temperature) for student in students])
        if self.kd_type == "ens_topdown":
            total += from_larger(divergence, students, temperature=self.temperature)
            total *= 2 / (len(students) + 1)
        return self.temperature**2 * total


def ensemble(logits, alpha):
    """Weighted mean of the settings' logits, `(batch, classes)`; gradients reach alpha only."""
    weights = tf.nn.softmax(tf.cast(alpha, logits[0].dtype))
    return tf.add_n([weights[i] * tf.stop_gradient(z) for i, z in enumerate(logits)])
