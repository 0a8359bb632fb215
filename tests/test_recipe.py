"""Recipes and learning rates: what is read, what is refused and with which words."""

import functools
import pathlib
import re
import time

import pytest
import yaml

from tfres import cli, train
from tfres.errors import RecipeError
from tfres.families import FAMILIES
from tfres.families.command_line import read_command_line
from tfres.families.recipes import kinds, read_recipe
from tfres.recipe import EvaluationOptions, TrainingOptions, build, describe, learning_rate, read_text, read_value
from tfres.recipe.values import fields_of

RECIPES = sorted((pathlib.Path(__file__).parents[1] / "experiments").glob("**/*.yaml"))
# One architecture of each family, and a task for it.
ARCHITECTURES = {next(iter(family.presets)): next(iter(family.tasks), "classification") for family in FAMILIES.values()}


def test_round_trip():
    values = {"model": {"arch": "resnet20", "weight_bits": 2, "resolutions": [12, 16]}, "data": {"batch_size": 8}}
    recipe = read_recipe(
        {
            **values,
            "objective": {"kd": True},
            "training": {"schedule": "schedule", "milestones": [1, 2.5], "weight_decay": "1e-4"},
        }
    )
    assert recipe.training.weight_decay == 1e-4 and recipe.objective.kd and recipe.task == "classification"
    assert read_recipe(recipe.to_dict()) == recipe
    assert read_recipe(yaml.safe_load(yaml.safe_dump(recipe.to_dict()))) == recipe


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_committed_recipes_are_valid(path):
    _, recipe = read_command_line(train.make_parser(), ["--recipe", str(path)])
    given = yaml.safe_load(path.read_text())
    assert recipe.task == given.pop("task", recipe.task)
    for group, values in given.items():
        for name, value in values.items():
            assert getattr(getattr(recipe, group), name) == value, name


ERRORS = [
    ({"modle": {}}, "Unknown recipe key `modle`. Did you mean `model`"),
    ({"model": {"weight_bit": 2}}, "Unknown recipe key `model.weight_bit`. Did you mean `model.weight_bits`"),
    ({"data": {"batch_size": 0}}, "`batch_size` must be a whole number from 1 to 65536. Received: batch_size=0"),
    ({"training": {"milestones": [5, 2]}}, "`milestones` must be ascending"),
    ({"training": {"engine": "keras", "devices": [0]}}, "`devices` must be empty with the keras engine"),
    ({"training": {"engine": "tensorpack", "low_memory": True}}, "`low_memory` must be False with the tensorpack engine"),
    ({"training": {"load": "x", "init": "keras_resnet50"}}, "`init` must be left out when `load` is given"),
    ({"training": {"load": ""}}, "`load` must be a run folder or a checkpoint's prefix. Received: load=''"),
    ({"training": {"load": "  "}}, "`load` must be a run folder"),
    ({"data": {"rules": "tensorpack", "antialias": "fast"}}, "`antialias` must be left out with rules tensorpack"),
    ({"training": {"ema": 1.5}}, "`ema` must be between 0 and 1"),
    ({"training": {"devices": [0, 1]}, "data": {"batch_size": 7}}, "`batch_size` must be a multiple of the 2 parts"),
    ({"training": {"devices": [0, 0]}}, "`devices` must be distinct"),
    # A list or a text where a group of fields is wanted.
    ({"model": ["arch", "resnet20"]}, r"`model` must be a group of fields. Received: model=\['arch', 'resnet20'\]"),
    ({"training": "fast"}, "`training` must be a group of fields. Received: training='fast'"),
    ({"data": []}, r"`data` must be a group of fields. Received: data=\[\]"),
    ({"objective": 0}, "`objective` must be a group of fields. Received: objective=0"),
    ({"model": ""}, "`model` must be a group of fields. Received: model=''"),
    ({"task": ["classification"]}, "`task` must be"),
    ({"model": {"arch": ["resnet20"]}}, "`arch` must be"),
    ({"model": {"arch": "resnet19"}}, "`arch` must be one of .*Did you mean"),
    # Numbers that are none, or out of range.
    ({"objective": {"temperature": float("inf")}}, "`temperature` must be a number. Received: inf"),
    ({"objective": {"temperature": float("nan")}}, "`temperature` must be a number. Received: nan"),
    ({"objective": {"temperature": 0}}, "`temperature` must be positive"),
    ({"data": {"lighting": float("inf")}}, "`lighting` must be a number or null. Received: inf"),
    ({"data": {"lighting": -1}}, "`lighting` must be zero or positive"),
    ({"data": {"std": [1, 0, 1]}}, "`std` must be three positive finite numbers"),
    ({"data": {"std": [1, -1, 1]}}, "`std` must be three positive finite numbers"),
    ({"data": {"mean": [1, 1]}}, "`mean` must be three finite numbers"),
    ({"training": {"epochs": 10**30}}, "`epochs` must be a whole number"),
    ({"training": {"epochs": True}}, "`epochs` must be a whole number. Received: True"),
    ({"training": {"seed": 2**31}}, "`seed` must be from 0 to 2147483647"),
    ({"training": {"seed": -1}}, "`seed` must be from 0 to 2147483647"),
    ({"training": {"momentum": 1}}, r"`momentum` must be in \[0, 1\)"),
    ({"data": {"source": "fake", "fake_size": 10**12}}, "`fake_size` must be so small that the pictures fit into 4 GiB"),
    ({"data": {"batch_size": 10**9}}, "`batch_size` must be"),
    ({"data": {"side": 10**6}}, "`side` must be a whole number from 1 to 4096"),
]
# Values that only the network's own options refuse, when the recipe is resolved.
NETWORK_ERRORS = [
    ({"weight_bits": 9}, "`weight_bits` must be an integer from 1 to 8, or 32"),
    ({"resolutions": [32, 32]}, "`resolutions` must be distinct positive integers"),
    ({"resolutions": []}, "`resolutions` must be distinct positive integers"),
    ({"resolutions": [10**9]}, "`resolutions` must be distinct positive integers, or pairs .* up to"),
    ({"arch": "meta_resnet20", "encodings": {24: 0.5, 20: 0.1}, "resolutions": [32, 24]}, "`encodings` must be of resolution"),
    ({"arch": "mutual_wideresnet10_2", "width_mults": []}, "`width_mults` must be at least one width"),
    ({"arch": "mutual_wideresnet10_2", "width_mults": [2.0]}, "`width_mults` must be positive and at most 1"),
    ({"arch": "mutual_wideresnet10_2", "width_range": [1.0, 0.5]}, "`width_range` must be two ascending"),
    ({"mode": "resnet", "weight_bits": 2, "activation_bits": 2}, "`activation_bits` must be 32 in mode 'resnet'"),
]


