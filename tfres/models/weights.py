"""Weights by name: read off a network, assigned to one."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np

from tfres.errors import CheckpointError
from tfres.run import checkpoints

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    import tensorflow as tf

_SHOWN = 8


def variable_name(variable: tf.Variable) -> str:
    """Name of a variable without the number of its output."""
    return variable.name.removesuffix(":0")


def weights_by_name(model: tf.Module) -> dict[str, np.ndarray]:
    """All weights of a model as arrays by name."""
    return {variable_name(variable): variable.numpy() for variable in model.weights}


def fingerprint(weights: Mapping[str, np.ndarray]) -> str:
    """Digest (hexadecimal SHA-256) of weights by name, by which policies and exports know their network."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        value = np.ascontiguousarray(weights[name])
        digest.update(f"{name} {value.dtype} {value.shape}\n".encode())
        digest.update(value.tobytes())
    return digest.hexdigest()


def fingerprint_of(model: tf.Module, form: str | None = None) -> str:
    """The `fingerprint` of a model's weights, or that of a form of the model which changes them, such as "snapped"."""
    found = fingerprint(weights_by_name(model))
    return found if form is None else hashlib.sha256(f"{found} {form}".encode()).hexdigest()


def load_weights(model: tf.Module, prefix: str, more: Callable[[str], bool] = lambda name: False) -> None:
    """Set all weights of a model from a checkpoint of ours; where it holds moving averages, those.

    The optimizer's buffers in it are not used.

    Args:
        model: built.
        prefix: of the checkpoint.
        more: predicate of names that the checkpoint may hold beside the model's, such as those of a supernet.

    Raises:
        CheckpointError: unreadable, or of another network (names the tensors).
    """
    pairs = {variable_name(variable): variable for variable in model.weights}
    tensors = checkpoints.read_checkpoint(prefix)
    averages = {name: tensors.pop(name) for name in list(tensors) if name.endswith(checkpoints.AVERAGE)}
    tensors.update({name.removesuffix(checkpoints.AVERAGE): value for name, value in averages.items()})
    try:
        assign_exactly(pairs, tensors, ignore=lambda name: checkpoints.is_training_state(name) or more(name))
    except ValueError as error:
        raise CheckpointError(f"{prefix}: {error}") from error


def assign_exactly(
    pairs: Mapping[str, tf.Variable],
    tensors: Mapping[str, Any],
    optional: Collection[str] = (),
    ignore: Callable[[str], object] = lambda name: False,
) -> None:
    """Set every variable from the tensor of its name; nothing may be missing, left over, of another shape or no number.

    Args:
        pairs: mapping of tensor name to variable.
        tensors: mapping of tensor name to array.
        optional: names of pairs that may be missing; those variables keep their values.
        ignore: predicate of names in `tensors` that are known not to belong to the network.

    Raises:
        ValueError: names the missing and the left-over tensors, the shapes that differ or what holds no finite numbers;
            nothing is assigned.
    """
    missing = [name for name in pairs if name not in tensors and name not in optional]
    left_over = [name for name in tensors if name not in pairs and not ignore(name)]
    if missing or left_over:
        found = "; ".join(f"{what}: {_names(names)}" for what, names in (("missing", missing), ("left over", left_over)))
        raise ValueError(f"The checkpoint is of another network. Tensors {found}.")
    values = {name: np.asarray(tensors[name]) for name in pairs if name in tensors}
    shapes = [
        f"{name} is {value.shape}, must be {tuple(pairs[name].shape)}"
        for name, value in values.items()
        if value.shape != tuple(pairs[name].shape)
    ]
    if shapes:
        raise ValueError(f"The checkpoint is of another network. Shapes: {_names(shapes)}.")
    cast = {name: _cast(value, pairs[name].dtype.as_numpy_dtype) for name, value in values.items()}
    wrong = [name for name, value in cast.items() if value is None]
    if wrong:
        raise ValueError(f"The checkpoint cannot be used. Tensors that do not hold finite numbers: {_names(wrong)}.")
    for name, value in cast.items():
        pairs[name].assign(value)


def _cast(value: np.ndarray, kind: type) -> np.ndarray | None:
    """The values as numbers of this kind; None where they are not all real and finite."""
    if value.dtype.kind not in "biuf" and value.dtype.name != "bfloat16":
        return None
    with np.errstate(over="ignore", invalid="ignore"):
        value = value.astype(kind, copy=False)
    return value if np.isfinite(value).all() else None


def _names(names: Sequence[object]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return (", ".join(map(str, names[:_SHOWN])) + more) or "none"
