"""All forms of ResNet-18 with random weights and other norms in every setting: bytes, times, differences."""

import tempfile

import numpy as np
import tensorflow as tf

from experiments.benchmarks import deploying
from experiments.benchmarks.deploying import bounded, in_child
from experiments.benchmarks.steps import classification
from tfres.deploy.benching.measuring import bytes_of
from tfres.deploy.litert.export import PRECISIONS, export_litert
from tfres.deploy.savedmodel import export_savedmodel
from tfres.families import from_preset

FULL = {"sides": (224, 192, 160, 128, 96), "classes": 1000, "rounds": 40, "network": {}, "widths": True}
SMOKE = {
    "sides": (16, 12),
    "classes": 10,
    "rounds": 2,
    "network": {"widths": (4, 8), "blocks": (1, 1), "stem": "cifar"},
    "widths": False,
}
LOW_BIT = {"mode": "preact", "weight_bits": 2, "activation_bits": 2}
NETWORKS = {"float": {}, "2/2": LOW_BIT}
WIDTHS = {"widths": (0.25, 0.5, 0.75, 1.0), "sides": (224, 160, 96)}
SAVED, PACKED, LITERT = "SavedModel", "SavedModel, packed", "LiteRT"


def measured(size, threads=(1, 2)):
    """Rows of the forms of the float and of the 2/2-bit network, and the bounds.

    Args:
        size: `FULL` or `SMOKE`.
        threads: of operations.
    """
    rows, acceptance = [], []
    for bits, options in NETWORKS.items():
        network = from_preset("resnet18", resolutions=size["sides"], classes=size["classes"], **options, **size["network"])
        network = deploying.different_norms(network)
        task = classification(
            size["sides"][0], size["classes"], **({"resize": "nearest", "rules": "tensorpack"} if options else {})
        )
        with tempfile.TemporaryDirectory() as folder:
            forms, dedicated = exported(network, task, size["sides"], folder, low_bit=bool(options))
            sizes = {name: bytes_of(path) for name, path in (forms | dedicated).items()}
            ends = (size["sides"][0], size["sides"][-1])
            signatures = [f"serve_r{side}" for side in ends]
            ms = {
                count: in_child(deploying.times, forms | dedicated, signatures, ends, count, size["rounds"])
                for count in threads
            }
            apart = differences(network, task, forms, size["sides"])
        rows += [
            {
                "network": bits,
                "form": name,
                "MB": sizes[name] / 1e6,
                "of one setting": sizes[name] / sizes[alone] if (alone := f"{name}, r{ends[0]} alone") in sizes else None,
                **{
                    f"r{side}, {count} thread{'s' * (count > 1)}, ms": ms[count].get((name, f"serve_r{side}"))
                    for side in ends
                    for count in threads
                },
                "largest difference of logits": apart.get(name) if not options or name == PACKED else None,
            }
            for name in (*forms, *dedicated)
        ]
        judge = judged_low_bit if options else judged_float
        acceptance += [{"network": bits, **line} for line in judge(sizes, ms[threads[0]], apart, ends)]
    if size["widths"]:
        acceptance.append({"network": "MobileNetV1", **judged_widths()})
    return {
        "network": f"ResNet-18, {len(size['sides'])} resolutions, {size['classes']} classes",
        "forms": rows,
        "acceptance": acceptance,
    }


def exported(network, task, sides, folder, low_bit):
    """Name -> path of all forms of all settings, and of those of one setting alone."""
    calibration = np.random.default_rng(1).integers(0, 256, [4, 1, sides[0], sides[0], 3], np.uint8)
    forms = {SAVED: export_savedmodel(network, task, folder, "saved")}
    if low_bit:
        forms[PACKED] = export_savedmodel(network, task, folder, "packed", packed=True)
    for precision in PRECISIONS:
        if not (low_bit and precision == "int8-full"):
            further = {"calibration": calibration} if precision == "int8-full" else {}
            forms[f"{LITERT} {precision}"] = export_litert(network, task, folder, "litert", precision=precision, **further)
    dedicated = {}
    for side in (sides[0], sides[-1]):
        setting = f"r{side}"
        if side == sides[0]:
            one = export_savedmodel(network, task, folder, "saved", settings=[setting], form="separate")
            dedicated[f"{SAVED}, {setting} alone"] = one
        for precision in ("float", "int8"):
            one = export_litert(network, task, folder, "litert", settings=[setting], precision=precision)
            dedicated[f"{LITERT} {precision}, {setting} alone"] = one
    return forms, dedicated


