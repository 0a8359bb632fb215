"""Checkpoints of the reference implementations as networks of ours."""

from __future__ import annotations

import difflib
import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import types
    from collections.abc import Mapping

    import tensorflow as tf

FAMILIES = ("rsnet", "rsnet_quant", "san", "mutualnet", "ranet", "scalenas")

__all__ = ["FAMILIES", "from_reference", "load_family", "names"]


def from_reference(family: str, arch: str, tensors: Mapping[str, Any], **options: Any) -> tf.keras.Model:
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
        ValueError: unknown family or architecture; tensors missing, left over, of another shape or not finite (named).
    """
    return load_family(family).convert(arch, tensors, **options)


def names(family: str, arch: str, **options: Any) -> dict[str, str]:
    """How the authors call what our network calls otherwise: our variable's name -> the name in their checkpoints.

    Every family's module has `names(arch, **options)` with the options of its `convert`; tensors are not needed. Where the
    authors keep one tensor for several of our variables, its name stands more than once.

    Args:
        family: one of `FAMILIES`.
        arch: the reference's name of the network.
        options: see the family's module.

    Raises:
        ValueError: unknown family or architecture, or options that do not fit.

    Example:
        >>> names("rsnet", "parallel_resnet18", sizes=[224, 96])["backbone/conv0/kernel"]
        'conv1.module.weight'
    """
    return load_family(family).names(arch, **options)


def load_family(family: str) -> types.ModuleType:
    """The module of a reference family.

    It has `convert(arch, tensors, **options)`, `names(arch, **options)`, `OPTIONS` (their names), `FAMILY` (the family of our
    networks), `read(path, arch)` (a checkpoint file's tensors) and `recipe(arch, config)` (the reference's preprocessing as
    a `Recipe`).

    Raises:
        ValueError: unknown (the nearest is named).
    """
    if family not in FAMILIES:
        near = difflib.get_close_matches(str(family), FAMILIES, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"`family` must be one of {', '.join(FAMILIES)}. Received: family={family!r}.{hint}")
    return importlib.import_module(f"tfres.convert.{family}")
