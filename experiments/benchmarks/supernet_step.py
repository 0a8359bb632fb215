"""A step of a supernet against a step of the extracted network of the same mask: time and memory.

Command: `make bench-scalenas` (a quarter of an hour on 2 cores). ScaleNAS w8 with one traced graph for all masks, against
networks that hold the parts of one mask alone: forward, backward, norms and update, the masks full, S1 and smallest. Times are
medians of steps in turn within one process; memory is the most that a process held, one for every network and mask.
"""

import functools
import resource

import tensorflow as tf

from experiments.benchmarks.deploying import bounded, in_child
from experiments.benchmarks.timing import interleaved, report
from tfres.engines.optimizer import MomentumSGD
from tfres.engines.steps import Step
from tfres.families import from_preset
from tfres.objectives import OneShot

MASKS, SIZE, BATCH, STEPS = ("smallest", "S1", "full"), (192, 256), 8, 9


class Squares:
    """A task of maps that should be equal to others."""

    loss_name = "squares"

    def prepare(self, batch, sizes, training):
        return dict.fromkeys(sizes, batch["images"]), batch["targets"]

    def loss(self, outputs, targets):
        return tf.reduce_mean(tf.square(outputs - targets))


def supernet(size=SIZE):
    return from_preset("scalenas_w8", resolutions=[size])


def make_step(network, objective, batch):
    """Traced function of the number of the step."""
    optimizer = MomentumSGD(0.001, nesterov=False)
    optimizer.build(network.trainable_variables)
    step, variables = Step(network, Squares(), objective), network.trainable_variables
    height, width = network.input_size()
    generator = tf.random.Generator.from_seed(0)
    images = generator.normal([batch, height, width, 3])
    targets = generator.normal([batch, height // 4, width // 4, network.options.classes])

    @tf.function(autograph=False)
    def run(number):
        terms, gradients, scope = step.compute({"images": images, "targets": targets, "step": number})
        with optimizer.only(step.running(scope)):
            pairs = zip(gradients, variables, strict=True)
            optimizer.apply_gradients([(gradient, variable) for gradient, variable in pairs if gradient is not None])
        scope.apply()
        return tf.add_n(list(terms.values()))

    return lambda number: float(run(tf.constant(number)))


def of_supernet(network, batch):
    """Step number n runs mask n."""
    space = network.options.space
    vectors = [network.options.mask(name).vector(space) for name in MASKS]
    return make_step(network, OneShot(draw=lambda step, _: vectors[step], length=len(space.places), weight_decay=5e-4), batch)


def of_extracted(network, name, batch):
    return make_step(network.materialize(f"net{name}"), OneShot(weight_decay=5e-4), batch)


def times(size, batch, steps):
    """Mask -> median seconds in the supernet and extracted."""
    network = supernet(size)
    whole = of_supernet(network, batch)
    found = {}
    for number, name in enumerate(MASKS):
        calls = {
            "supernet": functools.partial(whole, number),
            "extracted": functools.partial(of_extracted(network, name, batch), 0),
        }
        found[name] = interleaved(calls, steps, warmup=2)
    return found


def memory(size, batch, mask, extracted):
    """Most bytes that this process held, after three steps."""
    network = supernet(size)
    network.build()
    step = functools.partial(of_extracted(network, mask, batch), 0) if extracted else None
    step = step or functools.partial(of_supernet(network, batch), MASKS.index(mask))
    for _ in range(3):
        step()
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def measured(size=SIZE, batch=BATCH, steps=STEPS):
    """Rows of masks, and the bounds."""
    seconds, rows = in_child(times, size, batch, steps), []
    for name in MASKS:
        held = {kind: in_child(memory, size, batch, name, kind == "extracted") for kind in ("supernet", "extracted")}
        rows.append(
            {
                "mask": name,
                **{f"{kind}, ms": 1e3 * value for kind, value in seconds[name].items()},
                "time ratio": seconds[name]["supernet"] / seconds[name]["extracted"],
                **{f"{kind}, MB": value / 1e6 for kind, value in held.items()},
                "memory ratio": held["supernet"] / held["extracted"],
            }
        )
    acceptance = [
        bounded("time of a step, supernet / extracted, worst mask", max(row["time ratio"] for row in rows), "<= 1.15"),
        bounded("peak memory, supernet / extracted, worst mask", max(row["memory ratio"] for row in rows), "<= 1.2"),
    ]
    return {"pictures per step": batch, "size": list(size), "masks": rows, "acceptance": acceptance}


if __name__ == "__main__":
    report("bench_supernet_step", "make bench-scalenas", measured())
