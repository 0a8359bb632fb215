"""Converted RANets against the reference: logits of every exit, features, blocks, costs, rates, training steps in float64."""

import numpy as np
import pytest
import tensorflow as tf

from quant import StepScope
from tests.reference import fill, generator, relative, standard_images
from tests.tasks.fakes import classification
from tfres.convert import from_reference
from tfres.convert.ranet import reference_name
from tfres.engines.optimizer import MomentumSGD
from tfres.layers import FanOutNormal
from tfres.models.layer_names import observed
from tfres.models.ranet import PRESETS, counting
from tfres.models.ranet.layout import block_table
from tfres.models.ranet.options import RANetOptions
from tfres.objectives import ExitsObjective
from tfres.recipe import TrainingOptions
from tfres.recipe.options import learning_rate

# Goldens of networks and the preset that each is.
NETWORKS = {
    "ranet_cifar10_s123_lg2": "ranet_cifar",
    "ranet_cifar10_s1233_even4": "ranet_cifar_1233",
    "ranet_cifar100_s123_even4": "ranet_cifar_even",
    "ranet_imagenet_s1234_even8_c16": "ranet_imagenet_c16",
    "ranet_imagenet_s1234_even8_c64": "ranet_imagenet",
}


@pytest.mark.parametrize("name", NETWORKS)
def test_network(golden, name, monkeypatch):
    """Geometry is read off the tensors; one pass gives everything."""
    monkeypatch.setattr(FanOutNormal, "__call__", lambda self, shape, dtype=None, **_: tf.zeros(shape, dtype))  # much quicker
    reference = golden(name)
    model = from_reference("ranet", "RANet", fill(reference["tensors"]))
    preset = RANetOptions(**{**PRESETS[NETWORKS[name]], "classes": model.options.classes})
    assert block_table(model.options) == block_table(preset) == reference["blocks"]
    assert model.settings[0].exit == len(reference["outputs"])
    side = reference["input"]["shape"][-1]
    assert model.options.resolutions == preset.resolutions == [side]

    found = {}
    blocks = [f"backbone/net{row['subnet']}_block{row['block']}" for row in reference["blocks"]]
    images = standard_images(2, side)
    layers = ["backbone/stem", *blocks]
    seen = observed(model, layers, lambda: found.update(model.forward({side: images}, model.settings)))
    for number, output in enumerate(reference["outputs"], 1):
        assert relative(found[model.resolve(f"exit{number}")], output["logits"]) < 1e-4
    features = [*seen["backbone/stem"][::-1], *(seen[block][0] for block in blocks)]
    for ours, theirs in zip(features, reference["features"], strict=True):
        assert [ours.shape[axis] for axis in (3, 1, 2)] == theirs["shape"], theirs["where"]
        assert np.mean(ours) == pytest.approx(theirs["mean"], rel=1e-4), theirs["where"]
        assert np.linalg.norm(ours) == pytest.approx(theirs["l2"], rel=1e-4), theirs["where"]


def _options(settings, **more):
    """Our options of the reference's settings, without a network."""
    stem = "imagenet" if settings["data"] == "ImageNet" else "cifar"
    return RANetOptions(
        stem=stem,
        classes=settings["num_classes"],
        resolutions=[settings["input_size"]],
        scales=settings["scale_list"],
        blocks=settings["nBlocks"],
        block_step=settings["block_step"],
        step=settings["step"],
        step_mode=settings["stepmode"],
        channels=settings["nChannels"],
        growth=settings["growthRate"],
        channel_factors=settings["grFactor"],
        bottleneck_factors=settings["bnFactor"],
        reduction=settings["reduction"],
        compression=settings["compress_factor"],
        **more,
    )


def _check_costs(settings, costs):
    options = _options(settings)
    exits = options.exits
    assert [counting.operations(options, number) for number in exits] == costs["op_counter_ops"]
    assert [counting.macs(options, number) for number in exits] == costs["conv_linear_macs_all_earlier_heads"]
    own = [counting.macs(_options(settings, exits=[number]), number) for number in exits]
    assert own == costs["conv_linear_macs_own_head_only"]
    assert [counting.params(options, number) for number in exits] == costs["op_counter_params"]
    assert counting.params(options, exits[-1]) == costs["total_params"]


def test_costs(golden):
    reference = golden("ranet_costs_schedules")
    for output in reference["outputs"]:
        assert block_table(_options(output["settings"])) == output["blocks"], output["setting"]
        _check_costs(output["settings"], output["costs"])
    presets = [block_table(RANetOptions(**preset)) for preset in PRESETS.values()]
    assert all(output["blocks"] in presets for output in reference["outputs"]) and len(presets) == len(reference["outputs"])
    for name in NETWORKS:
        _check_costs(golden(name)["settings"], golden(name)["costs"])


