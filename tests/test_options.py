"""Synonyms of the reference's options."""

import pytest

from tfres.options import expand
from tfres.train import default_name, make_parser, recipe_from


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["--qw", "2", "--qa=3"], ["--model.weight_bits=2", "--model.activation_bits=3"]),
        (["-s", "32", "24", "--kd"], ["--model.resolutions=[32,24]", "--training.kd=true"]),
        (["--batch_size", "8", "--batch-size", "9"], ["--data.batch_size=8", "--data.batch_size=9"]),
        (
            ["-d", "50", "--fixed_qa", "--fake"],
            ["--model.arch=resnet50", "--model.basis_update=largest", "--data.source=fake"],
        ),
        (["--kd", "--recipe", "a.yaml"], ["--recipe", "a.yaml", "--training.kd=true"]),
        (["--gpu", "0,1"], ["--training.devices=[0,1]"]),
        (["--sizes", "32", "-4"], ["--model.resolutions=[32,-4]"]),
        (["--unknown", "1"], ["--unknown", "1"]),
        (["--lr"], ["--training.learning_rate"]),
    ],
)
def test_expand(argv, expected):
    assert expand(argv) == expected


def test_options_win_over_the_recipe_file(tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text("model:\n  weight_bits: 4\n  activation_bits: 4\ntraining:\n  epochs: 7\n")
    recipe = recipe_from(make_parser().parse_args(expand(["--qw", "2", "--recipe", str(path), "--sizes", "20", "28"])))
    assert (recipe.model.weight_bits, recipe.model.activation_bits, recipe.training.epochs) == (2, 4, 7)
    assert recipe.model.resolutions == [28, 20]
    assert default_name(recipe, note="x", logdir_id="1") == "resnet20-preact-2-4-28,20-x1"


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--qww", "2"], "Did you mean `--qw`?"),
        (["--model.weight_bit", "2"], "Did you mean `--model.weight_bits`?"),
        (["--mode", "presact"], "'preact'"),
        (["--epochs", "ten"], "training.epochs"),
    ],
)
def test_wrong_usage_ends_with_2(argv, message, capsys):
    with pytest.raises(SystemExit) as ended:
        make_parser().parse_args(expand(argv))
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_unknown_recipe_key_names_the_nearest(tmp_path, capsys):
    path = tmp_path / "r.yaml"
    path.write_text("model:\n  arhc: resnet20\n")
    with pytest.raises(SystemExit) as ended:
        make_parser().parse_args(["--recipe", str(path)])
    assert ended.value.code == 2
    assert "Did you mean `model.arch`?" in capsys.readouterr().err
