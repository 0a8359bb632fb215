"""The commands on generated pictures: train, evaluate, export; and how they fail."""

import contextlib
import io
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time
import zipfile

import numpy as np
import pytest

from tests.data.pictures import write_pictures
from tfres import cli, evaluate, export, prepare, profile, train
from tfres.deploy import AdaptiveModel, snap
from tfres.errors import DataError, ExportError, RecipeError, RunError
from tfres.evaluation.opened import open_run
from tfres.families.networks import load_run
from tfres.families.recipes import read_recipe
from tfres.run import Run, checkpoints

TINY = ["--model.blocks", "[1, 1]", "--model.widths", "[4, 6]", "--sizes", "16", "12", "--batch-size", "8", "--epochs", "1"]
SMALL = [*TINY, "--fake", "--qw", "2", "--qa", "2", "--data.fake_size", "16"]

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
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        assert train.main([*SMALL, "--kd", "--run", str(folder)]) == 0
    return folder, printed.getvalue()


def test_train_prints_table_and_places(run):
    folder, printed = run
    lines = printed.splitlines()
    assert " ".join(lines[0].split()) == "setting top1 top5 MACs (M) params size (MB) ms p90"
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
    assert evaluate.main(["--run", str(folder), "--size", "14", "--evaluation.norms_of", "16", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert row["resolution"] == 14 and 0 <= row["top1"] <= 1
    lent = ["--evaluation.norms_of", "16", "--evaluation.statistics_run", str(folder)]
    assert evaluate.main(["--run", str(folder), "--size", "12", *lent]) == 0
    assert train.main(["--eval", "-ec", str(folder), "-es", "12", "-eos", "16"]) == 0
    assert evaluate.main(["--run", str(folder), "--evaluation.step", "2"]) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--size", "14"], "`size` must be a resolution the run was trained at (or calibrated for): 16, 12. Received: 14"),
        (["--size", "16", "16"], "`size` must be distinct"),
        (["--size", "14", "--evaluation.norms_of", "14"], "`norms_of` must be one of 16, 12. Received: norms_of=14"),
        (["--evaluation.norms_of", "12"], "`norms_of` needs `size`"),
        (["--evaluation.batches", "4"], "`batches` needs something to calibrate"),
        (["--evaluation.cut", "training"], "`cut` needs something to calibrate"),
        (["--size", "14", "--evaluation.encodings", "{14: 0.2}"], "`encodings` needs `inference`"),
        (["--size", "14", "--inference", "proxy", "--calibrate"], "`inference` goes without calibrate"),
        (["--size", "14", "--inference", "ideal", "--evaluation.encodings", "{14: 0.2}"], "`encoding` is no option of RSNet"),
        (["--width", "0.5"], "`width` is for networks of several widths. Received: width=0.5"),
        (["--evaluation.batches", "0", "--calibrate"], "`batches` must be positive"),
        (["--evaluation.step", "7"], "has no checkpoint of step 7; it has"),
        (["--data", "nowhere"], "`data` must be cifar10, fake, a folder"),
    ],
)
def test_what_evaluation_cannot_do(run, options, message, capsys):
    code = _code(evaluate.main, ["--run", str(run[0]), *options])
    told = capsys.readouterr().err
    assert code == (1 if "checkpoint" in message else 2) and message in told, told


def test_no_run(run):
    for path in (run[0] / "no", run[0].parent):
        for verb in (evaluate, export, profile):
            with pytest.raises(RunError, match="`run` must be the folder of a run"):
                verb.main(["--run", str(path)])


