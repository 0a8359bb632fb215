"""Training steps in float64 against a golden file of the float references."""

import types

import numpy as np
import pytest
import tensorflow as tf

from quant import StepScope
from tests.reference import relative, standard_images
from tests.tasks.fakes import classification
from tfres.engines.optimizer import MomentumSGD
from tfres.tasks.classification.losses import kl_divergence


def training_steps(reference, model, objective, reference_name):
    """Make the golden's steps with the model and compare what every family has: losses, gradients, updates, statistics.

    Args:
        reference: the golden file.
        model: in float64.
        objective: with weight decay on all weights.
        reference_name: our name of a variable -> the reference's.

    Yields:
        `(figures, outcome)` after each step; the outcome has `alpha` as it was before the step, if the model has one.
    """
    sizes, labels = reference["settings"]["sizes"], tf.constant(reference["input"]["labels"])
    named = {reference_name(v.name.removesuffix(":0")): v for v in model.weights}
    trained = {name: v for name, v in named.items() if v.trainable}
    images = {size: standard_images(2, size).astype(np.float64) for size in sizes}
    optimizer, task = MomentumSGD(0.1, 0.9, nesterov=False), classification(model.options.classes)
    for figures in reference["outputs"]:
        before = {name: v.numpy() for name, v in trained.items()}
        with StepScope() as step, tf.GradientTape() as tape:
            outcome = objective(model, images, labels, task)
            cost = tf.add_n(list(outcome.terms.values()))
        gradients = dict(zip(trained, tape.gradient(cost, list(trained.values())), strict=True))
        _compare_losses(outcome, figures, sizes)
        _compare_gradients(gradients, before, figures, objective.weight_decay)
        optimizer.learning_rate = figures["lr"]
        optimizer.apply_gradients([(gradients[name], v) for name, v in trained.items()])
        step.apply()
        for name, norm in figures["update_norm"].items():
            if name in trained:
                assert np.linalg.norm(trained[name] - before[name]) == pytest.approx(norm or 0, rel=1e-5, abs=1e-9), name
        for group in ("param_norm_after", "bn_stat_norm_after"):
            for name, norm in figures[group].items():
                if name in named:
                    assert np.linalg.norm(named[name]) == pytest.approx(norm, rel=1e-5), name
        yield figures, types.SimpleNamespace(terms=outcome.terms, outputs=outcome.outputs, alpha=before.get("alpha"))


def _compare_losses(outcome, figures, sizes):
    terms, loss = outcome.terms, figures["loss"]
    np.testing.assert_allclose([terms[f"cross_entropy_r{size}"] for size in sizes], loss["ce"], rtol=1e-5)
    students = [outcome.outputs[f"r{size}"] for size in sizes]
    assert float(kl_divergence(*students)) == pytest.approx(loss["kl_topdown"]["1<-0"], rel=1e-5)
    total = sum(float(value) for name, value in terms.items() if name != "weight_decay")
    assert total == pytest.approx(loss["total"], rel=1e-5)
    for ours, theirs in zip(students, figures.get("logits", students), strict=True):
        assert relative(ours, theirs) < 1e-5


def _compare_gradients(gradients, before, figures, weight_decay):
    """The reference's are without weight decay; parameters that get none there do not exist here."""
    largest = max(norm for norm in figures["grad_norm"].values() if norm)
    compared = 0
    for name, norm in figures["grad_norm"].items():
        if norm is None:
            assert name not in gradients or name == "alpha", name
            continue
        ours = np.linalg.norm(gradients[name] - weight_decay * before[name])
        assert abs(ours - norm) <= 1e-5 * norm + 1e-9 * largest, name
        compared += 1
    assert compared == len(gradients)
