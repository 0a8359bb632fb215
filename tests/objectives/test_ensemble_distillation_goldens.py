"""One training step of quantized RS-Nets against the reference: losses, gradients, bases, statistics, weights."""

import re

import numpy as np
import pytest
import tensorflow as tf

from quant import ActivationQuantizer, StepScope, WeightQuantizer, lq
from tests.reference import fill_rsnet_quant, generator, relative
from tests.tasks.fakes import classification
from tfres.convert import from_reference
from tfres.convert.rsnet_quant import _reference_name
from tfres.engines.optimizer import MomentumSGD
from tfres.layers import MultiResolutionCrop
from tfres.objectives import EnsembleDistillation
from tfres.tasks.classification.losses import soft_cross_entropy

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@pytest.mark.parametrize("name", ["resnet18_resnet_w2a32", "resnet18_preact_w2a2"])
def test_training_step(golden, name):
    reference = golden(f"rsnet_quant_train_{name}")
    settings, bound, figures = reference["settings"], reference["bound"], reference["outputs"][0]
    sizes = settings["sizes"]
    model = from_reference(
        "rsnet_quant", "resnet18", fill_rsnet_quant(reference["tensors"]), **{k: settings[k] for k in ("mode", "qw", "qa")}
    )
    named = {_reference_name(v.name.removesuffix(":0"))[0]: v for v in model.weights}
    image_seed, label_seed = (int(seed) for seed in re.findall(r"PCG64\((\d+)\)", reference["input"]))
    batch = settings["batch"]
    images = generator(image_seed).integers(0, 256, (batch, 224, 224, 3)).astype(np.uint8)
    labels = generator(label_seed).integers(0, 1000, batch)
    assert labels.tolist() == figures["label"]
    crop = MultiResolutionCrop(sizes, mean=MEAN, std=STD, channel_order="bgr")
    crops = crop(images[..., ::-1])
    task = classification(1000)
    objective = EnsembleDistillation(kd=True, weight_decay=settings["weight_decay"], divergence="cross_entropy")

    start = {name: v.numpy() for name, v in named.items()}
    with StepScope() as step, tf.GradientTape() as tape:
        outcome = objective(model, crops, tf.constant(labels), task)
        cost = tf.add_n(list(outcome.terms.values()))
    trained = {name: v for name, v in named.items() if v.trainable}
    gradients = dict(zip(trained, tape.gradient(cost, list(trained.values())), strict=True))

    solutions = {
        variable.name.removesuffix(":0"): [lq.solve_basis(record.statistics, variable).numpy() for record in records]
        for variable, records in _basis_records(step)
    }

    _check_losses(outcome, figures["losses"], bound["losses_rel"])
    for size in sizes:
        first = len(figures["logits"][str(size)][0])
        assert relative(outcome.outputs[f"r{size}"][:, :first], figures["logits"][str(size)]) < 1e-4
    share = float(re.search(r"<= (\S+)\*ref", bound["gradient_norms"])[1])
    largest = max(norm for _, norm in figures["gradient_norms"])
    assert {n for n, _ in figures["gradient_norms"]} | {"alpha"} == set(gradients)
    for variable, norm in figures["gradient_norms"]:
        assert abs(np.linalg.norm(gradients[variable]) - norm) <= share * norm + 1e-5 * largest, variable
    assert relative(gradients["alpha"], figures["gradient_alpha"]) < bound["gradient_alpha_rel"]

    step.apply()
    for entry in figures["bases"]:
        ours = named[entry["name"]].numpy()
        channels = np.shape(entry["after_sequential"])[1]
        assert relative(ours[:, :channels], entry["after_sequential"]) < bound["bases_rel"], entry["name"]
        theirs = entry["solutions"] if np.ndim(entry["solutions"]) == 3 else [entry["solutions"]]
        for mine, their in zip(solutions[named[entry["name"]].name.removesuffix(":0")], theirs, strict=False):
            assert relative(mine[:, :channels], their) < bound["bases_rel"], entry["name"]
    for variable, norm in figures["bn_after_one_step"]["norms"]:
        assert np.linalg.norm(named[variable]) == pytest.approx(norm, rel=bound["bn_rel"]), variable
    for variable, values in figures["bn_after_one_step"]["first8"].items():
        assert relative(named[variable][:8], values) < bound["bn_rel"], variable

    optimizer = MomentumSGD(settings["learning_rate"], settings["momentum"], settings["nesterov"])
    optimizer.apply_gradients([(gradients[name], v) for name, v in trained.items()])
    for variable, norm in figures["after_optimizer_step"]["norms"]:
        assert np.linalg.norm(named[variable]) == pytest.approx(norm, rel=bound["after_optimizer_step_rel"]), variable
    assert relative(named["alpha"], figures["after_optimizer_step"]["alpha"]) < bound["after_optimizer_step_rel"]

    for variable_name, variable in named.items():
        if "basis" in variable_name:
            variable.assign(start[variable_name])
    with StepScope():
        outcome = objective(model, crops, tf.constant(labels), task)
    _check_losses(outcome, figures["second_step_losses"], bound["second_step_rel"])


def _basis_records(step):
    """Basis variable and recorded statistics of every quantizer."""
    for layer, records in step.records():
        if isinstance(layer, WeightQuantizer):
            yield layer.basis, records
        elif isinstance(layer, ActivationQuantizer):
            yield layer.bases[0], records


def _check_losses(outcome, figures, bound):
    terms = {name: float(value) for name, value in outcome.terms.items()}
    for size, value in figures["cross_entropy"].items():
        assert terms[f"cross_entropy_r{size}"] == pytest.approx(value, rel=bound)
    assert terms["cross_entropy_ensemble"] == pytest.approx(figures["cross_entropy_ensemble"], rel=bound)
    for teacher, student, value in figures["distillation"]:
        teacher = "ensemble" if teacher == "ensemble" else f"r{teacher}"
        ours = soft_cross_entropy(outcome.outputs[teacher], outcome.outputs[f"r{student}"])
        assert float(ours) == pytest.approx(value, rel=bound)
    assert terms["weight_decay"] == pytest.approx(figures["weight_decay"], rel=bound)
    assert sum(terms.values()) == pytest.approx(figures["cost"], rel=bound)
