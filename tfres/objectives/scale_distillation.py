"""Cross entropy at every resolution, and larger resolutions that teach smaller ones."""

import dataclasses

from tfres.objectives.classification import SwitchableClassification, from_larger, kl_divergence


@dataclasses.dataclass(frozen=True)
class ScaleDistillation(SwitchableClassification):
    """The objective of SAN: the classification's terms, and with `kd` the term `distillation`

        D = sum_{i<j} d(i, j),  d(t, s) = mean over the batch of sum p (ln p - ln q), p = softmax(stop(z_t)), q = softmax(z_s)

    over the pairs of settings, i the larger one. Neither ensemble nor weight: with S settings D has S(S-1)/2 terms.

    Args:
        kd, weight_decay, decay_on, label_smoothing: see `SwitchableClassification`.
        normalise: bring the sum over pairs to the weight of S terms, by 2/(S-1); the reference does not.

    Reference: Li et al., arXiv 2007.06181, and its code.
    """

    normalise: bool = False

    def _teaching(self, model, students, labels):
        if not self.kd or len(students) == 1:
            return {}, {}
        total = from_larger(kl_divergence, students)
        return {}, {"distillation": total * 2 / (len(students) - 1) if self.normalise else total}
