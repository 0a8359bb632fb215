"""Checkpoints of the reference implementations as networks of ours."""

import difflib
import importlib

FAMILIES = ("rsnet", "rsnet_quant", "san", "mutualnet")

__all__ = ["FAMILIES", "from_reference"]


def from_reference(family, arch, tensors, **options):
    """Our network with the weights of a reference checkpoint.

    Args:
        family: one of `FAMILIES`; each has a module here whose `convert(arch, tensors, **options)` documents its
            architectures and options.
        arch: the reference's name of the network, such as "resnet18".
        tensors: mapping of the reference's variable names to numpy arrays in the reference's layout.
        options: see the family's module.

    Returns:
        the built model.

    Raises:
        ValueError: unknown family or architecture; tensors missing, left over or of another shape (named).
    """
    return load_family(family).convert(arch, tensors, **options)


def load_family(family):
    """The module of a family.

    It has `convert(arch, tensors, **options)`, `OPTIONS` (their names), `read(path, arch)` (a checkpoint file's tensors) and
    `recipe(arch, config)` (the reference's preprocessing as a `Recipe`).

    Raises:
        ValueError: unknown (the nearest is named).
    """
    if family not in FAMILIES:
        near = difflib.get_close_matches(str(family), FAMILIES, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"`family` must be one of {', '.join(FAMILIES)}. Received: family={family!r}.{hint}")
    return importlib.import_module(f"tfres.convert.{family}")