def test_export_serves_equal_logits_without_this_package(run, tmp_path, capsys, rng):
    folder, _ = run
    for version, options in (("1", []), ("2", ["--packed"])):
        assert export.main(["--run", str(folder), "--out", str(tmp_path / "out"), "--name", "net", *options]) == 0
        path = tmp_path / "out" / "net" / version
        assert capsys.readouterr().out.strip() == str(path)
    card = (path / "README.md").read_text()
    assert "- Network: resnet20, trained by the run small\n- Data: fake: 16 training pictures, 10 classes\n" in card
    assert "shared, low-bit kernels packed" in card and str(tmp_path) not in card
    assert json.loads((path / "assets" / "table.json").read_text())["rows"][0]["setting"] == "r16"
    images = rng.integers(0, 256, (3, 32, 32, 3)).astype(np.uint8)
    np.save(tmp_path / "images.npy", images)
    command = [sys.executable, "-c", _SERVE, str(path), str(tmp_path / "images.npy")]
    served = json.loads(subprocess.run(command, check=True, capture_output=True, text=True, cwd=tmp_path, env=_plain()).stdout)
    assert set(served) == {"serve_r16", "serve_r12", "serve_any", "serve_encoded", "serving_default"}
    opened = open_run(folder)
    for setting in opened.network.settings:
        inputs = opened.task.resized(images, setting.resolution)
        logits = opened.network(inputs, setting=setting).numpy()
        result = served[f"serve_{setting}"]
        np.testing.assert_allclose(result["logits"], logits, rtol=1e-5, atol=1e-5)
        assert result["class"] == logits.argmax(axis=1).tolist()
        np.testing.assert_allclose(np.sum(result["probabilities"], axis=1), 1, rtol=1e-5)
    assert served["serving_default"] == served["serve_r16"]


def test_export_of_one_litert_file(run, tmp_path, capsys, monkeypatch):
    """Of a low-bit run in int8: the snapped network, measured once."""
    command = ["--run", str(run[0]), "--out", str(tmp_path / "out"), "--name", "net"]
    litert = [*command, "--form", "litert", "--settings", "r12", "--precision"]
    assert export.main([*litert, "int8"]) == 0
    path = tmp_path / "out" / "net" / "1.tflite"
    assert capsys.readouterr().out.strip() == str(path)
    model = AdaptiveModel(path, cache=tmp_path)
    answer = model.predict(np.zeros([1, 32, 32, 3], np.uint8))
    assert answer.setting == "r12" and np.isfinite(answer.logits).all()
    expected = {row["setting"]: row for row in snap.measure_snapped(open_run(run[0]))["rows"]}
    assert model.rows == [expected["r12"]] and expected["r12"]["form"] == "snapped"
    with zipfile.ZipFile(path) as behind:
        card = behind.read("README.md").decode()
    assert "LiteRT file, int8 of the snapped network" in card and "- Network: resnet20, trained by the run small" in card
    monkeypatch.setattr(snap, "measure_snapped", None)  # a second time it is not called
    assert export.main([*litert, "int8"]) == 0
    (run[0] / "snapped.json").write_text("{")
    with pytest.raises(RunError, match="snapped.json must be a JSON document"):
        export.main([*litert, "int8"])
    (run[0] / "snapped.json").unlink()
    with pytest.raises(ExportError, match="`precision` must be int8 for a low-bit network"):
        export.main([*litert, "int8-full"])
    with pytest.raises(ExportError, match="`precision` is for form litert only"):
        export.main([*command, "--precision", "int8"])


def _plain():
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "TF_USE_LEGACY_KERAS")}


@pytest.fixture
def copy(run, tmp_path):
    """A copy of the run that may be changed."""
    shutil.copytree(run[0], tmp_path / "run")
    return tmp_path / "run"


def test_same_command_again_changes_nothing_but_the_time(copy):
    """A row that calibration added, and its marks, stay in the table."""
    table = json.loads((copy / "table.json").read_text())
    table["rows"][1]["calibrated"] = "model-2, 3 batches"
    further = {"setting": "r14", "top1": 0.5, "macs": 9, "calibrated": "model-2"}
    (copy / "table.json").write_text(json.dumps({**table, "rows": [*table["rows"], further]}))
    before = (copy / "metrics.csv").read_text()
    assert train.main([*SMALL, "--kd", "--run", str(copy)]) == 0
    assert (copy / "metrics.csv").read_text() == before
    rows = {row["setting"]: row for row in json.loads((copy / "table.json").read_text())["rows"]}
    assert rows["r14"] == further and rows["r12"]["calibrated"] == "model-2, 3 batches"
    assert rows["r12"]["top1"] == table["rows"][1]["top1"]


