"""Checkpoints that PyTorch wrote: read without running code of theirs, brought into our names' order and layout."""

from __future__ import annotations

import _codecs
import pathlib
import pickle
import re
import warnings
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np

from tfres.errors import CheckpointError

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping, Sequence

    import torch

SIZES = (224, 192, 160, 128, 96)
# Our names of a norm's variables and PyTorch's.
BATCH_NORM = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}
# What a file may hold: entries of the archive, bytes of the pickle in it, tensors, length of a name.
_MOST_ENTRIES, _LARGEST_PICKLE, _MOST_TENSORS, _LONGEST_NAME = 100_000, 64 * 2**20, 50_000, 500


def read_torch(path: str | os.PathLike) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Tensors and facts of a `.pth.tar` checkpoint or a state dict.

    Only tensors, containers and plain values are read; a file whose pickle wants anything else is refused. Numbers of 16
    bits become float32; whatever a gradient was kept for is a plain tensor.

    Args:
        path: file.

    Returns:
        `(tensors, facts)`: name -> numpy array; the other plain entries of the checkpoint (`arch`, `epoch`, ...).

    Raises:
        CheckpointError: PyTorch is not installed, no such file, not a checkpoint, one that wants to run code, or with
            tensors that cannot be used (sparse, quantized, complex, not finite); in one line, with the tensor's name.
    """
    try:
        import torch
    except ImportError as error:
        raise CheckpointError(
            "Reading PyTorch files needs PyTorch, which is optional: pip install 'tfres[torch]' (the CPU build is enough)."
        ) from error
    if not str(path) or not pathlib.Path(path).is_file():
        raise CheckpointError(f"`checkpoint` must be a file that PyTorch wrote. Received: checkpoint={path}.")
    _check_archive(path)
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(_numpy_scalars()):
            warnings.simplefilter("ignore")  # of PyTorch about kinds of tensors that are refused below
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        wanted = re.search(r"(?:GLOBAL|global|class) ([\w.]+)", str(error))
        if wanted is None:
            raise CheckpointError(f"{path} is not a checkpoint of PyTorch: {_line(error)}") from error
        raise CheckpointError(
            f"{path} is refused: its pickle wants to run code ({wanted[1][:80]}). Only tensors and plain values are read."
        ) from error
    except Exception as error:  # whatever a damaged pickle makes of PyTorch's reader
        raise CheckpointError(f"{path} is not a checkpoint of PyTorch: {_line(error)}") from error
    state = content
    for key in ("state_dict", "model"):
        if isinstance(content, dict) and not isinstance(content.get(key), (torch.Tensor, type(None))):
            state = content[key]
            break
    _check_state(path, state)
    facts = {k: v for k, v in content.items() if isinstance(k, str) and isinstance(v, (str, int, float))}
    largest = max(pathlib.Path(path).stat().st_size, 2**16)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {
            name: _array(path, name, value, largest) for name, value in state.items()
        }, facts if state is not content else {}


def _numpy_scalars() -> list[Any]:
    """What numpy numbers in a checkpoint are made of; PyTorch refuses them by default. Old files know numpy's old names."""
    scalar = np._core.multiarray.scalar
    dtypes = [type(np.dtype(name)) for name in ("float32", "float64", "int32", "int64")]
    return [scalar, (scalar, "numpy.core.multiarray.scalar"), np.dtype, *dtypes, _codecs.encode]


def _check_archive(path: str | os.PathLike) -> None:
    """Refuse an archive that grows when it is opened: PyTorch stores what it writes as it is."""
    if not zipfile.is_zipfile(path):
        return
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, RuntimeError) as error:
        raise CheckpointError(f"{path} is not a checkpoint of PyTorch: {_line(error)}") from error
    grows = any(entry.compress_type != zipfile.ZIP_STORED for entry in entries)
    if grows or sum(entry.file_size for entry in entries) > pathlib.Path(path).stat().st_size:
        raise CheckpointError(f"{path} is not a checkpoint of PyTorch: its entries are compressed or larger than the file.")
    if len(entries) > _MOST_ENTRIES or any(e.filename.endswith(".pkl") and e.file_size > _LARGEST_PICKLE for e in entries):
        raise CheckpointError(f"{path} is refused: it has more than {_MOST_ENTRIES} entries or a pickle beyond 64 MB.")


