"""The sandwich rule with distillation in place: the full network learns from labels, narrower ones from the full network."""

import dataclasses

import tensorflow as tf

from tfres.objectives.classification import Outcome, SwitchableClassification, cross_entropy, kl_divergence


@dataclasses.dataclass(frozen=True)
class MutualLearning(SwitchableClassification):
    """L = CE(z, y) + sum over sub-networks of KL(sg(softmax(z)), softmax(z_k)) + weight decay.

    z are the logits of the full network at the full side; the sub-networks are the other widths in the network's `width_mults`
    (the narrowest) and `random_widths` of random width, each at a random side of the network's resolutions (the full one
    among them). Every pass normalises with the statistics of its own batch; the widths in `width_mults` keep moving averages.

    Args:
        random_widths: sub-networks of random width, uniform over the network's range.
        random_sides: false: all at the full side (universally slimmable networks).
        kd, weight_decay, decay_on, label_smoothing: see `SwitchableClassification`; without `kd` sub-networks learn from the
            labels too.

    Reference: Yang et al., MutualNet, arXiv 1909.12978 and 2105.07085; Yu and Huang, arXiv 1903.05134; and their code. Widths
    there are drawn per step by numpy; here they come with the batch's draws, so that replicas agree.
    """

    random_widths: int = 2
    random_sides: bool = True

    draws = 1  # the seed of a step's widths and sides

    def __call__(self, model, images, labels, draws=None):
        """Loss terms of one batch.

        Args:
            model: `MutualNet`.
            images: mapping of resolution to normalised images, the full side first.
            labels: see `SwitchableClassification`.
            draws: float `(1,)`, uniform in [0, 1).

        Returns:
            `Outcome` with terms `cross_entropy`, `distillation_w0.25`, `distillation_random1`, ..., `weight_decay`.
        """
        sides = list(images)
        low, high = model.width_range
        listed = [dataclasses.replace(setting, resolution=None) for setting in model.trained_settings[1:]]
        subnets = {str(setting): setting for setting in listed}
        seed = tf.stack([tf.cast(draws[0] * 2**23, tf.int32), 0])
        numbers = tf.random.stateless_uniform([2 * self.random_widths + len(listed)], seed, dtype=tf.float64)
        widths = tf.unstack(low + (high - low) * numbers[: self.random_widths])
        subnets |= {f"random{number}": width for number, width in enumerate(widths, 1)}
        seen = [images[sides[0]]] * len(subnets)
        if self.random_sides and len(sides) > 1:
            picks = [lambda side=side: images[side] for side in sides]
            places = tf.cast(numbers[self.random_widths :] * len(sides), tf.int32)
            seen = [tf.switch_case(place, picks) for place in tf.unstack(places)]
        passes = {name: (setting, x) for (name, setting), x in zip(subnets.items(), seen, strict=True)}
        return self.sandwich(model, images[sides[0]], labels, passes)

    def sandwich(self, model, images, labels, subnets):
        """The `Outcome` of the full network on `images` and of given sub-networks.

        Args:
            model, labels: as above.
            images: at the full side.
            subnets: name -> `(setting, images)`; a setting may be a scalar tensor, the width.
        """
        full = dataclasses.replace(model.trained_settings[0], resolution=None)
        logits = {"full": self._logits(model, images, full)}
        logits |= {name: self._logits(model, x, setting) for name, (setting, x) in subnets.items()}
        labels = self._smoothed(tf.convert_to_tensor(labels), logits["full"])
        terms = {"cross_entropy": cross_entropy(labels, logits["full"])}
        for name in subnets:
            taught = kl_divergence(logits["full"], logits[name]) if self.kd else cross_entropy(labels, logits[name])
            terms[f"{'distillation' if self.kd else 'cross_entropy'}_{name}"] = taught
        return Outcome(terms | self._decay(model, logits["full"].dtype), logits)

    def _logits(self, model, images, setting):
        z = model.logits(images, setting, training=True)
        return z if z.dtype == tf.float64 else tf.cast(z, tf.float32)