def test_run_that_is_the_link_to_the_latest(copy):
    """`runs/latest` as --run is the run that it names; no link to itself."""
    link = copy.parent / "latest"
    link.symlink_to("run")
    assert train.main([*SMALL, "--kd", "--run", str(link)]) == 0
    assert os.readlink(link) == "run" and link.resolve() == copy.resolve()
    assert sorted(path.name for path in copy.parent.iterdir()) == ["latest", "run"]


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """A run on a folder of pictures, of two steps per epoch, and the folder."""
    root = tmp_path_factory.mktemp("photographs")
    write_pictures(root / "pictures", {"train": {"a": 8, "b": 8}, "val": {"a": 2, "b": 2}})
    assert train.main([*TINY, "--engine", "keras", "--data", str(root / "pictures"), "--run", str(root / "run")]) == 0
    return root


@pytest.mark.parametrize("change", ["more pictures", "a class renamed", "a class more"])
def test_data_that_changed_since_the_run_began(photographs, change, tmp_path, capsys):
    root = tmp_path / "root"
    shutil.copytree(photographs, root, symlinks=True)
    pictures, run = photographs / "pictures", root / "run"
    try:
        if change == "more pictures":
            for number in range(16):
                shutil.copy(pictures / "train" / "a" / "0.jpg", pictures / "train" / "a" / f"more{number}.jpg")
            told = "`steps_per_epoch` is 2 there, 4 now"
        elif change == "a class renamed":
            for split in ("train", "val"):
                (pictures / split / "a").rename(pictures / split / "c")
            told = "now without a and with c"
        else:
            shutil.copytree(pictures / "train" / "a", pictures / "train" / "d")
            told = "`classes` is 2 entries there, 3 now: now with d"
        before = sorted(path.name for path in (run / "checkpoints").iterdir())
        started = time.monotonic()
        command = [*TINY, "--engine", "keras", "--data", str(pictures), "--run", str(run)]
        assert _code(train.main, command) == 2
        err = capsys.readouterr().err
        assert told in err or (change == "a class more" and "classes is 2 there, 3 here" in err), err
        if change != "a class more":
            for word in ("The data changed since", "--run OTHER --load", "--action delete"):
                assert word in err
        assert time.monotonic() - started < 60
        assert sorted(path.name for path in (run / "checkpoints").iterdir()) == before
    finally:
        for number in range(16):
            (pictures / "train" / "a" / f"more{number}.jpg").unlink(missing_ok=True)
        for split in ("train", "val"):
            if (pictures / split / "c").exists():
                (pictures / split / "c").rename(pictures / split / "a")
        shutil.rmtree(pictures / "train" / "d", ignore_errors=True)


def test_bad_validation_picture_keeps_the_checkpoint(photographs, tmp_path, capsys):
    pictures = tmp_path / "pictures"
    shutil.copytree(photographs / "pictures", pictures)
    bad = pictures / "val" / "a" / "0.jpg"
    whole = bad.read_bytes()
    bad.write_bytes(whole[:100])
    command = [*TINY, "--engine", "keras", "--data", str(pictures), "--run", str(tmp_path / "run")]
    assert _code(train.main, command) == 1
    assert str(bad) in capsys.readouterr().err
    kept = checkpoints.latest_checkpoint(tmp_path / "run" / "checkpoints")
    assert kept is not None and kept.endswith("model-2")
    bad.write_bytes(whole)
    assert train.main(command) == 0 and (tmp_path / "run" / "table.json").exists()


