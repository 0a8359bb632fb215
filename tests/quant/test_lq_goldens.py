"""The quantizers against figures of the reference implementation."""

import numpy as np
import pytest
import tensorflow as tf

from quant import lq
from tests.reference import generator, relative


def _cases():
    """Every case; strict where the reference's quirk matters, else both ways."""
    for kind, count in (("weights", 6), ("activations", 9)):
        for index in range(count):
            for strict in (True, False):
                if strict or (kind, index) not in NEGATIVE:
                    yield f"lqnet_quantizer_{kind}", index, strict


# Cases with a negative basis entry, where the reference gives the lowest place another code.
NEGATIVE = {("weights", 4), ("activations", 8)}


@pytest.mark.parametrize(("name", "index", "strict"), list(_cases()))
def test_forward_gradient_and_update(golden, name, index, strict):
    case = golden(name)["cases"][index]
    signed = case["kind"] == "weight"
    basis = case["basis_given"]
    if basis is None and signed:
        basis = lq.initial_weight_basis(case["bits"], case["n"], case["shape"][-1])
    elif basis is None:
        basis = lq.initial_activation_basis(case["bits"])
    basis = tf.constant(basis, tf.float32)
    biased, count = tf.zeros_like(basis), tf.constant(0.0)
    g = tf.constant(generator(case["gradient_seed"]).standard_normal(case["shape"]), tf.float32)
    for step in case["steps"]:
        x = (case["input_scale"] * generator(step["input_seed"]).standard_normal(case["shape"])).astype(np.float32)
        x = tf.constant(np.maximum(x, 0) if case["relu"] else x)
        if "input" in step:
            assert relative(x, step["input"]) < 1e-6
        assert relative(basis, step["basis_before"]) < 1e-5
        with tf.GradientTape() as tape:
            tape.watch(x)
            table = lq.level_table(basis, signed, strict)
            y, statistics = lq.quantize_with_statistics(x, table)
            loss = tf.reduce_sum(y * g)
        gradient = tape.gradient(loss, x).numpy()
        if "gradient" in step:
            assert relative(gradient, step["gradient"]) < 1e-5
        assert abs(gradient.sum() - step["gradient_sum"]) < 1e-4 * np.abs(gradient).sum()
        assert np.mean(gradient == 0) == pytest.approx(step["gradient_zero_share"], abs=1e-6)
        assert relative(y, step["output"]) < 1e-5
        np.testing.assert_array_equal(y, lq.quantize(x, table))
        proximal = 0.0 if strict and not signed else lq.PROXIMAL
        solution = lq.solve_basis(statistics, basis, proximal)
        bound = 2e-2 if _nearly_singular(statistics) else 1e-4
        assert relative(solution, step["solution"]) < bound
        basis, biased, count = lq.debiased_average(biased, count, solution)
        assert relative(basis, step["basis_after"]) < bound


def _nearly_singular(statistics):
    """Collinear code columns: the reference's float32 determinant is good to about one percent there."""
    return np.linalg.cond(statistics.gram.numpy()).max() > 1e4
