"""Low-bit networks on the integer grid: what int8 runtimes compute exactly, evaluated as what it is.

A low-bit network has few levels, at learned places; a runtime's int8 kernels and uint8 activations have equal steps. `snap`
moves the levels to the nearest step (see `quant.grid`), so that a runtime's integers are exact for the network that it gives.
That is another network than the trained one, by a little: its accuracy is measured, and rows of tables say whose it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tfres.errors import ExportError
from tfres.evaluation.measuring import Form, measure
from tfres.layers.serving import served_form

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import tensorflow as tf

    from tfres.evaluation.opened import OpenedRun
    from tfres.models.network import Network
    from tfres.models.served import ServedNetwork

NAME = "snapped"  # in the field `form` of rows


def snap(network: Network, form: Callable[..., tf.keras.layers.Layer] = served_form) -> ServedNetwork:
    """The served form of a low-bit network, with its kernels and levels on the integer grid.

    Kernels of low-bit layers are codes from -127 to 127 times one float per output channel, levels of activations codes from 0
    to 255 times one float per quantizer (and setting, where these have levels of their own). Thresholds, and layers without
    bits, are those of the network. The network is not changed.

    Args:
        network: built; the plain one of a setting (`Network.materialize`) where settings have kernels of other widths, whose
            largest values are then their own; else also a whole one.
        form: of the layers, see `Network.served`.

    Raises:
        ExportError: it has neither kernels nor activations of few bits.
    """
    served = network.served(form)
    if not served.snap():
        raise ExportError("`network` must have weights or activations of 1 to 8 bits. Received: a float network.")
    return served


SNAPPED = Form(NAME, snap)


def measure_snapped(opened: OpenedRun, settings: Iterable[Any] | None = None) -> dict[str, Any]:
    """The table of a run whose figures of merit are those of its snapped network; every row says so (`form`: "snapped").

    Args:
        opened: of `open_run`.
        settings: which; None for all.

    Raises:
        ExportError: a float network. ValueError: see `measure`.
    """
    return measure(opened, settings, form=SNAPPED)
