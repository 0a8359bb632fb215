"""The commands on generated pictures: train, evaluate, export; and how they fail."""

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest
from tfres.data.errors import DataError
from tfres.data.sources import open_source

from tests.models.test_rsnet import tiny
from tfres import cli, evaluate, export, train
from tfres.data import prepare
from tfres.evaluation import accuracy
from tfres.layers import MultiResolutionCrop
from tfres.recipe import DataRecipe, RecipeError

SMALL = [
    "--fake",
    "--sizes",
    "16",
    "12",
    "--qw",
    "2",
    "--qa",
    "2",
    "--batch-size",
    "8",
    "--epochs",
    "1",
    "--data.fake_size",
    "16",
]

# What a server does: nothing but TensorFlow.
_SERVE = """
import json, sys
import numpy as np
import tensorflow as tf
loaded = tf.saved_model.load(sys.argv[1])
images = np.load(sys.argv[2])
out = {}
for name, signature in loaded.signatures.items():
    if name == "serve_encoded":
        result = signature(encoded=tf.stack([tf.io.encode_png(image) for image in images]))
    else:
        result = signature(images=tf.constant(images[:, :14, :14] if name == "serve_any" else images))
    out[name] = {key: value.numpy().tolist() for key, value in result.items()}
assert not any(name.split(".")[0] in ("tfres", "quant", "tf_keras") for name in sys.modules)
print(json.dumps(out))
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run of the default engine, with what the command printed."""
    folder = tmp_path_factory.mktemp("runs") / "small"
    import contextlib
    import io

    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        assert train.main([*SMALL, "--kd", "--run", str(folder)]) == 0
    return folder, printed.getvalue()


def test_train_prints_table_and_places(run):
    folder, printed = run
    lines = printed.splitlines()
    assert lines[0].split() == [
        "setting",
        "resolution",
        "top-1",
        "%",
        "top-5",
        "%",
        "MACs",
        "(M)",
        "params",
        "size",
        "(MB)",
        "ms",
        "p90",
    ]
    assert [line.split()[0] for line in lines[1:4]] == ["r16", "r12", "ensemble"]
    for word in ("run", "plot", "checkpoint"):
        assert any(line.startswith(f"{word} ") and str(folder) in line for line in lines)
    table = json.loads((folder / "table.json").read_text())
    assert table["rows"][0]["macs"] > table["rows"][1]["macs"]
    assert (folder / "accuracy.png").read_bytes()[:4] == b"\x89PNG"
    assert (folder.parent / "latest").resolve() == folder.resolve()


def test_evaluate_agrees_with_the_table(run, capsys):
    folder, _ = run
    assert evaluate.main(["--run", str(folder), "--json"]) == 0
    rows = {row["setting"]: row for row in json.loads(capsys.readouterr().out)["rows"]}
    table = {row["setting"]: row for row in json.loads((folder / "table.json").read_text())["rows"]}
    for setting in ("r16", "r12", "ensemble"):
        assert rows[setting]["top1"] == pytest.approx(table[setting]["top1"])
    assert evaluate.main(["--run", str(folder), "--size", "12"]) == 0
    assert "r12" in capsys.readouterr().out


def test_evaluate_other_sizes_with_borrowed_norms(run, capsys):
    folder, _ = run
    assert evaluate.main(["--run", str(folder), "--size", "14", "--bn-size", "16"]) == 0
    assert "r14 with r16's norms" in capsys.readouterr().out
    options = ["--run", str(folder), "--size", "12", "--bn-size", "16", "--statistics-run", str(folder)]
    assert evaluate.main(options) == 0
    assert train.main(["--eval", "-ec", str(folder), "-es", "12", "-ep", "1"]) == 0


def test_size_that_was_not_trained(run):
    folder, _ = run
    with pytest.raises(
        RecipeError, match=r"`size` must be a resolution the run was trained at \(or calibrated for\): 16, 12. Received: 14"
    ):
        evaluate.main(["--run", str(folder), "--size", "14"])
    with pytest.raises(RecipeError, match="`run` must be the folder of a run"):
        evaluate.main(["--run", str(folder / "no")])


def test_export_serves_equal_logits_without_this_package(run, tmp_path, capsys, rng):
    from tfres import session
    from tfres.run import Run

    folder, _ = run
    for version in ("1", "2"):
        assert export.main(["--run", str(folder), "--out", str(tmp_path / "out"), "--name", "net"]) == 0
        path = tmp_path / "out" / "net" / version
        assert capsys.readouterr().out.strip() == str(path)
    assert json.loads((path / "assets" / "table.json").read_text())["rows"][0]["setting"] == "r16"
    images = rng.integers(0, 256, (3, 32, 32, 3)).astype(np.uint8)
    np.save(tmp_path / "images.npy", images)
    command = [sys.executable, "-c", _SERVE, str(path), str(tmp_path / "images.npy")]
    served = json.loads(subprocess.run(command, check=True, capture_output=True, text=True, cwd=tmp_path, env=_plain()).stdout)
    assert set(served) == {"serve_r16", "serve_r12", "serve_any", "serve_encoded", "serving_default"}
    model, crop = session.load_run(Run(folder))
    for setting in model.settings:
        logits = model(crop.at(images, setting.resolution), setting=setting).numpy()
        result = served[f"serve_{setting}"]
        np.testing.assert_allclose(result["logits"], logits, rtol=1e-5, atol=1e-5)
        assert result["class"] == logits.argmax(axis=1).tolist()
        np.testing.assert_allclose(np.sum(result["probabilities"], axis=1), 1, rtol=1e-5)
    assert served["serving_default"] == served["serve_r16"]


