"""The quantizers against figures of the reference implementation."""

import numpy as np
import pytest
import tensorflow as tf

from quant import lq


def _generator(seed, shape):
    return np.random.Generator(np.random.PCG64(seed)).standard_normal(shape)


def _relative(ours, reference):
    ours, reference = np.asarray(ours, np.float64), np.asarray(reference, np.float64)
    return np.linalg.norm(ours - reference) / max(np.linalg.norm(reference), 1e-12)


@pytest.mark.parametrize("name", ["lqnet_quantizer_weights", "lqnet_quantizer_activations"])
@pytest.mark.parametrize("index", range(9))
@pytest.mark.parametrize("strict", [True, False])
def test_forward_gradient_and_update(golden, name, index, strict):
    cases = golden(name)["cases"]
    if index >= len(cases):
        pytest.skip("fewer cases in this file")
    case = cases[index]
    negative = case["basis_given"] is not None and np.min(case["basis_given"]) < 0
    if negative and not strict:
        pytest.skip("the reference's treatment of negative entries is the strict one")
    signed = case["kind"] == "weight"
    basis = case["basis_given"]
    if basis is None and signed:
        basis = lq.initial_weight_basis(case["bits"], case["n"], case["shape"][-1])
    elif basis is None:
        basis = lq.initial_activation_basis(case["bits"])
    basis = tf.constant(basis, tf.float32)
    biased, count = tf.zeros_like(basis), tf.constant(0.0)
    g = tf.constant(_generator(case["gradient_seed"], case["shape"]), tf.float32)
    for step in case["steps"]:
        x = (case["input_scale"] * _generator(step["input_seed"], case["shape"])).astype(np.float32)
        x = tf.constant(np.maximum(x, 0) if case["relu"] else x)
        if "input" in step:
            assert _relative(x, step["input"]) < 1e-6
        assert _relative(basis, step["basis_before"]) < 1e-5
        with tf.GradientTape() as tape:
            tape.watch(x)
            y, statistics = lq.quantize_with_statistics(x, basis, signed, strict)
            loss = tf.reduce_sum(y * g)
        gradient = tape.gradient(loss, x).numpy()
        if "gradient" in step:
            assert _relative(gradient, step["gradient"]) < 1e-5
        assert abs(gradient.sum() - step["gradient_sum"]) < 1e-4 * np.abs(gradient).sum()
        assert np.mean(gradient == 0) == pytest.approx(step["gradient_zero_share"], abs=1e-6)
        assert _relative(y, step["output"]) < 1e-5
        np.testing.assert_array_equal(y, lq.quantize(x, basis, signed, strict))
        proximal = 0.0 if strict and not signed else lq.PROXIMAL
        solution = lq.solve_basis(statistics, basis, proximal)
        bound = 2e-2 if _nearly_singular(statistics) else 1e-4
        assert _relative(solution, step["solution"]) < bound
        basis, biased, count = lq.debiased_average(biased, count, solution)
        assert _relative(basis, step["basis_after"]) < bound


def _nearly_singular(statistics):
    """Collinear code columns: the reference's float32 determinant is good to about one percent there."""
    return np.linalg.cond(statistics.gram.numpy()).max() > 1e4
