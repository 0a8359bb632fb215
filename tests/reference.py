"""Rebuilds the weights and inputs of the golden files from their rules (`tests/goldens`, field `fill`)."""

import zlib

import numpy as np


def generator(seed):
    return np.random.Generator(np.random.PCG64(seed))


def relative(ours, reference):
    """Relative distance in the 2-norm."""
    ours, reference = np.asarray(ours, np.float64), np.asarray(reference, np.float64)
    return np.linalg.norm(ours - reference) / max(np.linalg.norm(reference), 1e-12)


def fill(tensors, generated=None):
    """Tensors of a PyTorch golden by name (rules: `goldens/README.md` of the workplace; "standard" in the files).

    `generated` maps SAN's meta learners to the shapes of their kernels, which decide their tensors' scale.
    """
    values = {}
    for name, shape in tensors:
        kernel = (generated or {}).get(name.rpartition(".")[0])
        if kernel is None:
            values[name] = _fill_standard(name, tuple(shape))
        else:
            rng = generator(zlib.crc32(name.encode("utf-8")))
            values[name] = (rng.standard_normal(shape) * np.sqrt(1 / np.prod(kernel[1:]))).astype(np.float32)
    return values


def _fill_standard(name, shape):
    rng = generator(zlib.crc32(name.encode("utf-8")))
    last = name.rsplit(".", 1)[-1]
    if last == "num_batches_tracked":
        return np.int64(0)
    if last == "running_var" or len(shape) == 1 and last == "weight":
        value = rng.uniform(0.5, 1.5, shape)
    elif len(shape) <= 1:  # running_mean among them
        value = 0.1 * rng.standard_normal(shape)
    else:
        value = rng.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))
    return value.astype(np.float32)


def standard_images(batch, size, seed=2026):
    """The goldens' input at one resolution, NHWC."""
    return generator(seed).standard_normal((batch, 3, size, size)).astype(np.float32).transpose(0, 2, 3, 1)


def observe(model, layers, inputs, setting, **options):
    """Outputs of the given layers in one forward pass, in their order."""
    seen = {}

    def watch(layer, call):
        def watched(*args, **kwargs):
            seen[id(layer)] = call(*args, **kwargs)
            return seen[id(layer)]

        return watched

    original = {id(layer): layer.call for layer in layers}
    for layer in layers:
        layer.call = watch(layer, layer.call)
    try:
        model(inputs, setting=setting, **options)
    finally:
        for layer in layers:
            layer.call = original[id(layer)]
    return [seen[id(layer)].numpy() for layer in layers]


def fill_rsnet_quant(tensors):
    """Tensors of a quantized RS-Net golden by name."""
    shapes = {name: tuple(shape) for name, shape in tensors}
    return {name: _fill(name, shape, shapes).astype(np.float32) for name, shape in shapes.items()}


def _fill(name, shape, shapes):  # noqa: PLR0911
    rng = generator(zlib.crc32(name.encode("utf-8")))
    if name.endswith("mean/EMA"):
        return 0.1 * rng.standard_normal(shape)
    if name.endswith("variance/EMA"):
        return rng.uniform(0.5, 1.5, shape)
    if name.endswith("/gamma"):
        return rng.uniform(0.5, 1.5, shape)
    if "ActivationQuantization" in name:
        bits = shape[0]
        return 2 * 0.6745 / (2**bits - 1) * 2.0 ** np.arange(bits)[:, None] * rng.uniform(0.8, 1.2, shape)
    if name.endswith("weight_quant/basis"):
        bits = shape[0]
        height, width, inputs, _ = shapes[name.replace("weight_quant/basis", "W")]
        start = 0.6745 * np.sqrt(2 / (height * width * inputs)) / 2 ** (bits - 1)
        return start * 2.0 ** np.arange(bits)[:, None] * rng.uniform(0.8, 1.2, shape)
    if len(shape) >= 2:
        return rng.standard_normal(shape) * np.sqrt(2 / np.prod(shape[:-1]))
    return 0.1 * rng.standard_normal(shape)