def _plain():
    import os

    return {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "TF_USE_LEGACY_KERAS")}


def test_export_of_many_sizes_is_hardly_larger_than_of_one(tmp_path):
    from tfres.families import from_preset

    from tfres.deploy import export_savedmodel
    from tfres.layers import MultiResolutionCrop

    sizes = {}
    for resolutions in ((32,), (32, 28, 24, 20, 16)):
        model = from_preset("resnet20", weight_bits=2, activation_bits=2, resolutions=resolutions)
        model.build()
        path = export_savedmodel(model, MultiResolutionCrop(resolutions), tmp_path, f"n{len(resolutions)}", ["a"] * 10)
        sizes[len(resolutions)] = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    assert sizes[5] <= 1.15 * sizes[1]


def test_same_command_again_changes_nothing(run, capsys):
    folder, _ = run
    before = (folder / "metrics.csv").read_text()
    assert train.main([*SMALL, "--kd", "--run", str(folder)]) == 0
    assert (folder / "metrics.csv").read_text() == before


def test_what_to_do_with_a_folder_that_exists(run, tmp_path):
    folder, _ = run
    with pytest.raises(RecipeError, match="training.kd is True there, False here"):
        train.main([*SMALL, "--run", str(folder)])
    with pytest.raises(RecipeError, match="exists and --action is quit"):
        train.main([*SMALL, "--run", str(folder), "--action", "quit"])
    with pytest.raises(RecipeError, match="`action` must be one of d, b, k, n, q"):
        train.main([*SMALL, "--run", str(folder), "--action", "x"])
    parser = train.make_parser()
    for action, gone in (("n", False), ("b", True), ("d", True)):
        old = tmp_path / "run"
        old.mkdir(exist_ok=True)
        arguments = parser.parse_args(["--run", str(old), "--action", action])
        path = train.run_folder(train.recipe_from(arguments), arguments)
        assert (path != old) == (not gone) and old.exists() != gone


def _code(main, argv):
    with pytest.raises(SystemExit) as ended:
        cli.run_main(main, argv)
    return ended.value.code


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--qw", "9"], "`weight_bits` must be an integer from 1 to 8"),
        (["--sizes", "16", "16"], "`resolutions` must be distinct positive integers"),
        (["--sizes", "16", "0"], "`resolutions` must be distinct positive integers"),
        (["--data", "nowhere"], "`data` must be cifar10, fake, a folder"),
        (["--depth", "19"], "`arch` must be one of resnet18"),
        (["--data_format", "NCHW"], "`data_format` must be NHWC"),
        (["--model.classes", "3"], "`classes` must be at least the data's 10"),
        (["--eval"], "`--eval` needs `-ec RUN`"),
        (["-es", "16"], "`es` needs `--eval`"),
    ],
)
def test_wrong_usage_ends_with_2(argv, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if "--model.classes" in argv:
        monkeypatch.setattr("tfres.session.open_source", lambda *_: type("S", (), {"classes": ["a"] * 10})())
    assert _code(train.main, [*SMALL, *argv]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_bad_picture_ends_with_1_and_is_named(tmp_path, capsys):
    from tests.data.conftest import write_pictures

    write_pictures(tmp_path / "p", {"train": {"a": 8, "b": 8}, "val": {"a": 2, "b": 2}})
    bad = tmp_path / "p" / "train" / "a" / "0.jpg"
    bad.write_bytes(bad.read_bytes()[:100])
    options = [*SMALL, "--data", str(tmp_path / "p"), "--run", str(tmp_path / "run"), "--engine", "keras"]
    assert _code(train.main, options) == 1
    assert f"{bad}: not a readable picture" in capsys.readouterr().err
    source = open_source(DataRecipe(source=str(tmp_path / "p"), side=16))
    swapped = dataclasses.replace(source, validation=source.train)
    crop, recipe = MultiResolutionCrop([16]), DataRecipe(source="", batch_size=4, side=16)
    with pytest.raises(DataError, match="0.jpg: not a readable picture"):
        accuracy.evaluate(tiny(classes=2, resolutions=(16,)), crop, swapped, recipe)
    assert _code(prepare.main, [str(tmp_path / "p"), str(tmp_path / "records")]) == 0
    assert "train 15\nvalidation 4\nskipped 1" in capsys.readouterr().out


@pytest.mark.parametrize("verb", ["train", "evaluate", "profile", "calibrate", "export", "adapt", "convert", "prepare"])
def test_help_of_every_verb(verb):
    done = subprocess.run([sys.executable, "-m", "tfres", verb, "--help"], capture_output=True, text=True)
    assert done.returncode == 0 and "xample: python -m tfres." in " ".join(done.stdout.split())
    assert "tensorflow" not in done.stderr.lower()


def test_unknown_verb():
    done = subprocess.run([sys.executable, "-m", "tfres", "tran"], capture_output=True, text=True)
    assert done.returncode == 2 and "train a network" in done.stderr
