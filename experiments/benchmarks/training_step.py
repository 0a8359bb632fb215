"""A 2/2 training step of ResNet-20 against the float step of the same network.

Command: `make bench-train`. The float network is the same pre-activation ResNet-20 without quantizers. Steps of the
variants are timed in turn, at one resolution and at five, and the cost of the parts of the 2/2 step is found by leaving
them out one by one.
"""

from experiments.benchmarks.steps import classification, compiled, random_batch
from experiments.benchmarks.timing import interleaved, report
from tfres.families import from_preset
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
    network = from_preset("resnet20", mode="preact", resolutions=resolutions, **bits)
    task = classification(32, 10, resize="nearest", flip="shared")
    batch = random_batch(task, resolutions, BATCH)
    return compiled(network, task, EnsembleDistillation(weight_decay=5e-5), batch, nesterov=True, update=update)


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