def test_bad_picture_ends_with_1_and_is_named(tmp_path, capsys):
    write_pictures(tmp_path / "p", {"train": {"a": 8, "b": 8}, "val": {"a": 2, "b": 2}})
    bad = tmp_path / "p" / "train" / "a" / "0.jpg"
    bad.write_bytes(bad.read_bytes()[:100])
    assert _code(train.main, [*TINY, "--data", str(tmp_path / "p"), "--run", str(tmp_path / "run"), "--engine", "keras"]) == 1
    assert f"{bad}: " in capsys.readouterr().err
    assert _code(prepare.main, [str(tmp_path / "p"), str(tmp_path / "records")]) == 0
    assert "train 15\nvalidation 4\nskipped 1" in capsys.readouterr().out


def test_failed_load_leaves_no_run(run, tmp_path, capsys):
    """The same command with a right --load works then; so it does after one of another network."""
    command = [*SMALL, "--kd", "--engine", "keras", "--run", str(tmp_path / "runs" / "new"), "--load"]
    (tmp_path / "empty").mkdir()
    for wrong in (tmp_path / "nothing", tmp_path / "empty"):
        assert _code(train.main, [*command, str(wrong)]) == 1
        assert "`load` must be a run folder" in capsys.readouterr().err
        assert not (tmp_path / "runs").exists()
    assert _code(train.main, [*SMALL, "--model.classes", "11", *command[len(SMALL) :], str(run[0])]) == 1
    assert "of another network. Shapes: linear/kernel" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()
    assert train.main([*command, str(run[0])]) == 0
    assert checkpoints.latest_checkpoint(tmp_path / "runs" / "new" / "checkpoints")


def test_what_to_do_with_a_folder_that_exists(run, copy):
    with pytest.raises(RecipeError, match=r"objective\.kd is True there, False here"):
        train.main([*SMALL, "--run", str(run[0])])
    with pytest.raises(RecipeError, match="exists and --action is quit"):
        train.main([*SMALL, "--run", str(run[0]), "--action", "quit"])
    assert _code(train.main, [*SMALL, "--run", str(run[0]), "--action", "x"]) == 2


@pytest.fixture
def untrained(monkeypatch):
    """`start_run` without the training; gives the run that would be trained."""
    from tfres.engines import start

    monkeypatch.setattr(start, "train", lambda recipe, run, task, source: run)
    return start


@pytest.mark.parametrize("action", ["delete", "backup", "new"])
def test_actions(copy, action, untrained):
    recipe = read_recipe({**Run(copy).recipe(), "objective": {"kd": False}})
    run = untrained.start_run(recipe, copy, action)
    assert (run.path == copy) == (action != "new") and run.recipe()["objective"]["kd"] is False
    assert checkpoints.latest_checkpoint(run.checkpoints) is None
    folders = [path.name for path in copy.parent.iterdir() if path.name != "latest"]
    assert len(folders) == (1 if action == "delete" else 2)


@pytest.mark.parametrize("action", ["delete", "backup", "new", "resume"])
def test_only_the_chief_of_several_workers_acts(copy, action, untrained, monkeypatch):
    """The others neither delete, back up, make nor change anything."""
    monkeypatch.setattr(untrained, "is_chief", lambda training: False)
    (copy / "mark").write_text("mine")
    before = {str(path): path.stat().st_mtime_ns for path in copy.parent.rglob("*")}
    run = untrained.start_run(read_recipe(Run(copy).recipe()), copy, action)
    assert {str(path): path.stat().st_mtime_ns for path in copy.parent.rglob("*")} == before
    assert run.path == copy or action == "new"


