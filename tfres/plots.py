"""Plots as files."""

import contextlib

from tfres.files import atomic_path


@contextlib.contextmanager
def plotted(path, *shape, **options):
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
