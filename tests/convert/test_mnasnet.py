"""MNasNet with AutoSlim's channel lists, from the names of slimmable_networks, against the same network in PyTorch."""

import numpy as np
import pytest

from tests.reference import fill, relative, standard_images
from tfres.convert import from_reference
from tfres.models.mutualnet import autoslim

KERNELS = (3, 3, 3, 3, 5, 5, 5, 5, 5, 5, 3, 3, 5, 5, 5, 5, 3)
STRIDES = (1, 2, 1, 1, 2, 1, 1, 2, 1, 1, 1, 1, 2, 1, 1, 1, 1)
RESIDUAL = (2, 3, 5, 6, 8, 9, 11, 13, 14, 15)  # blocks within a stage
NORM = ("weight", "bias", "running_mean", "running_var")


def layers():
    """Name, kernel size, stride, whether depthwise, and place in a channel list (depthwise: of what comes in)."""
    yield "features.0", 0, 3, 2, False, 0
    place = 0
    for block, (kernel, stride) in enumerate(zip(KERNELS, STRIDES, strict=True)):
        body, unit = f"features.{1 + block}.body", 0
        if block:
            place += 1
            yield body, unit, 1, 1, False, place
            unit += 3
        yield body, unit, kernel, stride, True, place
        place += 1
        yield body, unit + 3, 1, 1, False, place
    yield "features.18", 0, 1, 1, False, place + 1


def tensors(lists, classes):
    shapes, widest = [], np.max(lists, 0).tolist()
    inputs = 3
    for name, unit, kernel, _, depthwise, place in layers():
        shapes.append((f"{name}.{unit}.weight", [widest[place], 1 if depthwise else inputs, kernel, kernel]))
        inputs = widest[place]
        for i, counts in enumerate(lists):
            shapes += [(f"{name}.{unit + 1}.bn.{i}.{leaf}", [counts[place]]) for leaf in NORM]
    return fill([*shapes, ("classifier.0.weight", [classes, inputs]), ("classifier.0.bias", [classes])])


def reference(torch, state, i, counts, x):
    """Logits of the i-th network."""
    conv, state = torch.nn.functional.conv2d, {name: torch.tensor(value) for name, value in state.items()}
    x = entry = torch.tensor(np.ascontiguousarray(x.transpose(0, 3, 1, 2)))
    for name, unit, kernel, stride, depthwise, place in layers():
        if unit == 0:
            entry = x
        weight = state[f"{name}.{unit}.weight"][: counts[place], : 1 if depthwise else x.shape[1]]
        x = conv(x, weight, None, stride, kernel // 2, groups=x.shape[1] if depthwise else 1)
        gamma, beta, mean, variance = (state[f"{name}.{unit + 1}.bn.{i}.{leaf}"] for leaf in NORM)
        x = torch.nn.functional.batch_norm(x, mean, variance, gamma, beta)
        block = int(name.split(".")[1]) - 1
        projects = "body" in name and unit == (6 if block else 3)
        x = x if projects else torch.nn.functional.relu6(x)
        if projects and block in RESIDUAL:
            x = x + entry
    x = x.mean((2, 3))
    return x @ state["classifier.0.weight"][:, : x.shape[1]].T + state["classifier.0.bias"]


def test_logits():
    torch = pytest.importorskip("torch")
    names, lists = list(autoslim.MNASNET), list(autoslim.MNASNET.values())
    state = tensors(lists, 10)
    model = from_reference("mutualnet", "autoslim_mnasnet", state)
    x = standard_images(2, 64)
    for i, (name, counts) in enumerate(zip(names, lists, strict=True)):
        assert relative(model(x, setting=f"r64-net{name}"), reference(torch, state, i, counts, x)) < 1e-4
