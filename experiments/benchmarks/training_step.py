"""A 2/2 training step of ResNet-20 against the float step of the same network.

Command: `make bench-train`. The float network is the same pre-activation ResNet-20 without quantizers. Steps of the
variants are timed in turn, at one resolution and at five, and the cost of the parts of the 2/2 step is found by leaving
them out one by one.
"""

import numpy as np
import tensorflow as tf
from tfres.models.presets import from_preset

from experiments.benchmarks.timing import interleaved, report
from quant import StepScope
from tfres.engines.optimizer import MomentumSGD
from tfres.layers import MultiResolutionCrop
from tfres.objectives import EnsembleDistillation

BATCH, ONE, FIVE = 128, (32,), (32, 28, 24, 20, 16)
VARIANTS = {
    "float": (None, None),
    "2/2": (2, 2),
    "weights only": (2, None),
    "activations only": (None, 2),
}


def make_step(weight_bits, activation_bits, resolutions, update=True):
    """A compiled training step on one fixed batch; `update=False` leaves out the statistics' updates."""
    bits = {"weight_bits": weight_bits, "activation_bits": activation_bits}
    model = from_preset("resnet20", mode="preact", resolutions=resolutions, **bits)
    model.build()
    crop = MultiResolutionCrop(resolutions)
    objective = EnsembleDistillation(weight_decay=5e-5)
    optimizer = MomentumSGD(0.01)
    optimizer.build(model.trainable_weights)
    rng = np.random.Generator(np.random.PCG64(0))
    images = tf.constant(rng.integers(0, 256, (BATCH, 32, 32, 3), np.uint8))
    labels = tf.constant(rng.integers(0, 10, BATCH), tf.int32)
    draws = tf.constant(rng.uniform(size=(BATCH, crop.draws)), tf.float32)

    @tf.function
    def step():
        variables = model.trainable_weights
        with StepScope() as scope, tf.GradientTape() as tape:
            terms = objective(model, crop(images, draws=draws, training=True), labels).terms
            cost = tf.add_n(list(terms.values()))
        gradients = tape.gradient(cost, variables)
        optimizer.apply_gradients([(g, v) for g, v in zip(gradients, variables, strict=True) if g is not None])
        if update:
            scope.apply()
        return cost

    return lambda: step().numpy()


def main():
    figures = {"batch": BATCH}
    for name, resolutions in (("one resolution", ONE), ("five resolutions", FIVE)):
        pair = {variant: make_step(*VARIANTS[variant], resolutions) for variant in ("float", "2/2")}
        seconds = interleaved(pair, repeats=15)
        figures[name] = {
            "ms": {variant: 1000 * value for variant, value in seconds.items()},
            "ratio": seconds["2/2"] / seconds["float"],
        }
    parts = {variant: make_step(*bits, ONE) for variant, bits in VARIANTS.items()}
    parts["2/2 without updates"] = make_step(2, 2, ONE, update=False)
    seconds = interleaved(parts, repeats=11)
    figures["parts at one resolution, share of the float step"] = {
        "weight quantizers": seconds["weights only"] / seconds["float"] - 1,
        "activation quantizers": seconds["activations only"] / seconds["float"] - 1,
        "of all that, updates of bases and statistics": (seconds["2/2"] - seconds["2/2 without updates"]) / seconds["float"],
    }
    report("bench_training_step", "make bench-train", figures)


if __name__ == "__main__":
    main()