def test_learning_rates(golden):
    samples = golden("ranet_costs_schedules")["learning_rates"]
    for sample in samples:
        schedule = {"schedule": "cos"}
        if sample["lr_type"] == "multistep" and sample["data"] == "ImageNet":
            schedule = {"schedule": "step", "step_epochs": 30}
        elif sample["lr_type"] == "multistep":
            schedule = {"schedule": "schedule", "milestones": [150, 225]}
        training = TrainingOptions(learning_rate=0.1, epochs=sample["epochs"], **schedule)
        batches = sample["batches_per_epoch"]
        rate = learning_rate(training, sample["epoch"] * batches + sample["batch"], batches)
        assert rate == pytest.approx(sample["lr"], rel=1e-5), sample
    assert len(samples) == 22


@pytest.fixture(scope="module")
def trained():
    """The network of the golden in float64, and what two steps gave: losses, logits, gradients, weights after each."""
    import gzip
    import json

    from tests.conftest import DATA

    with gzip.open(DATA / "ranet_train_cifar10_s123_lg2.json.gz") as file:
        reference = json.load(file)
    settings, batch = reference["settings"], reference["settings"]["batch"]
    model = from_reference("ranet", "RANet", fill(reference["tensors"]), dtype="float64")
    theirs = {variable.ref(): reference_name(variable.name.removesuffix(":0"), "cifar") for variable in model.weights}
    images = standard_images(2 * batch, 32, seed=2052).astype(np.float64)
    labels = tf.constant(generator(2053).integers(0, 10, 2 * batch))
    objective = ExitsObjective(weight_decay=settings["weight_decay"], decay_on="all")
    optimizer = MomentumSGD(settings["lr"], settings["momentum"], nesterov=settings["nesterov"])
    task, variables, steps = classification(10), model.trainable_variables, []
    for half in (slice(0, batch), slice(batch, 2 * batch)):
        before = [variable.numpy() for variable in variables]
        with StepScope() as scope, tf.GradientTape() as tape:
            outcome = objective(model, {32: images[half]}, labels[half], task)
            cost = tf.add_n(list(outcome.terms.values()))
        gradients = tape.gradient(cost, variables)
        optimizer.apply_gradients(list(zip(gradients, variables, strict=True)))
        scope.apply()
        plain = [g - settings["weight_decay"] * w for g, w in zip(gradients, before, strict=True)]
        found = {theirs[variable.ref()]: g for g, variable in zip(plain, variables, strict=True)}
        steps.append((outcome, found, {theirs[variable.ref()]: variable.numpy() for variable in model.weights}))
    return {output["setting"].partition(":")[0]: output for output in reference["outputs"]}, reference, steps


def test_training_steps_in_float64(trained):
    outputs, reference, steps = trained
    bound = reference["bounds"]["float64_run_everything"]
    (first, gradients, after), (second, _, last) = steps
    forward = outputs["step 1 forward"]
    for outcome, expected in ((first, forward), (second, outputs["step 2 forward (after update, second half of the images)"])):
        losses = [float(outcome.terms[f"cross_entropy_exit{number}"]) for number in range(1, 7)]
        np.testing.assert_allclose(losses, expected["loss_per_exit"], rtol=bound)
        assert sum(losses) == pytest.approx(expected["loss_total"], rel=bound)
    for number, logits in enumerate(forward["logits"], 1):
        assert relative(first.outputs[f"exit{number}"], logits) < bound
    expected = outputs["step 1 gradient L2 norms (before weight decay)"]
    for name, norm in expected["grad_norm"].items():
        assert np.linalg.norm(gradients[name]) == pytest.approx(norm, rel=bound), name
    total = np.sqrt(sum(np.sum(np.square(gradient)) for gradient in gradients.values()))
    assert total == pytest.approx(expected["total_grad_norm"], rel=bound)
    for values, when in ((after, "after step 1"), (last, "after step 2")):
        norms = next(o["param_norm"] for o in reference["outputs"] if o["setting"].startswith(when) and "param_norm" in o)
        for name, norm in norms.items():
            assert np.linalg.norm(values[name]) == pytest.approx(norm, rel=bound), (when, name)


def test_running_statistics_in_float64(trained):
    _, reference, ((_, _, after), _) = trained
    expected = next(output for output in reference["outputs"] if "running" in output)
    for name, values in expected["running"].items():
        np.testing.assert_allclose(after[name], values, rtol=1e-5, atol=1e-7, err_msg=name)
    for kind in ("running_mean", "running_var"):
        squares = sum(np.sum(np.square(value)) for name, value in after.items() if name.endswith(kind))
        assert squares == pytest.approx(expected[f"sum_sq_all_{kind}"], rel=1e-5)
