"""One sub-network per step, drawn at random, and a teacher that runs everything."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from quant import At
from tfres.objectives.base import Outcome, SwitchableObjective, precise

if TYPE_CHECKING:
    from tfres.models.network import Network
    from tfres.tasks import Task


@dataclasses.dataclass(frozen=True)
class OneShot(SwitchableObjective):
    """L = loss(z, y) + [kd] ratio * divergence(sg(t), z) + weight decay.

    z are the outputs of the step's sub-network at the largest size, t those of the teacher, which runs all that it has with
    the statistics it has. Weights that the step does not use stay as they are, their momentum too.

    Args:
        draw: function of the number of the step and of steps per epoch giving the step's mask, a bool vector; None: every step
            runs all of the network's trained settings, whose losses are added.
        length: of the vector.
        ratio: of the divergence.
        load: function giving the teacher; None: the network itself as it is.
        decays_inactive: weights that a step does not use are decayed and moved by their momentum all the same (as in versions
            of PyTorch at the time of the reference).
        teacher, steps_per_epoch: filled in by `ready`.
        kd, weight_decay, decay_on: see `SwitchableObjective`.

    Reference: Cheng et al., arXiv 2011.14584, and its code.
    """

    draw: Callable[[int, int], np.ndarray] | None = None
    length: int = 0
    ratio: float = 0.5
    load: Callable[[], Network] | None = None
    decays_inactive: bool = False
    teacher: Network | None = None
    steps_per_epoch: int = 2**31

    separable = False
    counts_steps = True

    def ready(self, steps_per_epoch: int) -> OneShot:
        teacher = self.load() if self.kd and self.load is not None else None
        return dataclasses.replace(self, teacher=teacher, steps_per_epoch=steps_per_epoch)

    def __call__(
        self,
        network: Network,
        inputs: Mapping[Any, tf.Tensor],
        targets: tf.Tensor,
        task: Task,
        draws: Any = None,
        step: tf.Tensor | int = 0,
    ) -> Outcome:
        """Loss terms of one batch.

        Args:
            network, inputs, targets, task: see `SwitchableObjective`.
            draws: not used.
            step: number of the step, from 0.

        Returns:
            `Outcome` with the terms `<loss>` (or one per setting), `distillation`, `weight_decay`.
        """
        images = inputs[network.size()]
        if self.draw is None:
            outputs = network.forward(inputs, network.trained_settings, training=True)
            outputs = {str(setting): precise(z) for setting, z in outputs.items()}
        else:
            at = At(mask=self.mask(step))
            outputs = {"subnet": precise(network.run(images, at, training=True))}
        single = len(outputs) == 1
        terms = {
            task.loss_name if single else f"{task.loss_name}_{name}": task.loss(z, targets) for name, z in outputs.items()
        }
        if self.kd:
            teacher = precise((self.teacher or network).run(images, None, training=False))
            parts = [task.divergence(tf.stop_gradient(teacher), z) for z in outputs.values()]
            terms["distillation"] = self.ratio * tf.add_n(parts)
        return Outcome(terms | self.decay(network, next(iter(outputs.values())).dtype), outputs)

    def mask(self, step: tf.Tensor | int) -> tf.Tensor:
        """The mask of a step, bool `(length,)`."""
        drawn = tf.numpy_function(lambda number: self.draw(int(number), self.steps_per_epoch), [step], tf.bool)
        return tf.ensure_shape(drawn, [self.length])
