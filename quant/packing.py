"""Kernels of a learned quantizer packed at their bit width: codes and bases, as they would be stored or sent."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from quant import lq


class PackedKernel(NamedTuple):
    """A quantized kernel.

    codes: uint8, eight code bits per byte, little end first; `ceil(size * bits / 8)` bytes.
    basis: float32 `(bits, channels)`.
    shape: of the kernel, channels last.
    """

    codes: np.ndarray
    basis: np.ndarray
    shape: tuple

    @property
    def nbytes(self) -> int:
        """Bytes of codes and basis."""
        return self.codes.nbytes + self.basis.nbytes


def pack_kernel(kernel: np.ndarray, basis: np.ndarray) -> PackedKernel:
    """Quantize a kernel by its basis and pack the codes.

    Args:
        kernel: float `(..., channels)`.
        basis: `(bits, channels)`.

    Returns:
        `PackedKernel`; `unpack_kernel` gives what `quantize(kernel, basis, signed=True)` gives, bit for bit.
    """
    basis = np.asarray(basis, np.float32)
    thresholds = np.asarray(lq.level_table(basis, signed=True).thresholds)
    order = np.asarray(lq.sorted_levels(basis, signed=True)[1])
    kernel = np.asarray(kernel, np.float32)
    columns = [row[np.searchsorted(t, kernel[..., c])] for c, (row, t) in enumerate(zip(order, thresholds, strict=True))]
    code = np.stack(columns, axis=-1)
    bits = (code[..., None] >> np.arange(basis.shape[0])) & 1
    return PackedKernel(np.packbits(bits.astype(np.uint8).ravel(), bitorder="little"), basis, kernel.shape)


def unpack_kernel(packed: PackedKernel) -> np.ndarray:
    """The quantized kernel, float32."""
    bits, channels = packed.basis.shape
    size = int(np.prod(packed.shape))
    code = np.unpackbits(packed.codes, count=size * bits, bitorder="little").reshape(*packed.shape, bits) @ (
        1 << np.arange(bits)
    )
    levels = np.asarray(lq.levels_of_codes(packed.basis, signed=True))
    return levels[np.broadcast_to(np.arange(channels), packed.shape), code]


def unpacking(packed: PackedKernel) -> tf.Tensor:
    """What `unpack_kernel` gives, bit for bit, as operations of TensorFlow on constants: a graph holds the codes and bases."""
    bits, channels = packed.basis.shape
    size = int(np.prod(packed.shape))
    places = tf.constant(np.arange(8), tf.uint8)
    bit = tf.bitwise.bitwise_and(tf.bitwise.right_shift(tf.constant(packed.codes)[:, None], places), tf.constant(1, tf.uint8))
    bit = tf.reshape(tf.reshape(bit, [-1])[: size * bits], [-1, bits])
    code = tf.cast(tf.reduce_sum(tf.bitwise.left_shift(bit, places[:bits]), axis=1), tf.int32)
    levels = tf.reshape(lq.levels_of_codes(tf.constant(packed.basis), signed=True), [-1])
    own = tf.reshape(code, [-1, channels]) + 2**bits * tf.range(channels)
    return tf.reshape(tf.gather(levels, own), packed.shape)
