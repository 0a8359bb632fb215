"""Converted float RS-Nets against the reference: logits, intermediates, the training step in float64."""

import numpy as np
import pytest
import tensorflow as tf

from quant import StepScope
from tests.reference import fill, observe, relative, standard_images
from tfres.convert import from_reference
from tfres.convert.rsnet import reference_name
from tfres.engines.optimizer import MomentumSGD
from tfres.objectives import EnsembleDistillation
from tfres.objectives.classification import kl_divergence
from tfres.objectives.ensemble_distillation import ensemble


def _intermediates(model, mobile):
    """Our layers for the modules whose outputs the goldens hold (shape without batch, norm), as far as they are layers."""
    backbone = model.backbone
    if mobile:
        return {f"features.{i}": block for i, block in enumerate(backbone.blocks, 1)}
    return {"conv1": backbone.conv0, "bn1": backbone.conv0_bn} | {f"layer{i}": g for i, g in enumerate(backbone.groups, 1)}


@pytest.mark.parametrize("arch", ["resnet18", "mobilenetv2"])
def test_network(golden, arch):
    reference = golden(f"rsnet_{arch}_eval5")
    sizes = reference["settings"]["sizes"]
    model = from_reference("rsnet", f"parallel_{arch}", fill(reference["tensors"]), sizes=sizes)
    layers = _intermediates(model, arch == "mobilenetv2")
    logits = []
    for branch, size in enumerate(sizes):
        x = standard_images(reference["input"]["batch"], size)
        logits.append(model(x, setting=size))
        assert relative(logits[-1], reference["outputs"][branch]["logits"]) < 1e-4
        for name, output in zip(layers, observe(model, list(layers.values()), x, size), strict=True):
            figures = reference["intermediates"][name]
            height, width, channels = output.shape[1:]
            assert [channels, height, width] == figures["shapes"][branch], name
            assert np.linalg.norm(output) == pytest.approx(figures["l2"][branch], rel=1e-4), name
    together = ensemble(logits, model.alpha)
    np.testing.assert_allclose(tf.nn.softmax(model.alpha), reference["outputs"][-1]["setting"]["alpha_softmax"], rtol=1e-5)
    assert relative(together, reference["outputs"][-1]["logits"]) < 1e-4


def test_training_steps_in_float64(golden):
    reference = golden("rsnet_resnet18_trainstep")
    sizes, labels = reference["settings"]["sizes"], tf.constant(reference["input"]["labels"])
    model = from_reference("rsnet", "parallel_resnet18", fill(reference["tensors"]), sizes=sizes, dtype="float64")
    named = {reference_name(v.name.removesuffix(":0"), sizes): v for v in model.weights}
    trained = {name: v for name, v in named.items() if v.trainable}
    images = {size: standard_images(2, size).astype(np.float64) for size in sizes}
    objective = EnsembleDistillation(kd=True, weight_decay=1e-4, decay_on="all", ensemble=True)
    optimizer = MomentumSGD(0.1, 0.9, nesterov=False)
    for figures in reference["outputs"]:
        loss = figures["loss"]
        np.testing.assert_allclose(tf.nn.softmax(model.alpha), loss["alpha_softmax"], rtol=1e-6)
        with StepScope() as step, tf.GradientTape() as tape:
            outcome = objective(model, images, labels)
            data_loss = tf.add_n([value for name, value in outcome.terms.items() if name != "weight_decay"])
            cost = data_loss + outcome.terms["weight_decay"]
        terms = outcome.terms
        np.testing.assert_allclose([terms[f"cross_entropy_r{size}"] for size in sizes], loss["ce"], rtol=1e-5)
        assert float(terms["cross_entropy_ensemble"]) == pytest.approx(loss["ce_ens"], rel=1e-5)
        students = [outcome.logits[f"r{size}"] for size in sizes]
        kl = [float(kl_divergence(outcome.logits["ensemble"], z)) for z in students]
        np.testing.assert_allclose(kl, loss["kl_from_ens"], rtol=1e-5)
        assert float(kl_divergence(*students)) == pytest.approx(loss["kl_topdown"]["1<-0"], rel=1e-5)
        assert float(data_loss) == pytest.approx(loss["total"], rel=1e-5)
        if "logits" in figures:
            for ours, theirs in zip(students, figures["logits"], strict=True):
                assert relative(ours, theirs) < 1e-5
        before = {name: v.numpy() for name, v in trained.items()}
        optimizer.learning_rate = figures["lr"]
        gradients = dict(zip(trained, tape.gradient(cost, list(trained.values())), strict=True))
        largest = max(norm for norm in figures["grad_norm"].values() if norm)
        for name, norm in figures["grad_norm"].items():
            ours = np.linalg.norm(gradients[name] - objective.weight_decay * before[name])  # theirs: without weight decay
            assert abs(ours - (norm or 0)) <= 1e-5 * (norm or 0) + 1e-9 * largest, name
        optimizer.apply_gradients([(gradients[name], v) for name, v in trained.items()])
        step.apply()
        for name, norm in figures["update_norm"].items():
            assert np.linalg.norm(trained[name] - before[name]) == pytest.approx(norm or 0, rel=1e-5, abs=1e-9), name
        for group in ("param_norm_after", "bn_stat_norm_after"):
            for name, norm in figures[group].items():
                assert np.linalg.norm(named[name]) == pytest.approx(norm, rel=1e-5), name
