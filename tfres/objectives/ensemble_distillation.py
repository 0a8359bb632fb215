"""Cross entropy at every resolution, and distillation from a learned ensemble of them."""

import dataclasses
from typing import NamedTuple

import tensorflow as tf

KD_TYPES = ("topdown", "direct")


class Outcome(NamedTuple):
    """What an objective returns.

    terms: name -> scalar; their sum is minimised. logits: name of the setting (or "ensemble") -> `(batch, classes)`.
    """

    terms: dict
    logits: dict


@dataclasses.dataclass(frozen=True)
class EnsembleDistillation:
    """The objective of RS-Nets.

    With logits z_1 ... z_S of the settings in descending order, labels y and CE the mean cross entropy of the batch:

        L = sum_i CE(z_i, y) + [kd] (CE(z_e, y) + D) + weight_decay * sum over kernels of |W|^2 / 2
        z_e = sum_i softmax(alpha)_i stop(z_i)
        d(t, s) = mean over the batch of -softmax(stop(z_t) / T) . log softmax(z_s / T)
        D = T^2 * 2/(S+1) * (sum_i d(e, i) + sum_{i<j} d(i, j))    kd_type "topdown": larger teaches smaller
        D = T^2 * sum_i d(e, i)                                    kd_type "direct"

    Cross entropies are summed over settings, not averaged, as in the reference: the effective rate grows with S.

    Args:
        kd: add the ensemble and the distillation.
        kd_type: "topdown" or "direct".
        temperature: T.
        weight_decay: on the kernels of convolutions and of the final layer only.

    Reference: Wang et al., arXiv 2007.09558, and its code. There T divides the students' logits only (its T is 1).
    """

    kd: bool = False
    kd_type: str = "topdown"
    temperature: float = 1.0
    weight_decay: float = 0.0

    def __post_init__(self):
        if self.kd_type not in KD_TYPES:
            raise ValueError(f"`kd_type` must be one of {', '.join(KD_TYPES)}. Received: kd_type={self.kd_type!r}.")
        if not self.temperature > 0:
            raise ValueError(f"`temperature` must be positive. Received: temperature={self.temperature}.")

    def __call__(self, model, images, labels):
        """Loss terms of one batch.

        Args:
            model: network with `settings`, `alpha` and `decayed_weights()`.
            images: mapping of resolution to normalised images.
            labels: int `(batch,)`.

        Returns:
            `Outcome` with terms `cross_entropy_<setting>`, `cross_entropy_ensemble`, `distillation`, `weight_decay`.
        """
        logits = {
            str(setting): tf.cast(model(images[setting.resolution], setting=setting, training=True), tf.float32)
            for setting in model.settings
        }
        terms = {f"cross_entropy_{name}": cross_entropy(labels, z) for name, z in logits.items()}
        if self.kd:
            students = list(logits.values())
            logits["ensemble"] = ensemble(students, model.alpha)
            terms["cross_entropy_ensemble"] = cross_entropy(labels, logits["ensemble"])
            terms["distillation"] = self.distillation(students, logits["ensemble"])
        if self.weight_decay:
            decay = tf.add_n([tf.nn.l2_loss(tf.cast(kernel, tf.float32)) for kernel in model.decayed_weights()])
            terms["weight_decay"] = self.weight_decay * decay
        return Outcome(terms, logits)

    def distillation(self, students, teacher):
        """The term D from the settings' logits, largest first, and the ensemble's."""
        count = len(students)
        terms = [soft_cross_entropy(teacher, student, self.temperature) for student in students]
        weight = self.temperature**2
        if self.kd_type == "topdown":
            for i, larger in enumerate(students):
                terms += [soft_cross_entropy(larger, smaller, self.temperature) for smaller in students[i + 1 :]]
            weight *= 2 / (count + 1)
        return weight * tf.add_n(terms)


def ensemble(logits, alpha):
    """Weighted mean of the settings' logits, `(batch, classes)`; gradients reach alpha only."""
    weights = tf.nn.softmax(tf.cast(alpha, tf.float32))
    return tf.add_n([weights[i] * tf.stop_gradient(z) for i, z in enumerate(logits)])


def cross_entropy(labels, logits):
    """Mean cross entropy of the batch, natural logarithm."""
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))


def soft_cross_entropy(teacher, student, temperature=1.0):
    """d(t, s) of `EnsembleDistillation`; no gradient through the teacher."""
    targets = tf.stop_gradient(tf.nn.softmax(teacher / temperature))
    return tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(targets, student / temperature))
