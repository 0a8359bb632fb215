"""SANs from PyTorch checkpoints: every tensor of every architecture, the command, a run that evaluates and exports."""

import numpy as np
import pytest
import tensorflow as tf

from quant import At
from tests.reference import generator
from tfres import evaluate, export
from tfres.convert import from_reference
from tfres.convert.__main__ import main as convert_main
from tfres.convert.san import reference_name
from tfres.families import from_preset
from tfres.families.networks import load_network
from tfres.run import Run

SIZES = [64, 48]


def _state(arch, classes=7):
    """A reference state dict, with the projections that the reference never uses."""
    model = from_preset(arch, resolutions=SIZES, classes=classes)
    model.build()
    mobile, bottleneck = arch == "meta_mobilenetv2", model.get_config()["kind"] == "bottleneck"
    rng, state = generator(0), {}
    for variable in model.weights:
        name = reference_name(variable.name.removesuffix(":0"), SIZES, mobile, bottleneck)
        count = variable.shape.num_elements()
        value = rng.uniform(0.5, 1.5, count).astype(np.float32) / (10 if len(variable.shape) == 4 else 1)
        if name == "conv1.module.weight":
            value = value.reshape([64, 3, 7, 7])
        elif len(variable.shape) == 4 and name.endswith("weight"):
            value = value[:, None]
        elif len(variable.shape) == 2:
            value = value.reshape(variable.shape[::-1])
        state[f"module.{name}"] = value
        if name.endswith("running_var"):
            state[f"module.{name.replace('running_var', 'num_batches_tracked')}"] = np.array(0)
    if not mobile:
        state["module.layer2.0.downsample.0.module.weight"] = np.ones([128, 64, 1, 1], np.float32)
        state["module.layer2.0.downsample.1.bn_0.weight"] = np.ones(128, np.float32)
    return state


@pytest.mark.parametrize("arch", ["meta_resnet18", "meta_resnet50", "meta_resnext50_32x4d", "meta_mobilenetv2"])
def test_every_tensor_finds_its_place(arch):
    state = _state(arch)
    model = from_reference("san", arch, state, sizes=SIZES)
    assert [round(model.encoding(size), 6) for size in SIZES] == [0.7, 0.6]  # the reference's, by place
    depthwise, theirs = arch == "meta_mobilenetv2", "features.2.fc2" if arch == "meta_mobilenetv2" else "layer2.0.fc2"
    ours = "backbone/block1/depthwise/" if depthwise else "backbone/group1/block0/conv2/"
    layer = next(x for x in model._flatten_layers() if hasattr(x, "slope") and x.slope.name.startswith(ours))
    kernel = layer.generated_kernel(At("r48")).numpy()
    height, width, inputs, outputs = kernel.shape
    line = 0.6 * state[f"module.{theirs}.weight"][:, 0] + state[f"module.{theirs}.bias"]
    expected = line.reshape([inputs, 1, height, width] if depthwise else [outputs, inputs, height, width])
    np.testing.assert_allclose(kernel, expected.transpose([2, 3, 0, 1] if depthwise else [2, 3, 1, 0]), rtol=1e-6)


def test_what_does_not_fit():
    state = _state("meta_resnet18")
    with pytest.raises(ValueError, match="another network. Tensors missing: layer1.2"):
        from_reference("san", "meta_resnet34", state, sizes=SIZES)
    with pytest.raises(ValueError, match=r"`sizes` must be 2 resolutions"):
        from_reference("san", "meta_resnet18", state)
    with pytest.raises(ValueError, match="`arch` must be one of meta_resnet18.*Received: arch='resnet18'"):
        from_reference("san", "resnet18", state)


def test_command(tmp_path, capsys):
    torch = pytest.importorskip("torch")
    state = _state("meta_mobilenetv2")
    content = {"epoch": 150, "arch": "meta_mobilenetv2", "best_prec1": np.float64(70.0), "optimizer": {"state": {}}}
    content["state_dict"] = {name: torch.from_numpy(np.array(value)) for name, value in state.items()}
    torch.save(content, tmp_path / "model_best.pth.tar")
    out = tmp_path / "run"
    arguments = ["san", "meta_mobilenetv2", str(tmp_path / "model_best.pth.tar"), "--sizes", "64", "48", "--data", "fake"]
    assert convert_main([*arguments, "--out", str(out)]) == 0
    capsys.readouterr()
    model = load_network(Run(out))
    expected = from_reference("san", "meta_mobilenetv2", state, sizes=SIZES)
    x = tf.constant(generator(0).uniform(size=(2, 48, 48, 3)), tf.float32)
    np.testing.assert_array_equal(model(x, setting=48), expected(x, setting=48))
    assert evaluate.main(["--run", str(out), "--size", "56", "--inference", "data-free"]) == 0
    assert export.main(["--run", str(out), "--out", str(tmp_path / "exported"), "--form", "separate"]) == 0
