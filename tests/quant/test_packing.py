"""Packed kernels."""

import numpy as np
import pytest
import tensorflow as tf

from quant import (
    QuantConv2D,
    QuantDense,
    QuantDepthwiseConv2D,
    level_table,
    lq,
    pack_kernel,
    quantize,
    unpack_kernel,
    unpacking,
)


@pytest.mark.parametrize("bits", range(1, 9))
def test_unpacked_equals_quantized(rng, bits):
    kernel = rng.standard_normal((3, 3, 5, 7)).astype(np.float32)
    basis = lq.initial_weight_basis(bits, 63, 7) * rng.uniform(0.5, 2, (bits, 7)).astype(np.float32)
    packed = pack_kernel(kernel, basis)
    assert packed.codes.nbytes == -(-kernel.size * bits // 8)
    np.testing.assert_array_equal(unpack_kernel(packed), quantize(tf.constant(kernel), level_table(tf.constant(basis), True)))
    np.testing.assert_array_equal(unpacking(packed), unpack_kernel(packed))
    graph = tf.function(lambda: unpacking(packed))  # optimised otherwise
    np.testing.assert_array_equal(graph(), unpack_kernel(packed))


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (QuantConv2D(6, 3, groups=2, weight_bits=2), (1, 8, 8, 4)),
        (QuantDepthwiseConv2D(3, depth_multiplier=2, weight_bits=3), (1, 8, 8, 4)),
        (QuantDense(5, weight_bits=1), (1, 4)),
    ],
    ids=["grouped", "depthwise", "dense"],
)
def test_layers_pack_their_kernel(layer, shape, rng):
    layer.build(shape)
    layer.latent_kernel.assign(0.3 * rng.standard_normal(layer.latent_kernel.shape))
    layer.weight_quantizer.basis.assign(layer.weight_quantizer.basis * rng.uniform(0.5, 2, layer.weight_quantizer.basis.shape))
    packed, inputs = layer.packed_kernel(), tf.constant(rng.standard_normal(shape), tf.float32)
    kernel = tf.reshape(unpacking(packed), layer.latent_kernel.shape)
    np.testing.assert_array_equal(kernel, layer.quantized_kernel())
    served = layer.served_form([])
    served.build(shape)
    served.bias.assign(layer.bias)
    assert served.read_kernel(lambda: kernel) is served.latent_kernel
    np.testing.assert_array_equal(served(inputs), layer(inputs))
