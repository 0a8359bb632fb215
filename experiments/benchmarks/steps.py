"""A training step on one fixed batch, as the keras engine makes it."""

import numpy as np
import tensorflow as tf

from tfres.engines.optimizer import MomentumSGD
from tfres.engines.steps import Step
from tfres.families import from_preset
from tfres.tasks.classification.options import ClassificationData
from tfres.tasks.classification.task import Classification

BATCH = 32


def classification(side, classes, **options):
    """The task on pictures in memory: bilinear, no noise, independent flips, unless the options say otherwise."""
    given = {"source": "fake", "fake_size": 1, "side": side, "crop": "none", "rules": "torchvision", "resize": "bilinear"}
    given |= {"flip": "independent", "mean": [0.0] * 3, "std": [1.0] * 3, "channel_order": "rgb", "lighting": 0.0}
    return Classification(ClassificationData(**{**given, **options}), [str(number) for number in range(classes)])


def random_batch(task, resolutions, batch=BATCH):
    """A batch of random pictures of the task's side, with labels and draws, as its pipeline gives them."""
    rng, side = np.random.Generator(np.random.PCG64(0)), task.data.side
    return {
        "images": tf.constant(rng.integers(0, 256, (batch, side, side, 3), np.uint8)),
        "targets": tf.constant(rng.integers(0, task.outputs, batch), tf.int32),
        "draws": tf.constant(rng.uniform(size=(batch, task.crop(resolutions).draws)), tf.float32),
    }


def compiled(network, task, objective, batch, low_memory=False, nesterov=False, update=True):
    """Function without arguments that makes one training step and waits for its end.

    Args:
        network: built.
        task, objective: of the training.
        batch: the one that every step sees.
        low_memory: one setting at a time.
        nesterov: of the optimizer.
        update: whether statistics are updated.
    """
    optimizer = MomentumSGD(0.01, nesterov=nesterov)
    optimizer.build(network.trainable_variables)
    made = Step(network, task, objective, low_memory)

    @tf.function
    def step():
        terms, grads, scope = made.compute(batch)
        pairs = zip(grads, network.trainable_variables, strict=True)
        optimizer.apply_gradients([(g, v) for g, v in pairs if g is not None])
        if update:
            scope.apply()
        return tf.add_n(list(terms.values()))

    return lambda: step().numpy()


def compiled_step(arch, resolutions, objective, low_memory=False):
    """`compiled` of a float network for 32 random pictures of 224 x 224.

    Args:
        arch: see `from_preset`.
        resolutions: sides in pixels.
        objective, low_memory: see `compiled`.
    """
    task = classification(224, 1000)
    network = from_preset(arch, resolutions=resolutions)
    return compiled(network, task, objective, random_batch(task, resolutions), low_memory)
