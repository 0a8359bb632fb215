"""A SAN through the commands: the same ones as for RS-Nets, nothing special."""

import json

import numpy as np
import pytest
import tensorflow as tf

from tfres import calibrate, evaluate, export, session, train
from tfres.recipe import RecipeError
from tfres.run import Run

OPTIONS = ["--arch", "meta_resnet20", "--model.width_mult", "0.25", "--sizes", "16", "12", "--fake", "--data.fake_size", "16"]


def test_train_evaluate_calibrate_export(tmp_path, capsys):
    folder = tmp_path / "run"
    assert train.main([*OPTIONS, "--batch-size", "8", "--kd", "--run", str(folder)]) == 0
    rows = (folder / "metrics.csv").read_text().splitlines()
    assert "train_distillation" in rows[0] and "ensemble" not in rows[0]
    assert calibrate.main(["--run", str(folder), "--size", "14", "--batches", "2"]) == 0
    capsys.readouterr()
    assert evaluate.main(["--run", str(folder), "--json"]) == 0
    assert [row["setting"] for row in json.loads(capsys.readouterr().out)["rows"]] == ["r16", "r14", "r12"]
    assert export.main(["--run", str(folder), "--out", str(tmp_path / "exported")]) == 0
    served = tf.saved_model.load(capsys.readouterr().out.strip())
    model, crop = session.load_run(Run(folder))
    images = tf.cast(tf.random.uniform([2, 16, 16, 3], 0, 256, tf.int32), tf.uint8)
    for side in (16, 14, 12):
        ours = model(crop.at(images, side), setting=side)
        np.testing.assert_allclose(served.signatures[f"serve_r{side}"](images=images)["logits"], ours, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--qw", "2"], "`weight_bits` is no option of meta_resnet20. Received: weight_bits=2"),
        (["--kd-type", "ens"], "`kd_type` belongs to RS-Nets. Received: kd_type='ens'"),
        (["--training.temperature", "2"], "`temperature` belongs to RS-Nets"),
    ],
)
def test_options_of_another_family(tmp_path, options, message):
    with pytest.raises(RecipeError, match=message):
        train.main([*OPTIONS, *options, "--run", str(tmp_path / "run")])
    with pytest.raises(RecipeError, match="`encodings` is no option of resnet20"):
        train.main(["--arch", "resnet20", "--fake", "--model.encodings", "{16: 0.5}", "--run", str(tmp_path / "run")])
