"""All architectures by name, whatever their family."""

import difflib

from tfres.models import mutualnet, rsnet, san

FAMILIES = {
    "rsnet": (rsnet.RSNet, rsnet.PRESETS),
    "san": (san.SAN, san.PRESETS),
    "mutualnet": (mutualnet.MutualNet, mutualnet.PRESETS),
}


def find(name):
    """The family, class and constructor arguments of an architecture.

    Returns:
        `(key of FAMILIES, class, dict)`.

    Raises:
        ValueError: unknown name (the nearest is named).
    """
    for family, (kind, presets) in FAMILIES.items():
        if name in presets:
            return family, kind, presets[name]
    known = [known for _, presets in FAMILIES.values() for known in presets]
    near = difflib.get_close_matches(str(name), known, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"`arch` must be one of {', '.join(known)}. Received: arch={name!r}.{hint}")


def from_preset(name, **overrides):
    """The network of that name, weights random; `overrides` are arguments of its class and win over the preset's.

    Raises:
        ValueError: unknown name.
    """
    _, kind, preset = find(name)
    return kind(**{**preset, **overrides})
