"""Ways to train at random widths: slices in one graph, masks in one graph, slices with a trace per width.

Command: `make bench-mutualnet`. MobileNetV1 at widths 0.25 to 1 and sides 224 192 160 128, the four passes of a step with
their gradients, batch 32. The one graph computes channel counts from the width, a tensor (what tfres does). Masks multiply the
output of every norm of the full network by zeros behind the width's channels: the same loss (checked here), the full
network's work. A trace per width makes a graph for every channel configuration (187) and side (4) that occurs: its time per
step, once traced, and the time of one trace.

Then serving: one picture at width 0.5 from the export of the whole grid (16 widths at four sides), from a sub-network cut out,
and from a network built at that width; size of the grid's export against that of the full network alone and the statistics.
"""

import contextlib
import itertools
import tempfile
import time

import numpy as np
import tensorflow as tf

from experiments.benchmarks.steps import classification
from experiments.benchmarks.timing import interleaved, report
from quant import At
from tfres.deploy.savedmodel import export_savedmodel
from tfres.families import from_preset
from tfres.layers.slimmable_batch_norm import SlimmableBatchNorm
from tfres.objectives import MutualLearning
from tfres.settings import Private, Setting

BATCH, SIDES = 32, (224, 192, 160, 128)
# Widths and sides of the steps' sub-networks, fixed so that all ways do the same work.
STEPS = [
    ((0.25, 160), (0.8, 192), (0.45, 128)),
    ((0.25, 224), (0.6, 160), (0.35, 192)),
    ((0.25, 128), (0.95, 128), (0.7, 224)),
]


@contextlib.contextmanager
def masked(model, width):
    """Within it the full network's norms let only the channels of a width pass."""
    norms = [layer for layer in model._flatten_layers() if isinstance(layer, SlimmableBatchNorm)]
    for norm in norms:

        def call(inputs, at=None, training=None, norm=norm, plain=norm.call):
            outputs = plain(inputs, at=At("w1"), training=training)
            kept = tf.range(outputs.shape[-1]) < norm.channels.at_width(width)
            return outputs * tf.cast(kept, outputs.dtype)

        norm.call = call
    try:
        yield
    finally:
        for norm in norms:
            del norm.call


def make_steps(model, task, images, labels):
    """Functions of a step's `((width, side), ...)`: loss and gradients in each way."""
    objective = MutualLearning(kd=True)
    variables = model.trainable_variables

    def graded(passes):
        with tf.GradientTape() as tape:
            terms = objective.sandwich(model, images[224], labels, task, passes).terms
            loss = tf.add_n(list(terms.values()))
        return loss, tape.gradient(loss, variables)

    def pick(side):
        return tf.switch_case(side, [lambda s=s: images[s] for s in SIDES])

    @tf.function
    def one_graph(widths, sides):
        chosen = [At(Setting(width_mult=0.25)), *(At(width_mult=width) for width in tf.unstack(widths[1:]))]
        return graded({str(i): (w, pick(s)) for i, (w, s) in enumerate(zip(chosen, tf.unstack(sides), strict=True))})

    @tf.function
    def masks(widths, sides):
        full = At(Setting(width_mult=1.0))
        with tf.GradientTape() as tape:
            teacher = model.run(images[224], full, training=True)
            terms = [tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, teacher))]
            for width, side in zip(tf.unstack(widths), tf.unstack(sides), strict=True):
                with masked(model, width):
                    student = model.run(pick(side), full, training=True)
                targets = tf.stop_gradient(tf.nn.softmax(teacher))
                terms.append(tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(targets, student)))
                terms.append(tf.reduce_mean(tf.reduce_sum(targets * tf.math.log(targets), -1)))
            loss = tf.add_n(terms)
        return loss, tape.gradient(loss, variables)

    @tf.function
    def static(subnets):
        return graded({str(i): (At(Setting(width_mult=w)), images[s]) for i, (w, s) in enumerate(subnets)})

    def tensors(subnets):
        widths, sides = zip(*subnets, strict=True)
        return tf.constant(widths, tf.float64), tf.constant([SIDES.index(side) for side in sides])

    return {
        "slices, one graph": lambda subnets: one_graph(*tensors(subnets)),
        "masks": lambda subnets: masks(*tensors(subnets)),
        "slices, a trace per width": static,
    }


