"""Trained networks in all forms: accuracy on the whole test split, bytes and times of every setting."""

import contextlib
import io
import pathlib
import tempfile

import numpy as np
import tensorflow as tf

from experiments.benchmarks import deploying
from experiments.benchmarks.deploying import bounded, in_child, in_parts
from tfres import export
from tfres.deploy.benching.measuring import bytes_of
from tfres.deploy.litert.export import PRECISIONS
from tfres.deploy.snap import snap
from tfres.evaluation.opened import open_run

SAVED, PACKED, LITERT, SNAPPED, OPENVINO = "SavedModel", "SavedModel, packed", "LiteRT", "snapped, Keras", "OpenVINO int8"


def measured(name, path, data=None, rounds=30):
    """Rows of all forms of a run at every setting, and the bounds.

    Args:
        name: of the network, in the rows.
        path: of the run.
        data: pictures in place of the run's.
        rounds: timed calls, one picture each, one thread.
    """
    opened = open_run(path, data=data)
    network, task = opened.network, opened.task
    settings = list(network.settings)
    low_bit = network.served().snap()
    sizes = [network.size(setting) for setting in settings]
    pictures, labels = test_split(opened, sizes)
    with tempfile.TemporaryDirectory() as folder:
        forms = exported(path, folder, low_bit)
        signatures, sides = [f"serve_{setting}" for setting in settings], [network.input_size(s)[0] for s in settings]
        ms = in_child(deploying.times, forms, signatures, sides, 1, rounds)
        megabytes = {form: bytes_of(place) / 1e6 for form, place in forms.items()}
        parts = {f"serve_{s}": pictures[size] for s, size in zip(settings, sizes, strict=True)}
        classes = in_child(deploying.answers, forms, parts, "class")
    if low_bit:
        classes[SNAPPED] = of_keras(snap(network), task, settings, pictures)
        foreign = of_openvino(network, task, settings, pictures)
        classes |= {OPENVINO: foreign} if foreign else {}
    top1 = {form: {one: float(np.mean(own[one] == labels)) for one in own} for form, own in classes.items()}
    rows = [
        {
            "network": name,
            "form": form,
            "setting": str(setting),
            "top-1 %": 100 * top1[form][one],
            "same class as SavedModel, %": same(own[one], classes[SAVED][one]),
            **({"same class as snapped, %": same(own[one], classes[SNAPPED][one])} if low_bit else {}),
            "MB": megabytes.get(form),
            "ms": ms.get((form, one)),
        }
        for form, own in classes.items()
        for setting, one in zip(settings, signatures, strict=True)
    ]
    judge = judged_low_bit if low_bit else judged_float
    return rows, [{"network": name, **line} for line in judge(top1, classes, signatures)]


def test_split(opened, sizes):
    """Size -> all test pictures as they are sent, uint8; and their labels."""
    batches = [*opened.task.evaluation_batches(opened.source, sizes).as_numpy_iterator()]
    pictures = {size: np.concatenate([batch["images"][size] for batch in batches]) for size in sizes}
    return pictures, np.concatenate([batch["targets"] for batch in batches])


def exported(run, folder, low_bit):
    """Form -> path, as the command exports them."""
    options = {SAVED: [], **({PACKED: ["--packed"]} if low_bit else {})}
    options |= {f"{LITERT} {precision}": ["--form", "litert", "--precision", precision] for precision in PRECISIONS}
    if low_bit:
        options.pop(f"{LITERT} int8-full", None)
    paths = {}
    for form, words in options.items():
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            export.main(["--run", str(run), "--out", folder, "--name", "net", *words])
        paths[form] = pathlib.Path(printed.getvalue().split()[-1])
    return paths


def of_keras(served, task, settings, pictures):
    """Signature -> classes, from a served network."""
    found = {}
    for setting in settings:
        size, at = served.size(setting), served.at(setting)

        @tf.function(reduce_retracing=True)
        def classes(images, size=size, at=at):
            outputs = served.run(tf.cast(task.resized(images, size), served.compute_dtype), at)
            return task.answer(tf.cast(outputs, tf.float32))["class"]

        found[f"serve_{setting}"] = in_parts(lambda some, classes=classes: classes(tf.constant(some)).numpy(), pictures[size])
    return found


def of_openvino(network, task, settings, pictures):
    """Signature -> classes, from OpenVINO's integers; None where it is not installed."""
    try:
        import openvino

        from tfres.deploy.foreign import openvino_int8
    except ImportError:
        return None
    found = {}
    for setting in settings:
        model = openvino.compile_model(openvino_int8(network, setting, task), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        found[f"serve_{setting}"] = in_parts(
            lambda some, model=model: model({"images": some})["class"], pictures[network.size(setting)]
        )
    return found


def same(classes, others):
    """Percent of equal ones."""
    return 100 * float(np.mean(classes == others))


def judged_float(top1, classes, signatures):
    """The bound on accuracy in int8: points away from the network's own at the worst setting."""
    away = max(100 * abs(top1[f"{LITERT} int8"][one] - top1[SAVED][one]) for one in signatures)
    return [bounded("LiteRT int8: points of top-1 away from the float network's, worst setting", away, "<= 0.3")]


def judged_low_bit(top1, classes, signatures):
    """The bounds on the snapped network, and on the integers of runtimes against it."""
    away = max(100 * abs(top1[SNAPPED][one] - top1[SAVED][one]) for one in signatures)
    lines = [bounded("snapped: points of top-1 away from the exact network's, worst setting", away, "<= 0.5")]
    for form, least in ((f"{LITERT} int8", 99), (OPENVINO, 99.5)):
        if form in classes:
            worst = min(same(classes[form][one], classes[SNAPPED][one]) for one in signatures)
            lines.append(bounded(f"{form}: % of pictures of the snapped network's class, worst setting", worst, f">= {least}"))
    return lines
