"""Float RS-Nets from PyTorch checkpoints: command, runs, and files that are refused."""

import os
import pickle

import numpy as np
import pytest
import tensorflow as tf

from tests.reference import fill, generator
from tfres import evaluate, export, train
from tfres.cli import run_main
from tfres.convert import from_reference
from tfres.convert.__main__ import main as convert_main
from tfres.convert.rsnet import reference_name
from tfres.errors import CheckpointError, RecipeError
from tfres.families import from_preset
from tfres.families.networks import load_network, read_run_recipe
from tfres.run import Run

SIZES = [64, 48]


def _state(arch="resnet18", sizes=SIZES, classes=7):
    """A reference state dict of that network, filled by the goldens' rule; names with the data-parallel prefix."""
    model = from_preset(arch, resolutions=sizes, classes=classes)
    model.build()
    shapes = []
    for variable in model.weights:
        shape = list(variable.shape)
        if len(shape) == 4:
            shape = [shape[2], 1, *shape[:2]] if "depthwise" in variable.name else [shape[3], shape[2], *shape[:2]]
        name = reference_name(variable.name.removesuffix(":0"), sizes, mobile=arch == "mobilenetv2")
        shapes.append((name, shape[::-1] if len(shape) == 2 else shape))
        if name.endswith("running_var"):
            shapes.append((name.replace("running_var", "num_batches_tracked"), []))
    return {f"module.{name}": value for name, value in fill(shapes).items()}


@pytest.fixture(scope="module")
def state():
    return _state()


@pytest.fixture
def checkpoint(state, tmp_path):
    """Writes a checkpoint as the reference does, in PyTorch's old or new format."""
    torch = pytest.importorskip("torch")

    def write(legacy=False, **changes):
        tensors = {name: torch.from_numpy(np.array(value)) for name, value in state.items()}
        content = {
            "epoch": 120,
            "arch": "parallel_resnet18",
            "state_dict": tensors,
            "best_acc0": 73.1,
            "best_acc": np.float64(80.5),
        }
        content["optimizer"] = {"state": {}, "param_groups": [{"lr": 0.1, "momentum": 0.9}]}
        path = tmp_path / "model_best.pth.tar"
        torch.save({**content, **changes}, path, _use_new_zipfile_serialization=not legacy)
        return str(path)

    return write


@pytest.mark.parametrize("arch", ["resnet34", "resnet50", "resnext50_32x4d", "mobilenetv2"])
def test_every_tensor_finds_its_place(arch):
    """Every architecture with its own names: nothing missing, nothing left over, all values in place."""
    tensors = _state(arch)
    model = from_reference("rsnet", f"parallel_{arch}", tensors, sizes=SIZES)
    first = "features.0.0" if arch == "mobilenetv2" else "conv1"
    kernel = tensors[f"module.{first}.module.weight"].transpose(2, 3, 1, 0)
    np.testing.assert_array_equal(next(w for w in model.weights if w.name == "backbone/conv0/kernel:0"), kernel)
    assert model.get_config()["classes"] == 7


def test_branches_follow_the_given_order(state):
    """Branch j belongs to the j-th size, also when they ascend."""
    descending = from_reference("rsnet", "parallel_resnet18", state, sizes=[64, 48])
    ascending = from_reference("rsnet", "parallel_resnet18", state, sizes=[48, 64])
    x = tf.constant(generator(0).uniform(size=(2, 48, 48, 3)), tf.float32)
    np.testing.assert_array_equal(descending(x, setting=64), ascending(x, setting=48))
    np.testing.assert_array_equal(descending.alpha[::-1], ascending.alpha)