def training():
    model = from_preset("mutual_mobilenet_v1")
    task = classification(224, 1000, resize="align_corners", flip="none")
    rng = np.random.Generator(np.random.PCG64(0))
    pictures = tf.constant(rng.integers(0, 256, (BATCH, 224, 224, 3), np.uint8))
    images, _ = task.prepare({"images": pictures}, SIDES, training=False)
    labels = tf.constant(rng.integers(0, 1000, BATCH), tf.int32)
    ways = make_steps(model, task, images, labels)
    first, losses = {}, {}
    for name, way in ways.items():
        start = time.perf_counter()
        losses[name] = [float(way(subnets)[0]) for subnets in STEPS[:1]]
        first[name] = time.perf_counter() - start
    spread = max(abs(values[0] / losses["masks"][0] - 1) for values in losses.values())
    assert spread < 1e-4, losses
    calls = {name: lambda way=way: [float(way(subnets)[0]) for subnets in STEPS] for name, way in ways.items()}
    seconds = interleaved(calls, repeats=5, warmup=1)
    return {name: value / len(STEPS) for name, value in seconds.items()}, first


def serving():
    settings = [Setting(side, width) for side, width in itertools.product(SIDES, np.linspace(0.25, 1, 16).round(2).tolist())]
    model = from_preset("mutual_mobilenet_v1").extended({setting: Private({}) for setting in settings})
    task = classification(224, 1000, resize="align_corners")
    built = from_preset("mutual_mobilenet_v1", width_range=(0.5, 0.5), resolutions=(224,))
    calls, megabytes, kept = {}, {}, []
    x = tf.zeros([1, 224, 224, 3], tf.uint8)
    with tempfile.TemporaryDirectory() as folder:
        networks = {
            "the grid's export": (model, "r224-w0.5"),
            "cut out": (model.materialize("r224-w0.5"), "r224-w0.5"),
            "built at that width": (built, "r224-w0.5"),
            "the full network alone": (model.materialize("r224-w1"), None),
        }
        for number, (name, (network, setting)) in enumerate(networks.items()):
            path = export_savedmodel(network, task, folder, str(number))
            megabytes[name] = sum(file.stat().st_size for file in path.rglob("*") if file.is_file()) / 1e6
            if setting:
                kept.append(tf.saved_model.load(str(path)))  # a signature does not keep its model alive
                calls[name] = lambda call=kept[-1].signatures[f"serve_{setting}"]: call(images=x)["logits"].numpy()
        norms = [layer for layer in model._flatten_layers() if isinstance(layer, SlimmableBatchNorm)]
        floats = sum(2 * norm.channels.at_setting(setting) for norm in norms for setting in settings)
        megabytes["the grid's statistics"] = 4 * floats / 1e6
        return interleaved(calls, repeats=60, warmup=10), megabytes


def main():
    seconds, first = training()
    served, megabytes = serving()
    report(
        "bench_widths_step",
        "make bench-mutualnet",
        {
            "network": "MobileNetV1, 1000 classes",
            "batch": BATCH,
            "training ms per step": {name: 1000 * value for name, value in seconds.items()},
            "first step with its trace, s": first,
            "masks against slices in one graph": seconds["masks"] / seconds["slices, one graph"],
            "one graph against a trace per width": seconds["slices, one graph"] / seconds["slices, a trace per width"],
            "serving ms at r224-w0.5": {name: 1000 * value for name, value in served.items()},
            "cut out against built at that width": served["cut out"] / served["built at that width"],
            "from the grid's export against built at that width": served["the grid's export"] / served["built at that width"],
            "file MB": megabytes,
            "the grid's export against the full network and the statistics": megabytes["the grid's export"]
            / (megabytes["the full network alone"] + megabytes["the grid's statistics"]),
        },
    )


if __name__ == "__main__":
    main()
