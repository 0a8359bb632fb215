"""Checkpoints of RANets: what is read off the tensors, options by both names, runs, checkpoints that do not fit."""

import numpy as np
import pytest

from tests.models.tiny_exits import pictures, tiny
from tfres.convert import from_reference, names
from tfres.convert.__main__ import main as convert_main
from tfres.convert.ranet import SYNONYMS, reference_name
from tfres.errors import CheckpointError, RecipeError
from tfres.families.networks import load_network, read_run_recipe
from tfres.run import Run

SMALL = {"scales": [1, 2], "channel_factors": [2, 1], "bottleneck_factors": [4, 2], "growth": 8}
# What the reference would call the options of `network` below.
GIVEN = {
    "scale_list": "1-2",
    "nBlocks": 2,
    "block_step": 1,
    "step": 1,
    "stepmode": "even",
    "nChannels": 2,
    "growthRate": 8,
    "grFactor": [2, 1],
    "bnFactor": "4-2",
    "reduction": 0.4,
    "compress_factor": 0.25,
    "data": "cifar10",
    "num_classes": 5,
    "input_size": 32,
}


def _tensors(network, prefix=""):
    """The network's weights as the reference would keep them."""
    found = {}
    for variable in network.weights:
        value = variable.numpy()
        value = value.transpose(3, 2, 0, 1) if value.ndim == 4 else value.T
        name = prefix + reference_name(variable.name.removesuffix(":0"), network.options.stem)
        found[name] = np.ascontiguousarray(value)
        if name.endswith("running_mean"):
            found[name.replace("running_mean", "num_batches_tracked")] = np.int64(7)
    return found


@pytest.fixture(scope="module")
def network():
    return tiny(**SMALL, stem="cifar", reduction=0.4)


@pytest.fixture(scope="module")
def tensors(network):
    return _tensors(network)


def _equal(ours, network):
    images = pictures(2, network.options.resolutions[0])
    for setting in network.settings:
        np.testing.assert_array_equal(ours(images, setting=setting), network(images, setting=setting))


def test_options_are_read_off_the_tensors(network, tensors):
    converted = from_reference("ranet", "RANet", {f"module.{name}": value for name, value in tensors.items()}, reduction=0.4)
    assert converted.options == network.options
    _equal(converted, network)


@pytest.mark.parametrize(
    "options",
    [
        {"step_mode": "lg", "scales": [1, 2, 2], "channel_factors": [2, 1, 1], "bottleneck_factors": [3, 1, 2], "blocks": 1},
        {"scales": [1, 1], "channel_factors": [1, 3], "bottleneck_factors": [2, 2], "block_step": 2, "resolutions": [64]},
    ],
)
def test_other_geometries(options):
    """Also ImageNet's stem with its bias. Factors that make no difference may be others."""
    network = tiny(**{"growth": 8, **options})
    sizes = {"sizes": network.options.resolutions}
    converted = from_reference("ranet", "RANet", _tensors(network), **sizes)
    _equal(converted, network)
    for name in ("scales", "blocks", "block_step", "step", "step_mode", "channels", "growth", "channel_factors", "stem"):
        assert getattr(converted.options, name) == getattr(network.options, name), name


def test_architecture_of_ours_with_options_of_the_reference(network, tensors):
    converted = from_reference("ranet", "ranet_cifar", tensors, **GIVEN)
    assert converted.options == network.options
    _equal(converted, network)
    ours = names("ranet", "RANet", **{SYNONYMS.get(name, name): value for name, value in GIVEN.items() if name != "data"})
    assert ours == names("ranet", "ranet_imagenet", **GIVEN)
    assert set(ours.values()) == {name for name in tensors if not name.endswith("num_batches_tracked")}


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (
            {"scale_list": [1, 2, 3], "scales": [1, 2]},
            r"`scales` must be as `scale_list`, which is \[1, 2, 3\]. Received: scales",
        ),
        ({"data": "cifar10", "stem": "imagenet"}, "`stem` must be as `data`, which is 'cifar'"),
        ({"input_size": 64, "sizes": [32]}, r"`sizes` must be as `input_size`, which is \[64\]"),
        ({"nBlock": 2}, "Unknown option `nBlock`. Did you mean `nBlocks`"),
        ({"weight_bits": 2}, "Unknown option `weight_bits`"),
        ({"data": "mnist"}, "`data` must be one of cifar10, cifar100, ImageNet"),
        ({"nBlocks": "two"}, "`nBlocks` must be a whole number. Received: 'two'"),
        ({"scale_list": "2-1"}, "`scales` must be one to eight ascending"),
        ({"growthRate": 0}, "`growth` must be from 1 to 1024"),
        ({"grFactor": [0, 1]}, "`channel_factors` must be a number from 1"),
    ],
)
def test_options_that_do_not_go_together(tensors, options, told):
    with pytest.raises(ValueError, match=told):
        from_reference("ranet", "RANet", tensors, **options)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            lambda t: t.pop("scale_flows.1.0.conv_last.net.0.weight"),
            "missing: scale_flows.1.0.conv_last.net.0.weight; left over",
        ),
        (lambda t: t.update({"classifier.4.linear.bias": np.zeros(5)}), "missing: none; left over: classifier.4.linear.bias"),
        (lambda t: None, r"Shapes: scale_flows.1.0.trans.net.0.weight is \(1, 1, 12, 4\)"),  # of another reduction
    ],
)
def test_tensors_that_do_not_fit(tensors, change, told):
    changed = dict(tensors)
    change(changed)
    with pytest.raises(ValueError, match=f"another network.*{told}"):
        from_reference("ranet", "RANet", changed, **({"reduction": 0.4} if len(changed) != len(tensors) else {}))


