"""A small ScaleNAS goes through the commands: trained, evaluated by mask and resolution, calibrated, fine-tuned, exported."""

import json

import numpy as np
import pytest
import tensorflow as tf

from tfres import evaluate, export, train
from tfres.evaluation.opened import open_run
from tfres.families.networks import load_run
from tfres.models.scalenas.sampling import sample

TINY = ["--arch", "scalenas_w8", "--model.width=4", "--model.stem_width=4", "--model.modules=[1,1,1]", "--model.blocks=1"]
TINY += ["--model.least_blocks=1", "--model.resolutions=[32x64]", "--data.fake_size", "4", "--batch-size", "2"]
SHORT = ["--epochs", "1", "--training.steps_per_epoch", "2", "--training.saves_per_epoch", "1"]
TASK = ["--task", "segmentation", "--fake"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of two steps: the smallest masks and one of the others."""
    run = tmp_path_factory.mktemp("scalenas") / "run"
    assert train.main([*TASK, *TINY, *SHORT, "--kd", "--run", str(run)]) == 0
    return run


def test_masks_and_resolutions(trained, tmp_path, capsys):
    """Trained ones are in the table; others run at once, and better with statistics of their own."""
    table = json.loads((trained / "table.json").read_text())
    assert [row["setting"] for row in table["rows"]] == ["r32x64-netfull", "r32x64-netsmallest"]
    network = load_run(trained)
    drawn = sample(0, network.options.space, 0.5, [1], gathered=False).code(network.options.space)
    subnets = f"--evaluation.subnets=[{drawn},smallest]"
    argv = ["--run", str(trained), "--size", "64", "32x64", subnets, "--calibrate", "--evaluation.batches", "1", "--json"]
    capsys.readouterr()
    assert evaluate.main([*argv, "--evaluation.repeats", "0"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    names = {f"{size}-net{subnet}" for size in ("r64", "r32x64") for subnet in (drawn, "smallest")}
    assert {row["setting"] for row in rows} == names and all("calibrated" in row for row in rows)
    again = load_run(trained)
    assert {str(setting) for setting in again.calibrated_settings} == names
    (file := tmp_path / "mine.json").write_text(json.dumps({"modules": network.options.mask(drawn).to_json()}))
    assert evaluate.main([*argv[:3], "64", f"--evaluation.subnets=[{file}]", "--json", "--evaluation.repeats", "0"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert row["setting"] == f"r64-net{drawn}" and "calibrated" not in row
    for row in rows:
        assert row["macs"] == again.cost(row["setting"]).macs and 0 < row["macs_live"] <= row["macs"]


def test_an_export_answers_as_the_network(trained, tmp_path, capsys):
    """The class maps of every sub-network are those of the supernet that runs its mask."""
    assert export.main(["--run", str(trained), "--out", str(tmp_path), "--name", "net"]) == 0
    opened, served = open_run(trained), tf.saved_model.load(capsys.readouterr().out.strip())
    pictures = np.random.default_rng(0).integers(0, 256, (2, 40, 70, 3), np.uint8)
    for setting in opened.network.trained_settings:
        size = opened.network.size(setting)
        inputs, _ = opened.task.prepare({"images": pictures}, [size], training=False)
        expected = opened.task.answer(opened.network(inputs[size], setting=setting), tf.constant([40, 70]))
        given = served.signatures[f"serve_{setting}"](images=tf.constant(pictures))
        np.testing.assert_array_equal(given["class_map"], expected["class_map"])
        np.testing.assert_allclose(given["probabilities"], expected["probabilities"], atol=1e-5)


def test_one_mask_is_tuned_further(trained, tmp_path):
    """From the supernet's weights, with the supernet as its teacher."""
    argv = [*TASK, *TINY, *SHORT, "--model.subnets=[smallest]", "--model.extracted=true", "--load", str(trained)]
    argv += ["--kd", "--objective.teacher", str(trained), "--run", str(tmp_path / "tuned")]
    assert train.main(argv) == 0
    network, whole = load_run(tmp_path / "tuned"), load_run(trained)
    assert network.options.extracted and len(network.weights) < len(whole.weights)