@pytest.mark.parametrize("legacy", [False, True])
def test_command(state, checkpoint, tmp_path, capsys, legacy):
    out = tmp_path / "run"
    arguments = ["rsnet", "parallel_resnet18", checkpoint(legacy), "--sizes", "64", "48", "--out", str(out), "--data", "fake"]
    assert convert_main(arguments) == 0
    assert capsys.readouterr().out.strip() == str(out)
    model, data = load_network(Run(out)), read_run_recipe(Run(out)).data
    expected = from_reference("rsnet", "parallel_resnet18", state, sizes=SIZES)
    x = tf.constant(generator(0).uniform(size=(2, 48, 48, 3)), tf.float32)
    np.testing.assert_array_equal(model(x, setting=48), expected(x, setting=48))
    assert (data.resize, data.mean, data.std, data.channel_order) == ("bilinear", [0] * 3, [1] * 3, "rgb")
    assert (data.rules, data.flip) == ("torchvision", "independent")
    if not legacy:  # it evaluates, exports and fine-tunes like a run of ours
        assert evaluate.main(["--run", str(out)]) == 0
        assert export.main(["--run", str(out), "--out", str(tmp_path / "exported")]) == 0
        tuned = ["--arch", "resnet18", "--model.classes", "7", "--fake", "--data.fake_size", "4", "--batch-size", "4"]
        assert train.main([*tuned, "--sizes", "64", "48", "--load", str(out), "--run", str(tmp_path / "tuned")]) == 0


def test_wrong_arch_and_sizes(state, checkpoint, tmp_path):
    out = ["--out", str(tmp_path / "run")]
    with pytest.raises(CheckpointError, match="is a checkpoint of parallel_resnet18. Received: arch=parallel_resnet50"):
        convert_main(["rsnet", "parallel_resnet50", checkpoint(), *out])
    with pytest.raises(RecipeError, match="another network. Tensors missing: layer1.2"):
        convert_main(["rsnet", "parallel_resnet34", checkpoint(arch="parallel_resnet34"), "--sizes", "64", "48", *out])
    with pytest.raises(RecipeError, match=r"`sizes` must be 2 resolutions.*Received: sizes=\[\]"):
        convert_main(["rsnet", "parallel_resnet18", checkpoint(), *out])
    with pytest.raises(RecipeError, match=r"`sizes` must be 2 resolutions.*Received: sizes=\[64, 48, 32\]"):
        convert_main(["rsnet", "parallel_resnet18", checkpoint(), "--sizes", "64", "48", "32", *out])
    with pytest.raises(RecipeError, match="`qw` is no option of rsnet. Received: qw=2"):
        convert_main(["rsnet", "parallel_resnet18", checkpoint(), "--qw", "2", *out])
    with pytest.raises(ValueError, match="`arch` must be one of parallel_resnet18.*Received: arch='parallel_vgg'"):
        from_reference("rsnet", "parallel_vgg", state)
    assert not (tmp_path / "run").exists()


class _Payload:
    def __reduce__(self):
        return os.mkdir, ("pwned",)


def test_files_that_are_refused(checkpoint, tmp_path, monkeypatch, capsys):
    torch = pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    arguments = ["rsnet", "parallel_resnet18", checkpoint(extra=_Payload()), "--out", "run"]
    with pytest.raises(SystemExit) as ended:
        run_main(convert_main, arguments)
    assert ended.value.code == 1 and "is refused: its pickle wants to run code" in capsys.readouterr().err
    (tmp_path / "plain.pkl").write_bytes(pickle.dumps(_Payload(), protocol=2))
    torch.save([1, 2], tmp_path / "list.pth")
    (tmp_path / "text.pth").write_text("hello")
    for name, message in (
        ("plain.pkl", "refused|is not a checkpoint"),
        ("list.pth", "must hold a state dict"),
        ("text.pth", "is not a checkpoint of PyTorch|refused"),
        ("nothing.pth", "must be a file that PyTorch wrote"),
    ):
        with pytest.raises(CheckpointError, match=message):
            convert_main(["rsnet", "parallel_resnet18", str(tmp_path / name), "--out", "run"])
    assert not (tmp_path / "pwned").exists() and not (tmp_path / "run").exists()


def test_without_pytorch(monkeypatch, tmp_path):
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    with pytest.raises(CheckpointError, match="needs PyTorch, which is optional"):
        convert_main(["rsnet", "parallel_resnet18", "x.pth.tar", "--out", str(tmp_path / "run")])
