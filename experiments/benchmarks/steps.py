"""A training step on one fixed batch, as the keras engine makes it."""

import numpy as np
import tensorflow as tf
from tfres.models.presets import from_preset

from tfres.engines import gradients
from tfres.engines.optimizer import MomentumSGD
from tfres.layers import MultiResolutionCrop

BATCH = 32


def compiled_step(arch, resolutions, objective, compute=gradients.all_settings):
    """Function without arguments that makes one training step of a float network and waits for its end.

    Args:
        arch: see `from_preset`.
        resolutions: sides in pixels; the batch is of 32 random pictures of 224 x 224.
        objective: of the training.
        compute: how gradients are found, see `tfres.engines.gradients`.
    """
    model = from_preset(arch, resolutions=resolutions)
    model.build()
    crop = MultiResolutionCrop(resolutions, "bilinear", flip="independent")
    optimizer = MomentumSGD(0.01, nesterov=False)
    optimizer.build(model.trainable_variables)
    rng = np.random.Generator(np.random.PCG64(0))
    images = tf.constant(rng.integers(0, 256, (BATCH, 224, 224, 3), np.uint8))
    labels = tf.constant(rng.integers(0, 1000, BATCH), tf.int32)
    draws = tf.constant(rng.uniform(size=(BATCH, crop.draws)), tf.float32)

    @tf.function
    def step():
        terms, grads, scope = compute(model, crop, objective, (images, labels, draws), lambda loss: loss)
        pairs = zip(grads, model.trainable_variables, strict=True)
        optimizer.apply_gradients([(g, v) for g, v in pairs if g is not None])
        scope.apply()
        return tf.add_n(list(terms.values()))

    return lambda: step().numpy()
