"""Cross entropy at every resolution, and distillation from a learned ensemble of them."""

import dataclasses
from typing import NamedTuple

import tensorflow as tf

KD_TYPES = ("ens_topdown", "ens")


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

        L = sum_i CE(z_i, y) + [kd or ensemble] CE(z_e, y) + [kd] D + weight_decay * sum over weights of |W|^2 / 2
        z_e = sum_i softmax(alpha)_i stop(z_i)
        d(t, s) = mean over the batch of sum p (ln p - ln q), p = softmax(stop(z_t) / T), q = softmax(z_s / T)
        D = T^2 * 2/(S+1) * (sum_i d(e, i) + sum_{i<j} d(i, j))    kd_type "ens_topdown": larger teaches smaller
        D = T^2 * sum_i d(e, i)                                    kd_type "ens"

    Cross entropies are summed over settings, not averaged, as in the reference: the effective rate grows with S.

    Args:
        kd: add the ensemble and the distillation.
        kd_type: "ens_topdown" or "ens".
        temperature: T.
        weight_decay: factor of the L2 term.
        decay_on: "kernels" (convolutions and the final layer's kernel: the quantized half of the reference) or "all"
            (every trainable weight, norms, biases and alpha too: the float half).
        ensemble: train alpha by the ensemble's cross entropy without `kd` too (the float half does).
        divergence: "kl" as above, or "cross_entropy" (-sum p ln q, the quantized half): equal gradients, other values.
        label_smoothing: share of the label's weight that is spread evenly over all classes.

    Reference: Wang et al., arXiv 2007.09558, and its code. There T divides the students' logits only (its T is 1).
    """

    kd: bool = False
    kd_type: str = "ens_topdown"
    temperature: float = 1.0
    weight_decay: float = 0.0
    decay_on: str = "kernels"
    ensemble: bool = False
    divergence: str = "kl"
    label_smoothing: float = 0.0

    def __post_init__(self):
        allowed = {"kd_type": KD_TYPES, "decay_on": ("kernels", "all"), "divergence": ("kl", "cross_entropy")}
        for name, values in allowed.items():
            value = getattr(self, name)
            if value not in values:
                raise ValueError(f"`{name}` must be one of {', '.join(values)}. Received: {name}={value!r}.")
        if not self.temperature > 0:
            raise ValueError(f"`temperature` must be positive. Received: temperature={self.temperature}.")
        if not 0 <= self.label_smoothing < 1:
            raise ValueError(f"`label_smoothing` must be in [0, 1). Received: label_smoothing={self.label_smoothing}.")

    def __call__(self, model, images, labels):
        """Loss terms of one batch.

        Args:
            model: network with `trained_settings`, `alpha` and `decayed_weights(decay_on)`.
            images: mapping of resolution to normalised images.
            labels: int `(batch,)`, or float `(batch, classes)` that sum to 1.

        Returns:
            `Outcome` with terms `cross_entropy_<setting>`, `cross_entropy_ensemble`, `distillation`, `weight_decay`.
        """
        logits = {str(setting): self.logits(model, images, setting) for setting in model.trained_settings}
        return self.outcome(model, logits, labels)

    def logits(self, model, images, setting):
        """Training-mode logits of one setting, float32 or the model's float64."""
        z = model(images[setting.resolution], setting=setting, training=True)
        return z if z.dtype == tf.float64 else tf.cast(z, tf.float32)

    def outcome(self, model, logits, labels):
        """The `Outcome` of given logits, by name in the order of `model.trained_settings`."""
        students = list(logits.values())
        labels = self._smoothed(tf.convert_to_tensor(labels), students[0])
        terms = {f"cross_entropy_{name}": cross_entropy(labels, z) for name, z in logits.items()}
        if self.kd or self.ensemble:
            logits = {**logits, "ensemble": ensemble(students, model.alpha)}
            terms["cross_entropy_ensemble"] = cross_entropy(labels, logits["ensemble"])
        if self.kd:
            terms["distillation"] = self.distillation(students, logits["ensemble"])
        if self.weight_decay:
            weights = model.decayed_weights(self.decay_on)
            decay = tf.add_n([tf.nn.l2_loss(tf.cast(weight, students[0].dtype)) for weight in weights])
            terms["weight_decay"] = self.weight_decay * decay
        return Outcome(terms, logits)

    def distillation(self, students, teacher):
        """The term D from the settings' logits, largest first, and the ensemble's."""
        divergence = kl_divergence if self.divergence == "kl" else soft_cross_entropy
        terms = [divergence(teacher, student, self.temperature) for student in students]
        weight = self.temperature**2
        if self.kd_type == "ens_topdown":
            for i, larger in enumerate(students):
                terms += [divergence(larger, smaller, self.temperature) for smaller in students[i + 1 :]]
            weight *= 2 / (len(students) + 1)
        return weight * tf.add_n(terms)

    def _smoothed(self, labels, logits):
        if not self.label_smoothing:
            return labels
        classes = logits.shape[-1]
        labels = tf.cast(labels, logits.dtype) if labels.dtype.is_floating else tf.one_hot(labels, classes, dtype=logits.dtype)
        return (1 - self.label_smoothing) * labels + self.label_smoothing / classes


def ensemble(logits, alpha):
    """Weighted mean of the settings' logits, `(batch, classes)`; gradients reach alpha only."""
    weights = tf.nn.softmax(tf.cast(alpha, logits[0].dtype))
    return tf.add_n([weights[i] * tf.stop_gradient(z) for i, z in enumerate(logits)])


def cross_entropy(labels, logits):
    """Mean cross entropy of the batch, natural logarithm; labels int `(batch,)` or float `(batch, classes)`."""
    if labels.dtype.is_floating:
        return tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(tf.cast(labels, logits.dtype), logits))
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))


def soft_cross_entropy(teacher, student, temperature=1.0):
    """Mean over the batch of -sum p ln q; no gradient through the teacher."""
    targets = tf.stop_gradient(tf.nn.softmax(teacher / temperature))
    return tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(targets, student / temperature))


def kl_divergence(teacher, student, temperature=1.0):
    """d(t, s) of `EnsembleDistillation`: `soft_cross_entropy` less the teacher's entropy."""
    log_targets = tf.stop_gradient(tf.nn.log_softmax(teacher / temperature))
    entropy = -tf.reduce_mean(tf.reduce_sum(tf.exp(log_targets) * log_targets, -1))
    return soft_cross_entropy(teacher, student, temperature) - entropy
