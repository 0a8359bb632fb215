"""Converted float RS-Nets against the reference: logits, intermediates, the training step in float64."""

import numpy as np
import pytest
import tensorflow as tf

from tests.convert.steps import training_steps
from tests.reference import fill, observe, relative, standard_images
from tfres.convert import from_reference
from tfres.convert.rsnet import reference_name
from tfres.objectives import EnsembleDistillation
from tfres.objectives.ensemble_distillation import ensemble
from tfres.tasks.classification.losses import kl_divergence


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
    sizes = reference["settings"]["sizes"]
    model = from_reference("rsnet", "parallel_resnet18", fill(reference["tensors"]), sizes=sizes, dtype="float64")
    objective = EnsembleDistillation(kd=True, weight_decay=1e-4, decay_on="all", ensemble=True)
    for figures, outcome in training_steps(reference, model, objective, lambda name: reference_name(name, sizes)):
        loss = figures["loss"]
        np.testing.assert_allclose(tf.nn.softmax(outcome.alpha), loss["alpha_softmax"], rtol=1e-6)
        assert float(outcome.terms["cross_entropy_ensemble"]) == pytest.approx(loss["ce_ens"], rel=1e-5)
        kl = [float(kl_divergence(outcome.outputs["ensemble"], outcome.outputs[f"r{size}"])) for size in sizes]
        np.testing.assert_allclose(kl, loss["kl_from_ens"], rtol=1e-5)
