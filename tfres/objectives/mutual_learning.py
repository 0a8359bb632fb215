"""The sandwich rule with distillation in place: the full network learns from labels, narrower ones from the full network."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from quant import At
from tfres.objectives.base import Outcome, SwitchableObjective, precise

if TYPE_CHECKING:
    from tfres.models.network import Network
    from tfres.tasks import Task


@dataclasses.dataclass(frozen=True)
class MutualLearning(SwitchableObjective):
    """L = loss(z, y) + sum over sub-networks of divergence(sg(z), z_k) + weight decay.

    z are the outputs of the full network at the full side. The sub-networks are the narrowest width and `random_widths` of
    random width; where norms are private to the width (slimmable networks with switches) all of the network's widths instead.
    Each sees a random side of the network's resolutions (the full one among them). Every pass normalises with the statistics
    of its own batch; the widths that are trained in every step keep moving averages, others are calibrated.

    Args:
        random_widths: sub-networks of random width, uniform over the network's range.
        random_sides: false: all at the full side (universally slimmable networks).
        kd, weight_decay, decay_on: see `SwitchableObjective`; without `kd` sub-networks learn from the targets too.

    Reference: Yang et al., MutualNet, arXiv 1909.12978 and 2105.07085; Yu and Huang, arXiv 1903.05134; and their code. Widths
    there are drawn per step by numpy; here they come with the batch's draws, so that replicas agree.
    """

    random_widths: int = 2
    random_sides: bool = True

    random_numbers = 1  # the seed of a step's widths and sides
    separable = False

    def __call__(
        self, network: Network, inputs: Mapping[Any, tf.Tensor], targets: tf.Tensor, task: Task, draws: Any = None
    ) -> Outcome:
        """Loss terms of one batch.

        Args:
            network: of several widths.
            inputs: resolution -> normalised images, the full side first.
            targets, task: see `SwitchableObjective`.
            draws: float `(1,)`, uniform in [0, 1).

        Returns:
            `Outcome` with terms `<loss>`, `distillation_w0.25`, `distillation_random1`, ..., `weight_decay`.
        """
        sides, (low, high) = list(inputs), network.width_range
        listed = network.trained_settings[1:]
        listed = [dataclasses.replace(s, resolution=None) for s in (listed if network.options.switches else listed[-1:])]
        subnets = {str(setting): At(setting) for setting in listed}
        seed = tf.stack([tf.cast(draws[0] * 2**23, tf.int32), 0])
        numbers = tf.random.stateless_uniform([2 * self.random_widths + len(listed)], seed, dtype=tf.float64)
        widths = tf.unstack(low + (high - low) * numbers[: self.random_widths])
        subnets |= {f"random{number}": At(width_mult=width) for number, width in enumerate(widths, 1)}
        seen = [inputs[sides[0]]] * len(subnets)
        if self.random_sides and len(sides) > 1:
            picks = [lambda side=side: inputs[side] for side in sides]
            places = tf.cast(numbers[self.random_widths :] * len(sides), tf.int32)
            seen = [tf.switch_case(place, picks) for place in tf.unstack(places)]
        passes = {name: (at, x) for (name, at), x in zip(subnets.items(), seen, strict=True)}
        return self.sandwich(network, inputs[sides[0]], targets, task, passes)

    def sandwich(
        self, network: Network, images: tf.Tensor, targets: tf.Tensor, task: Task, subnets: Mapping[str, tuple[At, tf.Tensor]]
    ) -> Outcome:
        """The `Outcome` of the full network on `images` and of given sub-networks.

        Args:
            network, targets, task: as above.
            images: at the full side.
            subnets: name -> where it runs and its images.
        """
        full = At(dataclasses.replace(network.trained_settings[0], resolution=None))
        outputs = {"full": precise(network.run(images, full, training=True))}
        outputs |= {name: precise(network.run(x, at, training=True)) for name, (at, x) in subnets.items()}
        terms = {task.loss_name: task.loss(outputs["full"], targets)}
        for name in subnets:
            if self.kd:
                terms[f"distillation_{name}"] = task.divergence(outputs["full"], outputs[name])
            else:
                terms[f"{task.loss_name}_{name}"] = task.loss(outputs[name], targets)
        return Outcome(terms | self.decay(network, outputs["full"].dtype), outputs)