@pytest.mark.parametrize(("values", "message"), ERRORS)
def test_errors(values, message):
    with pytest.raises(RecipeError, match=message):
        read_recipe(values)


@pytest.mark.parametrize(("model", "message"), NETWORK_ERRORS)
def test_errors_of_the_network(model, message):
    from tfres.families.recipes import resolve

    with pytest.raises(RecipeError, match=message):
        resolve(read_recipe({"model": model, "data": {"source": "fake", "fake_size": 1, "batch_size": 1}}))


# Nine to the power of 17 values, when every alias is written out.
BOMB = "a0: &a0 [1]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 18))


def _ended(argv, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.run_main(train.main, argv)
    return ended.value.code, capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"model: {arch: resnet20}\nmodel: {arch: resnet18}\n", "line 2: the key `model` stands twice"),
        (b"training:\n  epochs: 1\n  epochs: 2\n", "line 3: the key `epochs` stands twice"),
        (b"\xff\xfe\x00\x01", "UTF-8"),
        ("training: {load: \xe9}".encode("latin-1"), "UTF-8"),
        (b"model: [1, 2", "is not YAML that can be read"),
        (b"model: {arch: !!python/object:os.system x}", "is not YAML that can be read"),
        (b"\tmodel: 1", "is not YAML that can be read"),
        (b"- 1\n- 2\n", "must hold a mapping (lines of `name: value`). Received: a list"),
        (b"just text", "must hold a mapping (lines of `name: value`). Received: a text"),
        (b"", "must hold a mapping"),
        (b"model:\n  arhc: resnet20\n", "Did you mean `model.arch`?"),
        (b"model: text\n", "`model` must be a group of fields. Received: model='text'"),
        (b"training:\n  epochs: many\n", "`epochs` must be a whole number. Received: 'many'."),
        (b"data:\n  std: [1, 1, .inf]\n", "`std` must be a list of numbers or null"),
        (b"a: " + b"[" * 10_000 + b"]" * 10_000, "nested at most 20 deep"),
        (b"a: " + b"{a: " * 3_000 + b"1" + b"}" * 3_000, "nested at most 20 deep"),
        (BOMB.encode(), "values"),
        (b"a: &a [*a]\n", "alias"),
        (b"x: " + b"y" * 300_000, "recipe.yaml"),
        (b"training: {epochs: " + b"9" * 5_000 + b"}", "recipe.yaml"),
    ],
    ids=lambda value: None if isinstance(value, str) else value[:20].decode("latin-1").split("\n")[0],
)  # fmt: skip
def test_files_that_are_no_recipe(content, message, tmp_path, capsys):
    """Named within a second, with exit code 2."""
    path = tmp_path / "recipe.yaml"
    path.write_bytes(content)
    started = time.perf_counter()
    code, told = _ended(["--recipe", str(path), "--run", str(tmp_path / "run")], capsys)
    assert code == 2 and message in told and told.startswith("error: ") and len(told) < 1000
    assert time.perf_counter() - started < 1
    assert not (tmp_path / "run").exists()


