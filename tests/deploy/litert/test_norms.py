"""Which kernels norms are folded into."""

import numpy as np

from tfres.deploy.litert.norms import Norm, kernels_to_fold

ONES, TWOS = np.ones(4, np.float32), np.full(4, 2, np.float32)
TURNED = np.array([1, 1, -1, 1], np.float32)


def _norms(**kernels):
    """Norms of kernels with so many elements and such factors."""
    return [
        Norm("norm", factor, factor, kernel, elements)
        for kernel, (elements, *factors) in kernels.items()
        for factor in factors
    ]


def test_copies_of_small_kernels_are_cheap():
    norms = _norms(small=(10, ONES, TWOS), middle=(60, ONES, TWOS), large=(5000, ONES, TWOS))
    assert kernels_to_fold(norms, 4 * 5070, quantized=False) == {"small", "middle"}  # 280 of 608 bytes
    assert kernels_to_fold(norms, 4 * 1000, quantized=False) == {"small"}
    assert kernels_to_fold(norms, 4 * 10, quantized=False) == set()


def test_what_has_no_copies_is_folded_whatever_its_size():
    norms = _norms(alone=(5000, ONES), equal=(5000, TWOS, TWOS.copy()), several=(5000, ONES, TWOS, TURNED))
    assert kernels_to_fold(norms, 4 * 15000, quantized=False) == {"alone", "equal"}


def test_a_norm_that_differs_between_calls_needs_the_kernel_itself():
    norms = _norms(kernel=(5000, ONES, None))
    assert kernels_to_fold(norms, 4 * 5000, quantized=False) == set()
    assert kernels_to_fold(norms, 4 * 5000, quantized=True) == {"kernel"}


def test_codes_are_equal_but_for_signs():
    norms = _norms(kernel=(5000, ONES, TWOS), turned=(5000, ONES, TURNED), zero=(5000, ONES, np.zeros(4, np.float32)))
    assert kernels_to_fold(norms, 4 * 15000, quantized=True) == {"kernel"}
    assert kernels_to_fold(_norms(turned=(5000, TURNED, 2 * TURNED)), 4 * 5000, quantized=True) == {"turned"}
    floats = _norms(tiny=(1000, ONES, TWOS))  # too small to be quantized
    assert kernels_to_fold(floats, 4 * 15000, quantized=True) == set()


def test_norms_behind_no_convolution_count_for_nothing():
    assert kernels_to_fold([Norm("norm", ONES, ONES)], 1000, quantized=False) == set()
