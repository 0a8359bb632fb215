"""Plots as files."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

from tfres.files import atomic_path


@contextlib.contextmanager
def plotted(path: str | os.PathLike, *shape: int, **options: Any) -> Iterator[Any]:
    """Axes of a new figure, which becomes the PNG `path` when the block ends well.

    Args:
        path: of the PNG, written whole or not at all.
        shape, options: of `pyplot.subplots`.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(*shape, dpi=150, **options)
    try:
        yield axes
        figure.tight_layout()
        with atomic_path(path) as temporary:
            figure.savefig(temporary, format="png")
    finally:
        pyplot.close(figure)