def _check_state(path: str | os.PathLike, state: object) -> None:
    """Refuse what is no state dict."""
    import torch

    if not isinstance(state, dict):
        raise CheckpointError(
            f"{path} must hold a state dict of tensors, alone or as `state_dict` or `model`. Received: {type(state).__name__}."
        )
    if not state:
        raise CheckpointError(f"{path} must hold a state dict of tensors. Received: an empty one.")
    if len(state) > _MOST_TENSORS:
        raise CheckpointError(f"{path} must hold at most {_MOST_TENSORS} tensors. Received: {len(state)}.")
    for name, value in state.items():
        if not isinstance(name, str) or len(name) > _LONGEST_NAME:
            shown = repr(name) if len(repr(name)) < 80 else f"{repr(name)[:80]}..."
            raise CheckpointError(f"{path} must hold a state dict whose keys are names of tensors. Received: {shown}.")
        if not isinstance(value, torch.Tensor):
            raise CheckpointError(
                f"{path} must hold a state dict of tensors, alone or as `state_dict` or `model`. "
                f"Received: {name!r} is of type {type(value).__name__}."
            )


def _array(path: str | os.PathLike, name: str, value: torch.Tensor, largest: int) -> np.ndarray:
    """A tensor as an array of finite numbers."""
    import torch

    kind = None
    if value.is_quantized:
        kind = "quantized"
    elif value.is_nested or value.layout != torch.strided:
        kind = "sparse"
    elif value.device.type != "cpu":
        kind = "without values"
    elif value.is_complex():
        kind = "complex"
    elif value.numel() * value.element_size() > largest:
        kind = "larger than the file"
    if kind:
        raise CheckpointError(f"{path} cannot be used: the tensor {name} is {kind}; save it as an ordinary dense tensor.")
    value = value.detach()
    try:
        array = (value.float() if value.is_floating_point() and value.element_size() < 4 else value).resolve_neg().numpy()
    except (RuntimeError, TypeError) as error:
        raise CheckpointError(f"{path} cannot be used: the tensor {name}: {_line(error)}") from error
    if not np.isfinite(array).all():
        raise CheckpointError(f"{path} cannot be used: the tensor {name} holds values that are not finite.")
    return array


def _line(error: Exception) -> str:
    """The first sentence of an error, ended by a full stop."""
    text = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return text[:200].rstrip(".") + "."


def read_checkpoint_of(path: str | os.PathLike, arch: str, prefix: str = "") -> dict[str, np.ndarray]:
    """Tensors of a `.pth.tar` checkpoint that says its architecture.

    Args:
        path: file.
        arch: the architecture it must be of.
        prefix: what may be left out of the name.

    Raises:
        CheckpointError: unreadable, refused, or of another architecture.
    """
    tensors, facts = read_torch(path)
    said = str(facts.get("arch", arch))
    if said.removeprefix(prefix) != arch.removeprefix(prefix):
        raise CheckpointError(f"{path} is a checkpoint of {said[:80]}. Received: arch={arch}.")
    return tensors


def without_prefix(tensors: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The tensors as arrays by the network's own names: the data-parallel prefix comes off when all have it.

    Raises:
        ValueError: no tensors, or names that are no texts.
    """
    wrong = [name for name in tensors if not isinstance(name, str)]
    if wrong or not tensors:
        raise ValueError(
            f"`tensors` must be a mapping of names to arrays. Received: {f'the key {wrong[0]!r}' if wrong else 'none'}."
        )
    start = len("module.") if all(name.startswith("module.") for name in tensors) else 0
    return {name[start:]: np.asarray(value) for name, value in tensors.items()}


def first_size(tensors: Mapping[str, np.ndarray], name: str, otherwise: int) -> int:
    """How many entries a tensor has along its first axis, such as classes; `otherwise` where there is no such tensor."""
    value = tensors.get(name)
    return otherwise if value is None or not np.ndim(value) or not len(value) else len(value)


def branches(tensors: Iterable[str]) -> int:
    """Number of branches: of private batch norms per layer."""
    found = {int(number) for name in tensors for number in re.findall(r"\.bn_([0-9]{1,4})\.", name)}
    return max(found, default=-1) + 1


def checked_sizes(sizes: Sequence[int] | None, count: int) -> list[int]:
    """The list of sizes, one per branch.

    Raises:
        ValueError: another number of them, no distinct positive whole numbers, or no branches at all.
    """
    if not count:
        raise ValueError("The checkpoint is of another network: it has no branches (.bn_0. and further).")
    sizes = list(SIZES if sizes is None and count == len(SIZES) else sizes or [])
    if len(sizes) != count:
        raise ValueError(f"`sizes` must be {count} resolutions, one per branch of the checkpoint. Received: sizes={sizes}.")
    whole = all(isinstance(size, int) and not isinstance(size, bool) and size > 0 for size in sizes)
    if not whole or len(set(sizes)) < len(sizes):
        raise ValueError(f"`sizes` must be distinct positive whole numbers. Received: sizes={sizes}.")
    return sizes


def laid_out(value: np.ndarray, depthwise: bool = False) -> np.ndarray:
    """A PyTorch tensor in TensorFlow's layout."""
    if value.ndim == 4:
        return value.transpose((2, 3, 0, 1) if depthwise else (2, 3, 1, 0))
    return value.T if value.ndim == 2 else value
