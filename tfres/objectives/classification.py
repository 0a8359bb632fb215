"""What the objectives of switchable classifiers share: cross entropy per setting, weight decay, divergences."""

import dataclasses
from typing import NamedTuple

import tensorflow as tf


class Outcome(NamedTuple):
    """What an objective returns.

    terms: name -> scalar; their sum is minimised. logits: name of the setting (or "ensemble") -> `(batch, classes)`.
    """

    terms: dict
    logits: dict


@dataclasses.dataclass(frozen=True)
class SwitchableClassification:
    """L = sum over trained settings of CE(z_i, y) + teaching + weight_decay * sum over weights of |W|^2 / 2.

    Cross entropies are means over the batch, summed over settings; a family adds its `_teaching`.

    Args:
        kd: distillation between settings.
        weight_decay: factor of the L2 term.
        decay_on: "kernels" (convolutions and the final layer's kernel) or "all" (every trainable weight).
        label_smoothing: share of the label's weight that is spread evenly over all classes.
    """

    kd: bool = False
    weight_decay: float = 0.0
    decay_on: str = "kernels"
    label_smoothing: float = 0.0

    def __post_init__(self):
        check_choice("decay_on", self.decay_on, ("kernels", "all"))
        if not 0 <= self.label_smoothing < 1:
            raise ValueError(f"`label_smoothing` must be in [0, 1). Received: label_smoothing={self.label_smoothing}.")

    draws = 0  # random numbers per step that the objective wants

    def __call__(self, model, images, labels, draws=None):
        """Loss terms of one batch.

        Args:
            model: network with `trained_settings` and `decayed_weights(decay_on)`.
            images: mapping of resolution to normalised images.
            labels: int `(batch,)`, or float `(batch, classes)` that sum to 1.
            draws: float `(self.draws,)`, uniform in [0, 1).

        Returns:
            `Outcome` with terms `cross_entropy_<setting>`, `weight_decay` and the family's.
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
        more_logits, more_terms = self._teaching(model, students, labels)
        return Outcome(terms | more_terms | self._decay(model, students[0].dtype), logits | more_logits)

    def _decay(self, model, dtype):
        """The term of weight decay by name; none at 0."""
        if not self.weight_decay:
            return {}
        weights = model.decayed_weights(self.decay_on)
        decay = tf.add_n([tf.nn.l2_loss(tf.cast(weight, dtype)) for weight in weights])
        return {"weight_decay": self.weight_decay * decay}

    def _teaching(self, model, students, labels):
        """Further logits and terms by name."""
        raise NotImplementedError

    def _smoothed(self, labels, logits):
        if not self.label_smoothing:
            return labels
        classes = logits.shape[-1]
        labels = tf.cast(labels, logits.dtype) if labels.dtype.is_floating else tf.one_hot(labels, classes, dtype=logits.dtype)
        return (1 - self.label_smoothing) * labels + self.label_smoothing / classes


def check_choice(name, value, allowed):
    """Raises ValueError unless the value is one of the allowed ones."""
    if value not in allowed:
        raise ValueError(f"`{name}` must be one of {', '.join(allowed)}. Received: {name}={value!r}.")


def from_larger(divergence, students, **options):
    """Sum over pairs of settings of `divergence(larger, smaller)`; the settings' logits, largest first."""
    pairs = [divergence(larger, smaller, **options) for i, larger in enumerate(students) for smaller in students[i + 1 :]]
    return tf.add_n(pairs) if pairs else tf.zeros([], students[0].dtype)


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
    """Mean over the batch of sum p (ln p - ln q), natural logarithms; no gradient through the teacher."""
    log_targets = tf.stop_gradient(tf.nn.log_softmax(teacher / temperature))
    entropy = -tf.reduce_mean(tf.reduce_sum(tf.exp(log_targets) * log_targets, -1))
    return soft_cross_entropy(teacher, student, temperature) - entropy
