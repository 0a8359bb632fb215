"""Strict assignment of named tensors to variables, used by every converter and by `--load`."""

import numpy as np

_SHOWN = 8


def assign_exactly(pairs, tensors, optional=(), ignore=lambda name: False):
    """Set every variable from the tensor of its name; nothing may be missing, left over or of another shape.

    Args:
        pairs: mapping of tensor name to variable.
        tensors: mapping of tensor name to array.
        optional: names of pairs that may be missing; those variables keep their values.
        ignore: predicate of names in `tensors` that are known not to belong to the network.

    Raises:
        ValueError: names the missing and the left-over tensors or the shapes that differ; nothing is assigned.
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
    for name, value in values.items():
        pairs[name].assign(value)


def _names(names):
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return (", ".join(map(str, names[:_SHOWN])) + more) or "none"
