"""Checkpoints and mask files of ScaleNAS's authors: prefixes, heads, files that are refused."""

import pickle

import numpy as np
import pytest

from tests.models.test_scalenas import TINY
from tfres.convert import from_reference, names
from tfres.convert.scalenas import read_mask, recipe, reference_name
from tfres.errors import CheckpointError
from tfres.models.scalenas import Mask, ScaleNAS
from tfres.models.scalenas.options import ScaleNASOptions
from tfres.models.scalenas.published import PUBLISHED

STRUCTURE = {name: TINY[name] for name in ("modules", "blocks", "least_blocks", "resolutions")}


def _tensors(network):
    found = {}
    for variable in network.weights:
        value = variable.numpy()
        value = value.transpose(3, 2, 0, 1) if value.ndim == 4 else value
        found[reference_name(variable.name.removesuffix(":0"), network.options.head)] = value
    return found


@pytest.mark.parametrize("head", ["concatenated", "finest"])
def test_converted(rng, head):
    network = ScaleNAS(**TINY, head=head)
    network.build()
    tensors = _tensors(network)
    wrapped = {f"module.model.{name}": value for name, value in tensors.items()} | {"module.loss.criterion.weight": np.ones(5)}
    arch = "superscalenet_seg" if head == "concatenated" else "superscalenet_pose"
    converted = from_reference("scalenas", arch, wrapped, **STRUCTURE)
    assert converted.options == network.options
    for ours, theirs in zip(converted.weights, network.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    made = recipe(arch, converted.options.to_dict())
    assert made["task"] == ("segmentation" if head == "concatenated" else "pose") and made["model"]["width"] == 4
    with pytest.raises(ValueError, match="left over: extra"):
        from_reference("scalenas", arch, {**tensors, "extra": np.ones(3)}, **STRUCTURE)
    del tensors["conv2.weight"]
    with pytest.raises(ValueError, match="missing: conv2.weight"):
        from_reference("scalenas", arch, tensors, **STRUCTURE)


def test_every_name_of_the_authors(golden):
    """Of the small structure, those that the whole one has of it."""
    found = names("scalenas", "superscalenet_seg", **TINY)
    theirs = {name for name, _ in golden("scalenas_seg_w32")["tensors"]}
    assert {*found.values()} <= theirs and len(found) == len({*found.values()})
    assert found["backbone/stage4_0/step1_0to3/unit2/norm/all_moving_mean"] == "stage4.0.fuse_layers_2.3.0.2.1.running_mean"
    with pytest.raises(ValueError, match="`arch` must be one of"):
        names("scalenas", "hrnet")


def _array(mask):
    """A mask as the authors keep it: columns that were never set hold two zeros."""
    modules = np.empty(len(mask.depths), object)
    for number, (depth, paths) in enumerate(zip(mask.depths, mask.paths, strict=True)):
        rows = np.empty((len(depth), 5), object)
        for target in range(len(depth)):
            for step in range(5):
                used = [int(source == target or (step, source, target) in paths) for source in range(len(depth))]
                rows[target, step] = used if step < max(depth) else np.zeros(2)
        modules[number] = {"d": np.array(depth, np.int64)[:, None], "f": rows}
    return modules


class _Runs:
    def __reduce__(self):
        return print, ("this must not run",)


def test_mask_files(tmp_path, capsys):
    options = ScaleNASOptions()
    mask = Mask.read(PUBLISHED["S1"], options.space)
    np.save(tmp_path / "S1.npy", _array(mask), allow_pickle=True)
    assert read_mask(tmp_path / "S1.npy", options, unpickle=True) == mask
    with pytest.raises(CheckpointError, match="holds a pickle"):
        read_mask(tmp_path / "S1.npy", options)
    evil = np.empty(8, object)
    evil[:] = [_Runs()] * 8
    np.save(tmp_path / "evil.npy", evil, allow_pickle=True)
    with pytest.raises(CheckpointError, match="wants to run code"):
        read_mask(tmp_path / "evil.npy", options, unpickle=True)
    assert "must not run" not in capsys.readouterr().out
    np.save(tmp_path / "numbers.npy", np.ones(8))
    (tmp_path / "text.npy").write_text("no mask")
    (tmp_path / "pickle.npy").write_bytes(pickle.dumps(_array(mask)))
    short = _array(mask)[:7]
    np.save(tmp_path / "short.npy", short, allow_pickle=True)
    for name in ("numbers", "text", "pickle", "short"):
        with pytest.raises(CheckpointError, match="is no mask file"):
            read_mask(tmp_path / f"{name}.npy", options, unpickle=True)
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_mask(tmp_path / "none.npy", options, unpickle=True)