def test_foreign_folders_are_never_deleted(tmp_path, capsys):
    (tmp_path / "photographs").mkdir()
    (tmp_path / "photographs" / "one.jpg").write_bytes(b"x")
    for action in ("delete", "backup", "resume", "new"):
        assert _code(train.main, [*SMALL, "--run", str(tmp_path / "photographs"), "--action", action]) == 2
        assert "one.jpg" in capsys.readouterr().err
    assert (tmp_path / "photographs" / "one.jpg").read_bytes() == b"x" and len(list(tmp_path.iterdir())) == 1


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
        (["--data_format", "NCHW"], "argument --data_format/--data-format: invalid choice: 'NCHW'"),
        (["--eval"], "the following arguments are required: -ec"),
        (["-es", "16"], "unrecognized arguments: -es"),
        (["--gpu", "0"], "`devices` must be empty: TensorFlow sees no GPU here. Received: devices=[0]"),
        (["--data.fake_size", "1000000000000"], "`fake_size` must be so small that the pictures fit into 4 GiB"),
        (["--epochs", "1" + "0" * 30], "`epochs` must be a whole number"),
        (["--load", ""], "`load` must be a run folder or a checkpoint's prefix"),
        (["--objective.temperature", ".inf"], "`temperature` must be a number. Received: inf"),
        (["--data.lighting", ".inf"], "`lighting` must be a number or null. Received: inf"),
        (["--data.std", "[1, 0, 1]"], "`std` must be three positive finite numbers"),
        (["--model.resolutions", "16"], "`resolutions` must be a list of whole numbers or lists of whole numbers or texts"),
        (["--kd-type", "topdown"], "`kd_type` must be one of ens_topdown, ens. Received: 'topdown'"),
    ],
)
def test_wrong_usage_ends_with_2(argv, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert _code(train.main, [*SMALL, *argv]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_fewer_classes_than_the_data(photographs, tmp_path, capsys):
    write_pictures(tmp_path / "p", {"train": dict.fromkeys("abc", 4), "val": dict.fromkeys("abc", 1)})
    command = [*TINY, "--data", str(tmp_path / "p"), "--model.classes", "2", "--run", str(tmp_path / "run")]
    assert _code(train.main, command) == 2
    assert "`classes` must be at least the data's 3. Received: classes=2" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_evaluate_maps_other_data_by_the_names_of_classes(photographs, tmp_path, capsys):
    """The same pictures in a folder that has one more class before them give the same figures."""
    pictures = tmp_path / "other"
    shutil.copytree(photographs / "pictures", pictures)
    for split in ("train", "val"):
        shutil.rmtree(pictures / split / "a")
    run = photographs / "run"
    assert evaluate.main(["--run", str(run), "--data", str(pictures), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["rows"]
    opened = open_run(run, data=str(pictures))
    assert opened.source.missing == ("a",) and list(opened.task.classes) == ["a", "b"]
    labels = {int(label) for batch in opened.task.evaluation_batches(opened.source, [16]) for label in batch["targets"]}
    assert labels == {1} and found[0]["setting"] == "r16"
    for split in ("train", "val"):
        shutil.copytree(photographs / "pictures" / split / "a", pictures / split / "z")
    with pytest.raises(DataError, match="z"):
        evaluate.main(["--run", str(run), "--data", str(pictures)])


@pytest.mark.parametrize(
    "verb", ["train", "evaluate", "profile", "calibrate", "export", "adapt", "serve", "convert", "prepare"]
)
def test_help_of_every_verb(verb):
    root = str(pathlib.Path(__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": root}
    done = subprocess.run([sys.executable, "-m", "tfres", verb, "--help"], capture_output=True, text=True, env=environment)
    assert done.returncode == 0 and "xample: python -m tfres." in " ".join(done.stdout.split())
    assert "tensorflow" not in done.stderr.lower()


def test_unknown_verb():
    done = subprocess.run([sys.executable, "-m", "tfres", "tran"], capture_output=True, text=True)
    assert done.returncode == 2 and "train a network" in done.stderr


def test_public_face(run):
    """`import tfres` offers it without TensorFlow; a run loads by its folder."""
    import tfres

    code = "import sys, tfres; assert 'tensorflow' not in sys.modules; assert {'load_run', 'Setting'} <= set(tfres.__all__)"
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    assert tfres.load_run is load_run and [str(s) for s in tfres.load_run(run[0]).settings] == ["r16", "r12"]