def differences(network, task, forms, sides):
    """Form -> largest difference of its logits to Keras's over all settings; of the packed form to the plain export's."""
    generator, pictures, expected = np.random.default_rng(2), {}, {}
    for side in sides:
        images = generator.integers(0, 256, [2, side, side, 3], np.uint8)
        inputs = {side: task.resized(tf.constant(images), side)}
        (outputs,) = network.forward(inputs, [f"r{side}"], training=False).values()
        pictures[f"serve_r{side}"], expected[f"serve_r{side}"] = images, outputs.numpy()
    found = in_child(deploying.answers, forms, pictures)
    if PACKED in found:
        expected = found[SAVED]
    return {name: max(float(np.abs(own[one] - expected[one]).max()) for one in own) for name, own in found.items()}


def judged_float(sizes, ms, apart, ends):
    """The bounds of the float network's forms."""
    whole, alone = sizes[f"{LITERT} float"], sizes[f"{LITERT} float, r{ends[0]} alone"]
    lines = [
        bounded("LiteRT float: bytes against one setting's file", whole / alone, "<= 1.04"),
        bounded("LiteRT float: largest difference to Keras", apart[f"{LITERT} float"], "<= 1e-4"),
        bounded("LiteRT int8: bytes against float", sizes[f"{LITERT} int8"] / whole, "<= 0.27"),
    ]
    for side in ends:
        one = {
            name: ms[name, f"serve_r{side}"]
            for name in (f"{LITERT} float", f"{LITERT} int8", f"{LITERT} float, r{side} alone")
        }
        shared, quick, alone = one.values()
        lines.append(bounded(f"LiteRT float at r{side}: time against the dedicated file", shared / alone, "<= 1.05"))
        lines.append(bounded(f"LiteRT int8 at r{side}: times as fast as float", shared / quick, ">= 2.8"))
    return lines


def judged_low_bit(sizes, ms, apart, ends):
    """The bounds of the 2/2-bit network's forms."""
    lines = [
        bounded("packed: bytes against the plain export", sizes[PACKED] / sizes[SAVED], "<= 0.15"),
        bounded("packed: largest difference to the plain export", apart[PACKED], "<= 1e-5"),
    ]
    for side in ends:
        one = f"serve_r{side}"
        quick = ms[f"{LITERT} int8", one]
        lines.append(bounded(f"packed at r{side}: time against the plain export", ms[PACKED, one] / ms[SAVED, one], "<= 1.03"))
        lines.append(bounded(f"LiteRT int8 at r{side}: times as fast as float", ms[f"{LITERT} float", one] / quick, ">= 2.8"))
        if side == ends[0]:
            lines.append(bounded(f"LiteRT int8 at r{side}: times as fast as TensorFlow", ms[SAVED, one] / quick, ">= 3"))
    return lines


def judged_widths():
    """The bound of a file with several widths: against the sum of one file per width."""
    grid = [f"r{side}-w{width:g}" for width in WIDTHS["widths"] for side in WIDTHS["sides"]]
    network = from_preset("mutual_mobilenet_v1", resolutions=WIDTHS["sides"], calibrated=grid)
    deploying.different_norms(network)
    task = classification(WIDTHS["sides"][0], 1000, resize="align_corners")
    with tempfile.TemporaryDirectory() as folder:
        whole = bytes_of(export_litert(network, task, folder, "net", settings=grid))
        alone = [
            bytes_of(export_litert(network, task, folder, "net", settings=[f"r{WIDTHS['sides'][0]}-w{width:g}"]))
            for width in WIDTHS["widths"]
        ]
    return bounded(
        "LiteRT float, 4 widths at 3 resolutions: bytes against the sum of a file per width", whole / sum(alone), "<= 1.1"
    )
