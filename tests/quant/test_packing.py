"""Packed kernels."""

import numpy as np
import pytest
import tensorflow as tf

from quant import level_table, lq, pack_kernel, quantize, unpack_kernel


@pytest.mark.parametrize("bits", range(1, 9))
def test_unpacked_equals_quantized(rng, bits):
    kernel = rng.standard_normal((3, 3, 5, 7)).astype(np.float32)
    basis = lq.initial_weight_basis(bits, 63, 7) * rng.uniform(0.5, 2, (bits, 7)).astype(np.float32)
    packed = pack_kernel(kernel, basis)
    assert packed.codes.nbytes == -(-kernel.size * bits // 8)
    np.testing.assert_array_equal(unpack_kernel(packed), quantize(tf.constant(kernel), level_table(tf.constant(basis), True)))
