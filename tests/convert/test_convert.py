"""Converting reference checkpoints."""

import numpy as np
import pytest
import tensorflow as tf

from tests.reference import fill_rsnet_quant
from tfres.convert import from_reference
from tfres.convert.__main__ import main as convert_main
from tfres.errors import CheckpointError, RecipeError
from tfres.families.networks import load_network, read_run_recipe
from tfres.run import Run


@pytest.fixture(scope="module")
def tensors():
    import gzip
    import json

    from tests.conftest import DATA

    with gzip.open(DATA / "rsnet_quant_resnet18_preact_w2a2_small.json.gz") as file:
        return fill_rsnet_quant(json.load(file)["tensors"])


def test_options_are_read_off_the_tensors(tensors):
    config = from_reference("rsnet_quant", "18", tensors).get_config()
    assert (config["mode"], config["weight_bits"], config["activation_bits"]) == ("preact", 2, 2)
    assert config["resolutions"] == [96, 64, 32] and config["classes"] == 1000


def test_training_state_is_ignored_and_averages_are_taken(tensors):
    scope = "imagenet/group0/block0/quant1/ActivationQuantization"
    extra = {
        "imagenet/conv0/W/Momentum": np.zeros([7, 7, 3, 64]),
        "global_step": np.int64(7),
        "learning_rate": np.float32(0.1),
        "EMA/cross_entropy:0": np.float32(1),
        f"{scope}/{scope}/basis/biased": np.full([2, 1], 0.25),
        f"{scope}/{scope}/basis/local_step": np.float32(3),
        "alpha:0": np.array([1.0, 2.0, 3.0]),
    }
    model = from_reference("rsnet_quant", "resnet18", {f"{k}": v for k, v in {**tensors, **extra}.items()})
    weights = {variable.name: variable.numpy() for variable in model.weights}
    assert weights["backbone/group0/block0/quant1/basis_biased:0"].tolist() == [[0.25], [0.25]]
    assert weights["backbone/group0/block0/quant1/basis_updates:0"] == 3
    assert weights["alpha:0"].tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("imagenet/conv0/W"), "missing: imagenet/conv0/W; left over: none"),
        (lambda t: t.update({"imagenet/extra/W": np.zeros(3)}), "missing: none; left over: imagenet/extra/W"),
        (
            lambda t: t.update({"imagenet/linear/W": np.zeros([512, 9])}),
            r"imagenet/linear/W is \(512, 9\), must be \(512, 1000\)",
        ),
    ],
)
def test_tensors_that_do_not_fit(tensors, change, message):
    changed = dict(tensors)
    change(changed)
    with pytest.raises(ValueError, match=message):
        from_reference("rsnet_quant", "resnet18", changed)


def test_checkpoint_of_another_depth(tensors):
    with pytest.raises(ValueError, match="The checkpoint is of another network.*missing: imagenet/group0/block2"):
        from_reference("rsnet_quant", "resnet34", tensors)


def test_unknown_family_and_architecture(tensors):
    with pytest.raises(ValueError, match="`family` must be one of .* Did you mean 'rsnet_quant'"):
        from_reference("rsnet_qant", "resnet18", tensors)
    with pytest.raises(ValueError, match="`arch` must be one of resnet18.*Received: arch='resnet20'"):
        from_reference("rsnet_quant", "resnet20", tensors)


def test_command_makes_a_run(tensors, tmp_path, capsys):
    variables = {name: tf.Variable(value) for name, value in {**tensors, "global_step": np.int64(5)}.items()}
    prefix = tf.compat.v1.train.Saver(variables).save(None, str(tmp_path / "model"), global_step=5, write_meta_graph=False)
    out = tmp_path / "run"
    arguments = ["rsnet_quant", "resnet18", prefix, "--out", str(out)]
    assert convert_main(arguments) == 0
    assert capsys.readouterr().out.strip() == str(out)
    model, data = load_network(Run(out)), read_run_recipe(Run(out)).data
    assert data.channel_order == "bgr" and data.resize == "nearest"
    x = tf.zeros([1, 32, 32, 3])
    expected = from_reference("rsnet_quant", "resnet18", tensors)(x, setting=32)
    np.testing.assert_array_equal(model(x, setting=32), expected)
    with pytest.raises(RecipeError, match="`out` must not hold a run yet"):
        convert_main(arguments)
    with pytest.raises(RecipeError, match="another network"):
        convert_main(["rsnet_quant", "resnet34", prefix, "--out", str(tmp_path / "other")])
    assert not (tmp_path / "other").exists()
    with pytest.raises(CheckpointError, match="`load` must be"):
        convert_main(["rsnet_quant", "resnet18", str(tmp_path / "none"), "--out", str(tmp_path / "other")])
