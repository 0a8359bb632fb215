"""At which setting a network runs: the one value that every layer is called with."""

from __future__ import annotations

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True, eq=False)
class At:
    """What the layers of a switchable network need to know about one call: `layer(x, at=At(...), training=...)`.

    A layer reads the fields that concern it. No `At`, or one without any field, means the only setting there is, and for
    layers of several widths all channels.

    Args:
        setting: the setting, a static value; `str(setting)` is the name of its statistics ("r32", "w0.5").
        width_mult: scalar float tensor, the width of a training pass inside one traced graph. It takes the place of the
            setting's width; statistics are then those of the batch and are not kept.
        index: number of the setting in a served network, an integer or scalar integer tensor.
        shares: float tensor `(settings,)`, how much of each setting of a served network; see `quant.stacked.pick`.
        mask: bool tensor, which parts of a supernet run in a training pass inside one traced graph.
    """

    setting: Any = None
    width_mult: Any = None
    index: Any = None
    shares: Any = None
    mask: Any = None

    @property
    def empty(self) -> bool:
        """Whether nothing is said."""
        return all(value is None for value in (self.setting, self.width_mult, self.index, self.shares, self.mask))


def checked_at(at: At | None) -> At:
    """`at` itself, or an empty one for None.

    Raises:
        ValueError: it is something else.
    """
    if at is None:
        return At()
    if not isinstance(at, At):
        raise ValueError(f"`at` must be a quant.At or None. Received: at={at!r}.")
    return at
