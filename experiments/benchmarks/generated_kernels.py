"""What generating kernels costs a SAN: in training, and served in either form.

Command: `make bench-san`. Training: steps of meta_resnet18 at five resolutions and of the plain network with the same
objective, on one batch, in turn, medians; and generating all kernels of the five resolutions with its gradients alone.
Serving: one call of the exported files at 224 and 96, in turn, medians; sizes of the files.
"""

import pathlib
import tempfile

import tensorflow as tf

from experiments.benchmarks.steps import BATCH, classification, compiled_step
from experiments.benchmarks.timing import interleaved, report
from quant import At
from tfres.deploy.savedmodel import export_savedmodel
from tfres.families import from_preset
from tfres.layers import MetaConv2D
from tfres.objectives import ScaleDistillation

SIZES = (224, 192, 160, 128, 96)
OBJECTIVE = ScaleDistillation(kd=True, weight_decay=1e-4, decay_on="all")


def generation():
    """Generating every kernel for the five resolutions, and the gradients of slopes and kernels."""
    model = from_preset("meta_resnet18", resolutions=SIZES)
    layers = [layer for layer in model._flatten_layers() if isinstance(layer, MetaConv2D)]
    variables = [variable for layer in layers for variable in (layer.slope, layer.latent_kernel)]
    arriving = [tf.random.normal(layer.latent_kernel.shape) for _ in SIZES for layer in layers]

    @tf.function
    def run(arriving):  # arguments and outputs, so that nothing is folded away
        with tf.GradientTape() as tape:
            kernels = [layer.generated_kernel(At(setting)) for setting in model.settings for layer in layers]
        return kernels, tape.gradient(kernels, variables, output_gradients=arriving)

    def call():
        _, found = run(arriving)
        found[-1].numpy()

    return call


def served(folder):
    """Calls of the exported files at the largest and smallest resolution, and the bytes of each file."""
    san = from_preset("meta_resnet18", resolutions=SIZES)
    task = classification(224, 1000)
    files = {
        "line, all resolutions": {},
        "fixed kernels, all resolutions": {"form": "separate"},
        "fixed kernels, 160 alone": {"form": "separate", "settings": [160]},
    }
    calls, megabytes, loaded = {}, {}, {}
    exports = {name: (san, options) for name, options in files.items()}
    exports["ResNet-18, all resolutions"] = (from_preset("resnet18", resolutions=SIZES), {})
    for number, (name, (model, options)) in enumerate(exports.items()):
        path = export_savedmodel(model, task, folder, str(number), **options)
        megabytes[name] = sum(file.stat().st_size for file in path.rglob("*") if file.is_file()) / 1e6
        loaded[name] = tf.saved_model.load(str(path))
        for side in (224, 96):
            if f"serve_r{side}" in loaded[name].signatures:
                images = tf.zeros([1, side, side, 3], tf.uint8)
                signature = loaded[name].signatures[f"serve_r{side}"]
                calls[f"{name}, r{side}"] = lambda call=signature, x=images: call(images=x)["logits"].numpy()
    return calls, megabytes


def main():
    archs = {"SAN step": "meta_resnet18", "plain step": "resnet18"}
    steps = {name: compiled_step(arch, SIZES, OBJECTIVE) for name, arch in archs.items()}
    steps["generation"] = generation()
    training = interleaved(steps, repeats=9, warmup=2)
    with tempfile.TemporaryDirectory() as folder:
        calls, megabytes = served(pathlib.Path(folder))
        serving = interleaved(calls, repeats=60, warmup=10)
    report(
        "bench_generated_kernels",
        "make bench-san",
        {
            "network": "meta_resnet18, 1000 classes",
            "batch": BATCH,
            "training ms": {name: 1000 * value for name, value in training.items()},
            "generation, share of a step": training["generation"] / training["SAN step"],
            "SAN step against plain step": training["SAN step"] / training["plain step"],
            "serving ms, batch 1": {name: 1000 * value for name, value in serving.items()},
            "fixed kernels against ResNet-18": {
                side: serving[f"fixed kernels, all resolutions, {side}"] / serving[f"ResNet-18, all resolutions, {side}"]
                for side in ("r224", "r96")
            },
            "line against fixed kernels": {
                side: serving[f"line, all resolutions, {side}"] / serving[f"fixed kernels, all resolutions, {side}"]
                for side in ("r224", "r96")
            },
            "file MB": megabytes,
        },
    )


if __name__ == "__main__":
    main()
