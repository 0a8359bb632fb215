"""Losses, learning rates and validation figures of float RS-Nets and SAN against the references."""

import types

import numpy as np
import pytest
import tensorflow as tf

from tests.reference import generator, relative
from tests.tasks.fakes import classification
from tfres.objectives import EnsembleDistillation, ScaleDistillation
from tfres.objectives.ensemble_distillation import ensemble
from tfres.recipe import TrainingOptions, learning_rate
from tfres.tasks.classification.losses import kl_divergence
from tfres.tasks.classification.metrics import Accuracy


def _logits(given):
    """The golden's logits by name, largest resolution first."""
    shape = (given["n"], given["batch"], given["classes"])
    values = (generator(given["logit_seed"]).standard_normal(shape) * given["logit_scale"]).astype(np.float32)
    return {f"z{j}": tf.constant(z, tf.float64) for j, z in enumerate(values)}


def test_losses_and_gradients(golden):
    for output in golden("rsnet_losses")["outputs"]:
        given = output["setting"]
        logits = _logits(given)
        alpha = tf.Variable(given["alpha"], dtype=tf.float64)
        objective = EnsembleDistillation(given["kd"], kd_type=given["kd_type"] or "ens", ensemble=True)
        with tf.GradientTape() as tape:
            tape.watch(logits)
            terms = objective.outcome(
                types.SimpleNamespace(alpha=alpha), logits, tf.constant(given["labels"]), classification(given["classes"])
            ).terms
            total = tf.add_n(list(terms.values()))
        by_logits, by_alpha = tape.gradient(total, (logits, alpha))
        np.testing.assert_allclose([terms[f"cross_entropy_{name}"] for name in logits], output["ce"], rtol=1e-6)
        np.testing.assert_allclose(tf.nn.softmax(alpha), output["alpha_softmax"], rtol=1e-6)
        assert float(terms["cross_entropy_ensemble"]) == pytest.approx(output["ce_ensemble"], rel=1e-6)
        students = list(logits.values())
        teacher = ensemble(students, alpha)
        kl = [kl_divergence(teacher, z) for z in students]
        np.testing.assert_allclose(kl, output["kl_from_ensemble"], rtol=1e-6, atol=1e-9)
        for pair, value in output["kl_topdown"].items():
            student, larger = map(int, pair.split("<-"))
            assert float(kl_divergence(students[larger], students[student])) == pytest.approx(value, rel=1e-6)
        assert float(total) == pytest.approx(output["total"], rel=1e-6)
        for ours, theirs in zip(by_logits.values(), output["grad_logits"], strict=True):
            assert relative(ours, theirs) < 1e-5
        assert relative(by_alpha, output["grad_alpha"]) < 1e-5 or np.abs(by_alpha).max() < 1e-9


def test_scale_distillation(golden):
    """SAN's losses and gradients."""
    for output in golden("san_losses")["outputs"]:
        given = output["setting"]
        logits = _logits(given)
        with tf.GradientTape() as tape:
            tape.watch(logits)
            terms = (
                ScaleDistillation(given["kd"])
                .outcome(None, logits, tf.constant(given["labels"]), classification(given["classes"]))
                .terms
            )
            total = tf.add_n(list(terms.values()))
        np.testing.assert_allclose([terms[f"cross_entropy_{name}"] for name in logits], output["ce"], rtol=1e-6)
        assert float(total) == pytest.approx(output["total"], rel=1e-6)
        for ours, theirs in zip(tape.gradient(total, logits).values(), output["grad_logits"], strict=True):
            assert relative(ours, theirs) < 1e-5


@pytest.mark.parametrize("name", ["rsnet_losses", "san_losses"])
def test_learning_rates(golden, name):
    """All rules but `step`, which in the reference never decays; up to the first decay it is the same."""
    for figures in golden(name)["learning_rate"]:
        training = TrainingOptions(
            epochs=figures["epochs"],
            learning_rate=figures["lr"],
            schedule=figures["lr_decay"],
            decay=figures["gamma"],
            milestones=figures["schedule"],
            warmup_epochs=5 if figures["warmup"] else 0,
        )
        for (epoch, iteration), value in zip(figures["at"], figures["values"], strict=True):
            rate = learning_rate(training, epoch * figures["num_iter"] + iteration, figures["num_iter"])
            if figures["lr_decay"] != "step" or epoch < training.step_epochs:
                assert rate == pytest.approx(value, rel=1e-7), (figures, epoch)


def test_validation_figures(golden):
    (output,) = golden("rsnet_losses")["validation"]
    given = output["setting"]
    metrics = [Accuracy() for _ in range(given["n"] + 1)]
    for batch, logit_seed, label_seed in zip(given["batches"], given["logit_seeds"], given["label_seeds"], strict=True):
        shape = (given["n"], batch, given["classes"])
        logits = list((generator(logit_seed).standard_normal(shape) * given["logit_scale"]).astype(np.float32))
        labels = generator(label_seed).integers(0, given["classes"], batch).astype(np.int32)
        logits.append(ensemble(logits, tf.constant(given["alpha"])))
        for metric, z in zip(metrics, logits, strict=True):
            metric.update(tf.constant(z), tf.constant(labels))
    percent = np.array([[100 * metric.result()[name] for name in ("top1", "top5")] for metric in metrics])
    for size, line, (top1, top5) in zip(given["sizes"], output["log_lines"], percent, strict=False):
        assert line == f"size{size:03d}: top1 {top1:.3f}, top5 {top5:.3f}"
    assert output["log_lines"][given["n"]] == "ensemble top1 {:.3f}, top5 {:.3f}".format(*percent[-1].round(1))
    np.testing.assert_allclose(percent[:-1].T.round(1), output["returned"], atol=0.051)
