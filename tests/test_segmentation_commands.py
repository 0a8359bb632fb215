"""Every command on a folder of pictures with label pictures, with backbones of the families."""

import json

import numpy as np
import pytest
import tensorflow as tf

from tests.tasks.segmentation.scenes import CLASSES, own_folder
from tfres import AdaptiveModel, calibrate, evaluate, export, profile, train
from tfres.evaluation.opened import open_run

SMALL = [
    "--task", "segmentation", "--sizes", "16x24", "8x12", "--batch-size", "2", "--data.scales", "[1.0,1.0]",
    "--training.saves_per_epoch", "1", "--model.head_channels", "8", "--engine", "keras",
]  # fmt: skip
ARCHS = {
    "rsnet": ["--arch", "resnet20", "--model.blocks=[1,1]", "--model.widths=[16,16]", "--kd"],
    "low bit": ["--arch", "resnet20", "--model.blocks=[1,1]", "--model.widths=[16,16]", "--qw", "2", "--qa", "2", "--kd"],
    "mutualnet": ["--arch", "mutual_wideresnet10_2", "--model.widths=[16,32,48,64]", "--model.width_range=[0.5,1]", "--kd"],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return own_folder(tmp_path_factory.mktemp("scenes"), train=4, val=3)


@pytest.mark.parametrize("family", ["low bit", "mutualnet"])
def test_training(family, folder, tmp_path):
    assert train.main([*ARCHS[family], *SMALL, "--data", str(folder), "--run", str(tmp_path / "run")]) == 0
    table = json.loads((tmp_path / "run" / "table.json").read_text())
    assert table["score"] == "miou" and all(0 <= row["miou"] <= 1 and set(row["iou"]) == set(CLASSES) for row in table["rows"])


def test_every_command(folder, tmp_path, capsys):
    run = tmp_path / "run"
    more = ["--epochs", "2", "--training.select", "best", "--training.optimizer", "adam"]
    assert train.main([*ARCHS["rsnet"], *SMALL, *more, "--data", str(folder), "--run", str(run)]) == 0
    trained = {row["setting"]: row for row in json.loads((run / "table.json").read_text())["rows"]}
    assert set(trained) == {"r16x24", "r8x12", "ensemble"} and (run / "best.json").exists()
    capsys.readouterr()

    drawn = ["--evaluation.pictures", "2", "--evaluation.predictions", str(tmp_path / "answers")]
    assert evaluate.main(["--run", str(run), "--json", "--size", "16x24", *drawn]) == 0
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert row["miou"] == trained["r16x24"]["miou"] and row["resolution"] == [16, 24]
    assert len(list((run / "pictures").iterdir())) == 3
    answers = sorted((tmp_path / "answers" / "r16x24").iterdir())
    labels = [tf.io.decode_png((folder / "labels" / "val" / path.name).read_bytes()).numpy() for path in answers]
    found = [tf.io.decode_png(path.read_bytes()).numpy() for path in answers]
    assert abs(np.mean(np.concatenate(found) == np.concatenate(labels)) - row["pixels"]) < 1e-9

    looks = ["--evaluation.mirror", "true", "--evaluation.scales", "[1,1.5]", "--evaluation.windows", "16x24"]
    assert evaluate.main(["--run", str(run), *looks]) == 0 and CLASSES[0] in capsys.readouterr().out
    again = json.loads((run / "table.json").read_text())["rows"]
    assert {row["setting"]: row for row in again}["r16x24"]["miou"] == trained["r16x24"]["miou"]  # no run's own figures
    assert (
        calibrate.main(["--run", str(run), "--size", "12x16", "--evaluation.batches", "1", "--evaluation.repeats", "1"]) == 0
    )
    assert profile.main(["--run", str(run), "--repeats", "1"]) == 0
    capsys.readouterr()

    assert export.main(["--run", str(run), "--out", str(tmp_path / "out"), "--name", "net"]) == 0
    path = capsys.readouterr().out.strip()
    _check_export(run, path)
    model = AdaptiveModel(path, cache=tmp_path / "cache", measure_seconds=0.1)
    answer = model.predict(np.zeros((1, 30, 40, 3), np.uint8), setting="r12x16")
    assert model.score == "miou" and answer.class_map.shape == (1, 30, 40) and answer.class_map.dtype == np.uint8

    pictures = np.random.default_rng(0).integers(0, 256, (1, 30, 40, 3), np.uint8)
    expected = model.predict(pictures, setting="r8x12").class_map
    for precision, least in (("float", 1), ("int8-full", 0.6)):
        argv = ["--run", str(run), "--out", str(tmp_path / precision), "--form", "litert", "--precision", precision]
        assert export.main([*argv, "--size", "8x12"]) == 0
        small = AdaptiveModel(capsys.readouterr().out.strip(), cache=tmp_path / "cache", measure_seconds=0.1)
        assert np.mean(small.predict(pictures, setting="r8x12").class_map == expected) >= least


def _check_export(run, path):
    """The class map of every signature is exactly that of the Keras network, also of pictures of another size."""
    opened, served = open_run(run), tf.saved_model.load(path)
    rng = np.random.default_rng(0)
    for setting in opened.network.settings:
        size = opened.network.size(setting)
        for sides in ((16, 24), (20, 34)):
            pictures = rng.integers(0, 256, (2, *sides, 3), np.uint8)
            inputs, _ = opened.task.prepare({"images": pictures}, [size], training=False)
            expected = opened.task.answer(opened.network(inputs[size], setting=setting), tf.constant(sides))
            given = served.signatures[f"serve_{setting}"](images=tf.constant(pictures))
            np.testing.assert_array_equal(given["class_map"], expected["class_map"])
            np.testing.assert_allclose(given["probabilities"], expected["probabilities"], atol=1e-5)


def test_wrong_usage(folder, tmp_path, capsys):
    def told(*argv, verb=train):
        with pytest.raises((SystemExit, ValueError)) as caught:
            verb.main([*argv, "--run", str(tmp_path / "run")])
        return f"{caught.value} {capsys.readouterr().err}"

    source = ["--data", str(folder)]
    assert "`task` must be one of classification for ranet_cifar" in told("--arch", "ranet_cifar", "--task", "segmentation")
    assert "`resolutions` must be distinct" in told(*ARCHS["rsnet"], *SMALL, *source, "--sizes", "8x0")
    assert "`head_strides` must be among" in told(*ARCHS["rsnet"], *SMALL, *source, "--model.head_strides=[64]")
    assert "sides of squares" in told("--arch", "resnet20", "--sizes", "16x24", "--fake")
    assert "`head_channels` must be left out" in told("--arch", "resnet20", "--model.head_channels", "8", "--fake")
    assert not (tmp_path / "run").exists()
