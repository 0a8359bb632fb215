"""Kernels of a learned quantizer packed at their bit width: codes and bases, as they would be stored or sent."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

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
    levels, order = (np.asarray(table) for table in lq.sorted_levels(packed.basis, signed=True))
    by_code = np.empty_like(levels)
    np.put_along_axis(by_code, order, levels, axis=1)
    return by_code[np.broadcast_to(np.arange(channels), packed.shape), code]
