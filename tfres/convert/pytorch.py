"""Checkpoints that PyTorch wrote: read without running code of theirs, brought into our names' order and layout."""

import _codecs
import pathlib
import pickle
import re

import numpy as np

from tfres.engines.checkpoints import CheckpointError

SIZES = (224, 192, 160, 128, 96)
# Our names of a norm's variables and PyTorch's.
BATCH_NORM = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}


def read_torch(path):
    """Tensors and facts of a `.pth.tar` checkpoint or a state dict.

    Only tensors, containers and plain values are read; a file whose pickle wants anything else is refused.

    Args:
        path: file.

    Returns:
        `(tensors, facts)`: name -> numpy array; the other plain entries of the checkpoint (`arch`, `epoch`, ...).

    Raises:
        CheckpointError: PyTorch is not installed, no such file, not a checkpoint, or one that wants to run code.
    """
    try:
        import torch
    except ImportError as error:
        raise CheckpointError(
            "Reading PyTorch files needs PyTorch, which is optional: pip install 'tfres[torch]' (the CPU build is enough)."
        ) from error
    if not pathlib.Path(path).is_file():
        raise CheckpointError(f"`checkpoint` must be a file that PyTorch wrote. Received: checkpoint={path}.")
    try:
        with torch.serialization.safe_globals(_numpy_scalars()):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        wanted = str(error).partition("GLOBAL ")[2].split(" ")[0] or "something else than tensors"
        raise CheckpointError(
            f"{path} is refused: its pickle wants to run code ({wanted}). Only tensors and plain values are read."
        ) from error
    except (RuntimeError, EOFError, ValueError, KeyError) as error:
        raise CheckpointError(f"{path} is not a checkpoint of PyTorch: {error}") from error
    state = content.get("state_dict", content.get("model", content)) if isinstance(content, dict) else None
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise CheckpointError(f"{path} must hold a state dict of tensors, alone or as `state_dict` or `model`.")
    facts = {k: v for k, v in content.items() if isinstance(v, (str, int, float))} if state is not content else {}
    return {name: value.numpy() for name, value in state.items()}, facts


def _numpy_scalars():
    """What numpy numbers in a checkpoint are made of; PyTorch refuses them by default. Old files know numpy's old names."""
    scalar = np._core.multiarray.scalar
    dtypes = [type(np.dtype(name)) for name in ("float32", "float64", "int32", "int64")]
    return [scalar, (scalar, "numpy.core.multiarray.scalar"), np.dtype, *dtypes, _codecs.encode]


def read_checkpoint_of(path, arch, prefix=""):
    """Tensors of a `.pth.tar` checkpoint that says its architecture.

    Args:
        path: file.
        arch: the architecture it must be of.
        prefix: what may be left out of the name.

    Raises:
        CheckpointError: unreadable, refused, or of another architecture.
    """
    tensors, facts = read_torch(path)
    if facts.get("arch", arch).removeprefix(prefix) != arch.removeprefix(prefix):
        raise CheckpointError(f"{path} is a checkpoint of {facts['arch']}. Received: arch={arch}.")
    return tensors


def without_prefix(tensors):
    """The tensors by the network's own names: the data-parallel prefix comes off when all have it."""
    if all(name.startswith("module.") for name in tensors):
        return {name.removeprefix("module."): value for name, value in tensors.items()}
    return dict(tensors)


def branches(tensors):
    """Number of branches: of private batch norms per layer."""
    found = {int(number) for name in tensors for number in re.findall(r"\.bn_(\d+)\.", name)}
    return max(found, default=-1) + 1


def checked_sizes(sizes, count):
    """The list of sizes, one per branch.

    Raises:
        ValueError: another number of them.
    """
    sizes = list(SIZES if sizes is None and count == len(SIZES) else sizes or [])
    if len(sizes) != count:
        raise ValueError(f"`sizes` must be {count} resolutions, one per branch of the checkpoint. Received: sizes={sizes}.")
    return sizes


def laid_out(value, depthwise=False):
    """A PyTorch tensor in TensorFlow's layout."""
    if value.ndim == 4:
        return value.transpose((2, 3, 0, 1) if depthwise else (2, 3, 1, 0))
    return value.T if value.ndim == 2 else value
