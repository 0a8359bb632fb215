"""Synonyms of the reference's options, what they name, and how wrong ones fail."""

import subprocess
import sys

import pytest

from tfres import cli, options
from tfres.errors import RecipeError, UsageError
from tfres.families.command_line import read_command_line
from tfres.train import make_parser


def _read(*argv):
    return read_command_line(make_parser(), options.expand(argv))


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["--qw", "2", "--qa=3"], ["--model.weight_bits=2", "--model.activation_bits=3"]),
        (["-s", "32", "24", "--kd"], ["--model.resolutions=[32,24]", "--objective.kd=true"]),
        (["--batch_size", "8", "--batch-size", "9"], ["--data.batch_size=8", "--data.batch_size=9"]),
        (
            ["-d", "50", "--fixed_qa", "--fake"],
            ["--model.arch=resnet50", "--model.basis_update=largest", "--data.source=fake"],
        ),
        (["--kd", "--recipe", "a.yaml"], ["--objective.kd=true", "--recipe", "a.yaml"]),
        (["--gpu", "0,1"], ["--training.devices=[0,1]"]),
        (["--sizes", "32", "-4"], ["--model.resolutions=[32,-4]"]),
        (["--unknown", "1"], ["--unknown", "1"]),
        (["--lr"], ["--training.learning_rate"]),
    ],
)
def test_expand(argv, expected):
    assert options.expand(argv) == expected


def test_every_synonym_names_a_field_or_an_option():
    """Of one of the families at least; the others have fewer fields."""
    known = set()
    for arch in ("resnet20", "meta_resnet20", "mutual_wideresnet10_2"):
        parser = make_parser()
        read_command_line(parser, ["--model.arch", arch])
        known |= set(parser._option_string_actions)
    for synonym, (target, _) in options.SYNONYMS.items():
        assert target.partition("=")[0] in known, synonym


def test_options_win_over_the_recipe_file(tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text("model:\n  weight_bits: 4\n  activation_bits: 4\ntraining:\n  epochs: 7\n")
    argv = ["--qw", "2", "--recipe", str(path), "--sizes", "20", "28", "--note", "x", "--logdir_id", "1"]
    arguments, recipe = _read(*argv)
    assert (recipe.model.weight_bits, recipe.model.activation_bits, recipe.training.epochs) == (2, 4, 7)
    assert recipe.model.resolutions == [20, 28]
    name = options.run_name(recipe, arguments)
    assert str(name.parent) == "runs" and name.name.startswith("resnet20-") and name.name.endswith("-x1")
    assert {"20,28", "2", "4"} <= set(name.name.split("-"))


@pytest.mark.parametrize("arguments", [["--note", "a/b"], ["--note", ".."], ["--logdir_id", "/x"], ["--note", "../../x"]])
def test_notes_stay_in_their_folder(arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    from tfres import train

    with pytest.raises(UsageError, match=f"`{arguments[0].strip('-')}` must be"):
        train.main(["--fake", *arguments])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["..", "a/b", "/x", "", "."])
def test_names_of_exports_stay_in_their_folder(name, tmp_path):
    from tfres import export

    with pytest.raises(UsageError, match="`name` must be"):
        export.main(["--run", str(tmp_path), "--out", str(tmp_path / "out"), "--name", name])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--qww", "2"], "Did you mean `--qw`?"),
        (["--model.weight_bit", "2"], "Did you mean `--model.weight_bits`?"),
        (["--mode", "presact"], "`mode` must be one of float, resnet, preact, preact_typeA"),
        (["--epochs", "ten"], "`epochs` must be a whole number. Received: 'ten'."),
        (["--arch", "resnet19"], "`arch` must be one of"),
        (["--task", "sound"], "`task` must be one of classification, segmentation, pose. Received: task='sound'"),
        (["--epochs"], "expected one argument"),
        (["--load", ""], "`load` must be"),
        (["--sizes", "32", "32"], "`resolutions` must be distinct positive integers"),
        (["--sizes"], "`resolutions` must be distinct positive integers"),
        (["--run", " "], "`run` must be a folder"),
    ],
)
def test_wrong_usage_ends_with_2(argv, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    from tfres import train

    with pytest.raises(SystemExit) as ended:
        cli.run_main(train.main, ["--fake", *argv])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_the_second_step_knows_only_the_fields_of_the_family():
    """`--help` of training with an architecture, which loads no TensorFlow; without one the usual architecture's."""
    texts = {}
    for arch in ("meta_resnet18", "resnet18", "mutual_mobilenet_v1"):
        code = "import sys; from tfres import train\n"
        code += f"try: train.main(['--arch', '{arch}', '--help'])\n"
        code += "finally: assert not {'tensorflow', 'keras', 'tf_keras'} & {*sys.modules}, 'TensorFlow is loaded'"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.returncode == 0 and not done.stderr, done.stderr
        texts[arch] = done.stdout
    fields = {
        "--model.encodings": "meta_resnet18",
        "--model.weight_bits": "resnet18",
        "--objective.temperature": "resnet18",
        "--objective.random_widths": "mutual_mobilenet_v1",
    }
    for field, arch in fields.items():
        assert [name for name, text in texts.items() if f"{field} " in text] == [arch], field
    assert all("--training.epochs" in text and "--data.batch_size" in text for text in texts.values())


def test_fields_of_another_family_are_unknown(capsys):
    for argv, field in (
        (["--arch", "resnet20", "--model.encodings", "{16: 0.5}"], "--model.encodings"),
        (["--arch", "meta_resnet20", "--qw", "2"], "--model.weight_bits"),
        (["--arch", "resnet20", "--objective.random_widths", "1"], "--objective.random_widths"),
    ):
        with pytest.raises(SystemExit) as ended:
            _read(*argv)
        assert ended.value.code == 2 and f"unrecognized arguments: {field}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["16", "12"], [16, 12]),
        (["96:112:8"], [96, 104, 112]),
        (["96:110:8", "32"], [96, 104, 110, 32]),
        (None, None),
    ],
)
def test_ranges(texts, expected):
    assert cli.numbers(int, texts, "size") == expected


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["1:2000000:1"], "`size` must be at most 4096 numbers. Received: '1:2000000:1'"),
        (["32", "32"], "`size` must be distinct. Received: 32 32"),
        (["16:24:8", "24"], "`size` must be distinct"),
        (["24:16:8"], "`size` must be positive numbers or ranges low:high:step"),
        (["16:24:0"], "`size` must be positive numbers or ranges low:high:step"),
        (["0"], "`size` must be positive numbers or ranges low:high:step"),
        (["16:24"], "`size` must be positive numbers or ranges low:high:step"),
        (["1.5"], r"`size` must be a whole number. Received: 1\.5"),
        (["a"], "`size` must be a whole number. Received: 'a'"),
        (["9" * 40], "`size` must be a whole number"),
    ],
)
def test_wrong_ranges(texts, message, tmp_path):
    from tfres import evaluate

    with pytest.raises(RecipeError, match=message):
        evaluate.main(["--run", str(tmp_path), "--size", *texts])
    with pytest.raises(RecipeError):
        cli.numbers(float, ["0.1:1:1e-12"], "width")
