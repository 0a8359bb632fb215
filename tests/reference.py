"""Rebuilds the weights and inputs of the golden files from their rules (`tests/goldens`, field `fill`)."""

import zlib

import numpy as np


def generator(seed):
    return np.random.Generator(np.random.PCG64(seed))


def relative(ours, reference):
    """Relative distance in the 2-norm."""
    ours, reference = np.asarray(ours, np.float64), np.asarray(reference, np.float64)
    return np.linalg.norm(ours - reference) / max(np.linalg.norm(reference), 1e-12)


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
