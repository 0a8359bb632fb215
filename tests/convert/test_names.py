"""The authors' names of our variables: one map of one signature for every family of references."""

import inspect

import pytest

from tfres.convert import FAMILIES, load_family, names
from tfres.models.rsnet import pretrained


def _mutualnet(settings):
    lists, widths = settings.get("channel_num_list"), settings["width_mult_list"]
    options = {"channel_lists": lists} if lists else {"width_range": settings.get("width_mult_range", [widths[0], widths[-1]])}
    arch = settings["app"].removesuffix("_train_val")
    return arch, {"widths": widths, **options, **({"blocks": [1, 1, 1]} if arch == "wideresnet" else {})}


@pytest.mark.parametrize(
    ("family", "file"),
    [
        ("rsnet", "rsnet_resnet18_eval5"),
        ("rsnet", "rsnet_mobilenetv2_eval5"),
        ("san", "san_resnet18_eval5"),
        ("rsnet_quant", "rsnet_quant_resnet18_preact_w2a2_small"),
        ("mutualnet", "mutualnet_mobilenet_v2"),
        ("mutualnet", "mutualnet_s_mobilenet_v2"),
        ("mutualnet", "mutualnet_autoslim_mobilenet_v1"),
        ("mutualnet", "mutualnet_wideresnet_10_2"),
    ],
)
def test_every_name_of_the_authors(golden, family, file):
    """What a checkpoint of theirs holds, but for counters and what is never used, and nothing else."""
    reference = golden(file)
    if family == "mutualnet":
        arch, options = _mutualnet(reference["settings"])
    elif family == "rsnet_quant":
        arch, options = "resnet18", {"sizes": [96, 64, 32], "mode": "preact", "qw": 2, "qa": 2}
    else:
        arch, options = (
            reference["settings"].get("arch", f"parallel_{file.split('_')[1]}"),
            {"sizes": reference["settings"]["sizes"]},
        )
    found = names(family, arch, **options)
    theirs = {name for name, _ in reference["tensors"]}
    optional = ("num_batches_tracked", "biased", "local_step")
    assert set(found.values()) - theirs <= {name for name in found.values() if name.endswith(optional) or name == "alpha"}
    unused = {name for name in theirs if ".downsample." in name} if family == "san" else set()
    assert not {name for name in theirs - set(found.values()) - unused if not name.endswith(optional)}
    assert len(found) >= 60 and all(isinstance(name, str) and ":" not in name for name in found)


def test_one_signature():
    for family in FAMILIES:
        module = load_family(family)
        first, *others = inspect.signature(module.names).parameters
        assert first == "arch" and set(module.OPTIONS) <= set(others) or others == ["options"]
        assert module.FAMILY in ("rsnet", "san", "mutualnet", "ranet", "scalenas")


def test_names_of_pretrained_weights():
    found = pretrained.names(sizes=[64])
    assert found["backbone/conv0/kernel"] == "conv1_conv/kernel"
    assert found["backbone/group1/block0/convshortcut_bn/r64_gamma"] == "conv3_block1_0_bn/gamma"
    assert found["linear/bias"] == "predictions/bias" and "alpha" not in found
    with pytest.raises(ValueError, match="`arch` must be resnet50"):
        pretrained.names("resnet18")


def test_what_does_not_fit():
    with pytest.raises(ValueError, match="`family` must be one of"):
        names("rs", "resnet18")
    for family in FAMILIES:
        with pytest.raises(ValueError, match="`arch` must be"):
            names(family, "nothing")
    with pytest.raises(ValueError, match="`sizes` must be distinct positive whole numbers"):
        names("rsnet", "resnet18", sizes=[64, 64])