def test_tensors_of_other_networks(tensors):
    for arch, found, told in (
        ("RANet", {"features.0.weight": np.zeros(3)}, "it has no blocks"),
        (
            "RANet",
            {name: value for name, value in tensors.items() if "FirstLayer" not in name},
            "it has no FirstLayer.layers.1",
        ),
        ("RANet", {**tensors, "classifier.0.linear.bias": np.float32(0)}, "it has no classifier.0.linear.bias that could"),
        ("RANet", {}, "`tensors` must be a mapping of names to arrays"),
        ("RaNet", tensors, "`arch` must be one of ranet_cifar, .*, RANet. Received: arch='RaNet'"),
    ):
        with pytest.raises(ValueError, match=told):
            from_reference("ranet", arch, found)


@pytest.fixture
def checkpoint(network, tmp_path):
    torch = pytest.importorskip("torch")
    state = {name: torch.from_numpy(np.asarray(value)) for name, value in _tensors(network, "module.").items()}
    content = {"epoch": 3, "arch": "RANet", "state_dict": state, "best_prec1": 91.0, "optimizer": {"param_groups": []}}
    torch.save(content, tmp_path / "model_best.pth.tar")
    return str(tmp_path / "model_best.pth.tar")


def test_command_makes_a_run(network, checkpoint, tmp_path, capsys):
    out = tmp_path / "run"
    arguments = ["ranet", "RANet", checkpoint, "--out", str(out)]
    assert convert_main([*arguments, "--option", "reduction=0.4", "--option", "scale_list=1-2"]) == 0
    assert capsys.readouterr().out.strip() == str(out)
    _equal(load_network(Run(out)), network)
    recipe = read_run_recipe(Run(out))
    assert recipe.model.arch == "ranet_cifar" and recipe.model.scales == [1, 2]
    assert (recipe.data.crop, recipe.data.side, recipe.data.mean) == ("pad", 32, [0.485, 0.456, 0.406])
    for more, told in (
        (["--option", "reduction=0.4", "--option", "scale_list=1-2"], "`out` must not hold a run yet"),
        (["--out", str(tmp_path / "b")], "another network"),
        (["--out", str(tmp_path / "b"), "--option", "depth=3"], "`depth` is no option of ranet"),
    ):
        with pytest.raises(RecipeError, match=told):
            convert_main([*arguments, *more])
    with pytest.raises(SystemExit):
        convert_main([*arguments, "--option", "data=cifar10"])
    assert "must be NAME=VALUE" in capsys.readouterr().err
    assert not (tmp_path / "b").exists()


def test_checkpoint_of_another_class(tmp_path):
    torch = pytest.importorskip("torch")
    torch.save({"arch": "msdnet", "state_dict": {"a": torch.ones(1)}}, tmp_path / "net.pth.tar")
    with pytest.raises(CheckpointError, match="is a checkpoint of msdnet"):
        convert_main(["ranet", "RANet", str(tmp_path / "net.pth.tar"), "--out", str(tmp_path / "run")])


def test_preprocessing_of_the_reference():
    from tfres.convert.ranet import recipe
    from tfres.models.ranet import PRESETS
    from tfres.models.ranet.options import RANetOptions

    for arch, classes, crop, mean in (
        ("ranet_cifar", 10, "pad", 0.4914),
        ("ranet_cifar_1233", 100, "pad", 0.5071),
        ("ranet_imagenet", 1000, "area", 0.485),
        ("ranet_imagenet", 10, "area", 0.485),
    ):
        found = recipe(arch, RANetOptions(**{**PRESETS[arch], "classes": classes}).to_dict())
        assert found["model"]["arch"] == arch and found["model"]["classes"] == classes
        assert (found["data"]["crop"], found["data"]["mean"][0]) == (crop, mean)
        assert found["data"]["side"] == found["model"]["resolutions"][0]
