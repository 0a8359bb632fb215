"""What callers of an export give, checked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tfres.deploy.runtime.times import is_positive
from tfres.errors import ExportError
from tfres.settings import Setting

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

MISSES = ("error", "cheapest")


def check_budget(budget_ms: float, on_miss: str) -> None:
    """Refuse a budget that is none, and another way to miss it.

    Raises:
        ValueError: names it.
    """
    if not is_positive(budget_ms):
        raise ValueError(f"`budget_ms` must be a positive number of milliseconds. Received: budget_ms={budget_ms!r}.")
    if on_miss not in MISSES:
        raise ValueError(f"`on_miss` must be one of {', '.join(MISSES)}. Received: on_miss={on_miss!r}.")


def check_alone(on_miss: str, **ways: object) -> None:
    """Refuse two ways to say what a call runs.

    Raises:
        ValueError: names them.
    """
    given = {name: value for name, value in ways.items() if value is not None}
    if len(given) > 1:
        *others, name = given
        received = ", ".join(f"{other}={given[other]}" for other in others)
        raise ValueError(f"Give `{name}` alone. Received: {received}.")
    if on_miss != MISSES[0] and "budget_ms" not in given:
        raise ValueError(f"`on_miss` must come with `budget_ms`. Received: on_miss={on_miss!r} alone.")


def checked_shape(shape: Sequence[int]) -> tuple[int, int, int]:
    """A shape `(batch, height, width)`.

    Raises:
        ValueError: it is none.
    """
    try:
        sides = tuple(int(side) for side in shape)
    except (TypeError, ValueError, OverflowError):
        sides = ()
    if len(sides) != 3 or min(sides) < 1 or sides != tuple(shape):
        raise ValueError(f"`shape` must be (batch, height, width), all positive. Received: shape={shape!r}.")
    return sides


def row_sides(row: dict, place: str) -> tuple[int, int] | None:
    """Height and width of a row's resolution, one side or a pair; None where it has none.

    Raises:
        ExportError: it is something else.
    """
    resolution = row.get("resolution")
    try:
        return resolution and Setting(resolution=tuple(resolution) if isinstance(resolution, list) else resolution).sides
    except ValueError:
        raise ExportError(
            f"`resolution` of the row {row['setting']} in {place} must be a side or a pair of sides in pixels. "
            f"Received: resolution={str(resolution)[:40]!r}."
        ) from None


def checked_pictures(images: ArrayLike) -> np.ndarray:
    """The pictures as an array.

    Raises:
        ValueError: they are none.
    """
    try:
        array = np.asarray(images)
        received = f"{array.dtype.name} {array.shape}"
        fits = array.dtype == np.uint8 and array.ndim == 4 and array.shape[3] == 3 and 0 not in array.shape
    except (TypeError, ValueError, OverflowError):
        received, fits = f"{type(images).__name__} that is no array", False
    if not fits:
        raise ValueError(f"`images` must be uint8 (batch, height, width, 3), no side of them 0. Received: {received}.")
    return array
