"""Converted quantized RS-Nets against the reference at every resolution."""

import numpy as np
import pytest

from quant.quantizers import ActivationQuantizer
from tests.reference import fill_rsnet_quant, generator, observe, relative
from tfres.convert import from_reference
from tfres.models.backbones.resnet import ResidualBlock


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
        blocks = observe(model, _layers(model, ResidualBlock), x, size)
        compared = blocks[:1] if "first_block_rel" in bound else blocks
        block_bound = bound.get("first_block_rel", bound.get("blocks_rel", 1e-4))
        for ours, theirs in zip(compared, output["blocks"], strict=False):
            assert list(ours.shape) == theirs["shape"]
            assert relative(ours.ravel()[:8], theirs["first8"]) < block_bound
            assert relative([ours.mean(), ours.std()], [theirs["mean"], theirs["std"]]) < block_bound
        _compare_level_counts(model, x, output)


def _layers(model, kind):
    return [layer for layer in model._flatten_layers() if isinstance(layer, kind)]


def _compare_level_counts(model, x, output):
    """Exact where no activation is near a threshold, else within the shares the golden states."""
    if "level_counts" not in output:
        return
    bound = output["bound"]
    quantized = observe(model, _layers(model, ActivationQuantizer), x, output["size"])
    assert len(quantized) == output["activation_quantizers"]
    for ours, (scope, theirs) in zip(quantized, output["level_counts"], strict=True):
        _, counts = np.unique(ours, return_counts=True)
        theirs = [count for count in theirs if count]  # a level that nothing takes cannot be seen in the output
        assert len(counts) == len(theirs)
        group0 = scope.startswith("imagenet/group0")
        share = bound.get("level_counts_share_group0" if group0 else "level_counts_share", 0)
        assert np.abs(counts - theirs).max() <= share * sum(theirs), scope
