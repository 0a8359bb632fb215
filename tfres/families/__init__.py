"""The families of networks, by name; nothing else lists them."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

from tfres.errors import RecipeError
from tfres.families import mutualnet, ranet, rsnet, san, scalenas
from tfres.families.family import Family

if TYPE_CHECKING:
    from tfres.models.network import Network

_FAMILIES = (rsnet.FAMILY, san.FAMILY, mutualnet.FAMILY, ranet.FAMILY, scalenas.FAMILY)
FAMILIES: dict[str, Family] = {family.name: family for family in _FAMILIES}

__all__ = ["FAMILIES", "Family", "architectures", "find", "from_preset"]


def architectures() -> list[str]:
    """Names of all architectures."""
    return [name for family in FAMILIES.values() for name in family.presets]


def find(arch: str) -> Family:
    """The family of an architecture.

    Raises:
        RecipeError: unknown name (the nearest is named).
    """
    for family in FAMILIES.values():
        if arch in family.presets:
            return family
    known = architectures()
    near = difflib.get_close_matches(str(arch), known, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise RecipeError(f"`arch` must be one of {', '.join(known)}. Received: arch={arch!r}.{hint}")


def from_preset(arch: str, dtype: Any = None, **overrides: Any) -> Network:
    """The built network of an architecture, weights random.

    Args:
        arch: name, such as "resnet50".
        dtype: a Keras dtype policy.
        overrides: constructor arguments, which win over the preset's.

    Raises:
        RecipeError (a ValueError): unknown name or argument, or a value that is not allowed.
    """
    family = find(arch)
    network = family.network_class()(dtype=dtype, **{**family.presets[arch], **overrides})
    network.build()
    return network
