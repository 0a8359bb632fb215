"""Converted SANs against the reference: logits, generated kernels, intermediates, the training step in float64."""

import numpy as np
import pytest
import tensorflow as tf

from quant import At
from tests.convert.steps import training_steps
from tests.reference import fill, observe, relative, standard_images
from tfres.convert import from_reference
from tfres.convert.san import reference_name
from tfres.evaluation.calibration import calibrate
from tfres.layers import MetaConv2D
from tfres.objectives import ScaleDistillation
from tfres.settings import Setting


@pytest.fixture
def converted(golden):
    def convert(name, **overrides):
        reference = golden(name)
        tensors = fill(reference["tensors"], reference["generated_kernels"])
        sizes = overrides.pop("sizes", reference["settings"]["sizes"])
        return reference, from_reference("san", reference["settings"]["arch"], tensors, sizes=sizes, **overrides)

    return convert


def test_network(converted):
    reference, model = converted("san_resnet18_eval5")
    sizes = reference["settings"]["sizes"]
    backbone = model.backbone
    layers = {"conv1": backbone.conv0, "bn1": backbone.conv0_bn} | {f"layer{i}": g for i, g in enumerate(backbone.groups, 1)}
    for branch, size in enumerate(sizes):
        x = standard_images(reference["input"]["batch"], size)
        assert relative(model(x, setting=size), reference["outputs"][branch]["logits"]) < 1e-4
        assert model.encoding(size) == pytest.approx(reference["outputs"][branch]["setting"]["scale_encoding"])
        for name, output in zip(layers, observe(model, list(layers.values()), x, size), strict=True):
            assert np.linalg.norm(output) == pytest.approx(reference["intermediates"][name]["l2"][branch], rel=1e-4), name
    metas = {
        reference_name(f"{layer.latent_kernel.name}".removesuffix(":0"), sizes, False, False).removesuffix(".bias"): layer
        for layer in model._flatten_layers()
        if isinstance(layer, MetaConv2D)
    }
    assert len(metas) == len(reference["generated"])
    for figures in reference["generated"]:
        kernels = [metas[figures["layer"]].generated_kernel(At(f"r{size}")).numpy().transpose(3, 2, 0, 1) for size in sizes]
        assert list(kernels[0].shape) == figures["kernel_shape"]
        np.testing.assert_allclose([np.linalg.norm(k) for k in kernels], figures["l2"], rtol=1e-5)
        np.testing.assert_allclose([k.ravel()[:4] for k in kernels], figures["first4"], rtol=1e-4, atol=1e-7)


def test_training_steps_in_float64(converted):
    reference, model = converted("san_resnet18_trainstep", dtype="float64")
    sizes = reference["settings"]["sizes"]
    assert [model.encoding(size) for size in sizes] == pytest.approx(reference["scale_encoding"])
    objective = ScaleDistillation(kd=True, weight_decay=1e-4, decay_on="all")
    steps = training_steps(reference, model, objective, lambda name: reference_name(name, sizes, False, False))
    assert len(list(steps)) == 2


MODES = {
    "proxy": "proxy",
    "ideal": "ideal",
    "data_free_ideal": "data-free",
    "ideal_calibrated": "ideal+calibration",
    "proxy_calibrated": "proxy+calibration",
}


@pytest.mark.parametrize("name", MODES)
def test_inference_modes(converted, name):
    """At 224 and at four sizes that were not trained; the largest is calibrated too."""
    reference, trained = converted("san_resnet18_inference_modes", sizes=[224, 192, 160, 128, 96])
    output = next(output for output in reference["outputs"] if output["setting"]["mode"] == name)
    sizes = output["setting"]["sizes"]
    batches = output.get("calibration_batches", [])

    def pictures(size):
        return [tf.constant(standard_images(batch["batch"], size, batch["seed"])) for batch in batches]

    mode = MODES[name]
    privates = {Setting(size): trained.unseen(Setting(size), mode) for size in sizes if size not in (224, 192, 160, 128, 96)}
    model = trained.extended(privates)
    assert [model.encoding(size) for size in sizes] == pytest.approx(output["setting"]["scale_encoding"])
    networks = {size: model.materialize(size) for size in sizes}
    if mode.endswith("calibration"):
        for size, network in networks.items():
            calibrate(network, pictures(size))
    for branch, size in enumerate(sizes):
        logits = networks[size](standard_images(2, size))
        assert relative(np.asarray(logits)[:, :100], output["logits"][branch]) < 1e-4
        assert np.linalg.norm(logits) == pytest.approx(output["l2"][branch], rel=1e-4)
    norms = output.get("bn_stat_norms") or output.get("bn_tensor_norms") or {}
    named = {
        reference_name(v.name.removesuffix(":0"), sizes, False, False): v
        for network in networks.values()
        for v in _sized(network, sizes)
    }
    for tensor, norm in norms.items():
        if tensor in named:
            assert np.linalg.norm(named[tensor]) == pytest.approx(norm, rel=1e-4), tensor
    assert not norms or len(set(norms) & set(named)) >= 60


def _sized(model, sizes):
    """Variables of the norms at these sizes."""
    wanted = tuple(f"r{size}_" for size in sizes)
    return [variable for variable in model.weights if variable.name.rsplit("/", 1)[-1].startswith(wanted)]