def test_no_file(tmp_path, capsys):
    for path in (tmp_path / "nowhere.yaml", tmp_path):
        code, told = _ended(["--recipe", str(path)], capsys)
        assert code == 2 and str(path) in told


WRONG = ["many", "", [1], ["a"], [["a"]], {"a": 1}, {}, True, 1.5, 7, None, float("nan"), 10**30, object(), b"x", {1: "a"}]
PYTHON = re.compile(
    r"\||Union|Optional|Literal|typing|<class|None or|\bint\b|\bstr\b|\bdict\b|\bNoneType\b|tuple|Recipe|Options"
)
FIELDS = {
    f"{arch}: {group}.{name}": (kind, group, name)
    for arch, task in ARCHITECTURES.items()
    for group, kind in {**kinds(arch, task), "evaluation": EvaluationOptions}.items()
    for name in fields_of(kind)
}  # fmt: skip


@pytest.mark.parametrize(("kind", "group", "name"), FIELDS.values(), ids=FIELDS)
def test_type_errors_of_every_field(kind, group, name):
    """From YAML and from the command line: what is allowed in words, the value, nothing of Python's."""
    annotation, refused = fields_of(kind)[name], 0
    full = f"{group}.{name}"
    readers = [functools.partial(read_value, full, value, annotation) for value in WRONG]
    readers += [functools.partial(read_text, full, text, annotation) for text in ("many words", "[a, b]", "{a: b}", "-", "")]
    given = {"arch": "resnet20"} if group == "model" else {}
    readers += [functools.partial(build, kind, {**given, name: value}, f"{group}.") for value in WRONG]
    for read in readers:
        try:
            read()
        except RecipeError as error:
            refused += 1
            told = str(error)
            assert re.search(rf"`({re.escape(group)}\.)?\w+` |of `\w+`", told) or "is not YAML" in told, told
            allowed = told.partition("Received")[0]
            assert not PYTHON.search(allowed), told
            assert len(told) < 600
    assert refused > 0


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("epochs", "many", "`epochs` must be a whole number. Received: 'many'."),
        ("learning_rate", "fast", "`learning_rate` must be a number or null. Received: 'fast'."),
        (
            "schedule",
            "cosine",
            "`schedule` must be one of cos, linear, poly, step, schedule, constant. Received: 'cosine'.",
        ),
        ("milestones", "3", "`milestones` must be a list of numbers or null. Received: '3'."),
        ("devices", ["a"], "`devices` must be a list of whole numbers. Received: ['a']."),
        ("low_memory", "perhaps", "`low_memory` must be true or false. Received: 'perhaps'."),
        ("load", 3, "`load` must be text or null. Received: 3."),
    ],
)
def test_words_of_type_errors(name, value, message):
    with pytest.raises(RecipeError) as error:
        read_recipe({"training": {name: value}})
    assert str(error.value) == message


def test_numbers_as_yaml_writes_them():
    training = read_recipe(
        {"training": {"learning_rate": "1e-2", "epochs": 3.0, "weight_decay": 0, "schedule": "schedule", "milestones": [1]}}
    ).training
    assert (training.learning_rate, training.epochs, training.weight_decay) == (0.01, 3, 0.0)
    assert isinstance(training.epochs, int) and isinstance(training.milestones[0], float)


def _rates(steps, **fields):
    training = TrainingOptions(**fields)
    return [learning_rate(training, step, 100) for step in steps]


def test_schedules():
    assert _rates([0, 50, 100], epochs=1, learning_rate=0.2) == pytest.approx([0.2, 0.1, 0.0])
    marks = _rates([2999, 3000, 5999, 6000, 8500, 9500, 10500], epochs=120, learning_rate=0.1, schedule="schedule")
    assert marks == pytest.approx([0.1, 0.01, 0.01, 1e-3, 1e-4, 1e-5, 1e-6])
    marks = _rates([99, 100, 250], epochs=3, learning_rate=0.1, schedule="schedule", milestones=[1, 2.5], decay=0.5)
    assert marks == pytest.approx([0.1, 0.05, 0.025])
    step = _rates([0, 199, 200, 499], epochs=5, learning_rate=0.1, schedule="step", step_epochs=2)
    assert step == pytest.approx([0.1, 0.1, 0.01, 1e-3])
    assert _rates([0, 99], epochs=1, schedule="constant", learning_rate=0.3) == [0.3, 0.3]
    assert _rates([0, 50, 100], epochs=3, schedule="constant", learning_rate=0.4, warmup_epochs=1) == pytest.approx(
        [0, 0.2, 0.4]
    )


@pytest.mark.parametrize(("kind", "group", "name"), FIELDS.values(), ids=FIELDS)
def test_every_field_is_documented(kind, group, name):
    assert name == "arch" or describe(kind, name)
