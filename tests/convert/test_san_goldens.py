"""Converted SANs against the reference: logits, generated kernels, intermediates, the training step in float64."""

import numpy as np
import pytest

from tests.reference import fill, observe, relative, standard_images
from tfres.convert import from_reference
from tfres.convert.san import reference_name
from tfres.layers import MetaConv2D


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
        kernels = [metas[figures["layer"]].generated_kernel(f"r{size}").numpy().transpose(3, 2, 0, 1) for size in sizes]
        assert list(kernels[0].shape) == figures["kernel_shape"]
        np.testing.assert_allclose([np.linalg.norm(k) for k in kernels], figures["l2"], rtol=1e-5)
        np.testing.assert_allclose([k.ravel()[:4] for k in kernels], figures["first4"], rtol=1e-4, atol=1e-7)
