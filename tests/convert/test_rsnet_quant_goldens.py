"""Converted quantized RS-Nets against the reference at every resolution."""

import numpy as np
import pytest

from quant.quantizers import ActivationQuantizer
from tests.reference import fill_rsnet_quant, generator, relative
from tfres.convert import from_reference
from tfres.models.backbones.resnet import ResidualBlock


def _observe(model, kind, inputs, setting):
    """Outputs of all layers of one class, by name, in the order of the forward pass."""
    seen = {}
    layers = [layer for layer in model._flatten_layers() if isinstance(layer, kind)]

    def watch(layer, call):
        def watched(*args, **kwargs):
            outputs = call(*args, **kwargs)
            seen[id(layer)] = outputs.numpy()
            return outputs

        return watched

    original = {id(layer): layer.call for layer in layers}
    for layer in layers:
        layer.call = watch(layer, layer.call)
    try:
        model(inputs, setting=setting)
    finally:
        for layer in layers:
            layer.call = original[id(layer)]
    return list(seen.values())


@pytest.mark.parametrize("name", ["resnet18_preact_w2a2_small", "resnet18_preact_w2a2", "resnet18_resnet_w2a32"])
def test_network(golden, name):
    reference = golden(f"rsnet_quant_{name}")
    options = {key: reference["settings"][key] for key in ("mode", "qw", "qa")}
    sizes = [output["size"] for output in reference["outputs"]]
    model = from_reference("rsnet_quant", "resnet18", fill_rsnet_quant(reference["tensors"]), sizes=sizes, **options)
    for output in reference["outputs"]:
        size, bound = output["size"], output["bound"]
        x = generator(output["input_seed"]).standard_normal((output["batch"], 3, size, size)).astype(np.float32)
        x = x.transpose(0, 2, 3, 1)
        logits = model(x, setting=size).numpy()
        assert relative(logits, output["logits"]) < bound["logits_rel"]
        blocks = _observe(model, ResidualBlock, x, size)
        compared = blocks[:1] if "first_block_rel" in bound else blocks
        block_bound = bound.get("first_block_rel", bound.get("blocks_rel", 1e-4))
        for ours, theirs in zip(compared, output["blocks"], strict=False):
            assert list(ours.shape) == theirs["shape"]
            assert relative(ours.ravel()[:8], theirs["first8"]) < block_bound
            assert relative([ours.mean(), ours.std()], [theirs["mean"], theirs["std"]]) < block_bound
        _compare_level_counts(model, x, output)


def _compare_level_counts(model, x, output):
    """Exact where no activation is near a threshold, else within the shares the golden states."""
    if "level_counts" not in output:
        return
    bound = output["bound"]
    quantized = _observe(model, ActivationQuantizer, x, output["size"])
    assert len(quantized) == output["activation_quantizers"]
    for ours, (scope, theirs) in zip(quantized, output["level_counts"], strict=True):
        _, counts = np.unique(ours, return_counts=True)
        theirs = [count for count in theirs if count]  # a level that nothing takes cannot be seen in the output
        assert len(counts) == len(theirs)
        group0 = scope.startswith("imagenet/group0")
        share = bound.get("level_counts_share_group0" if group0 else "level_counts_share", 0)
        assert np.abs(counts - theirs).max() <= share * sum(theirs), scope
