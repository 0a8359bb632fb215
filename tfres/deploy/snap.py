"""Low-bit networks on the integer grid: what int8 runtimes compute exactly, evaluated as what it is.

A low-bit network has few levels, at learned places; a runtime's int8 kernels and uint8 activations have equal steps. `snap`
moves the levels to the nearest step (see `quant.grid`), so that a runtime's integers are exact for the network that it gives.
That is another network than the trained one, by a little: its accuracy is measured, and rows of tables say whose it is.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from tfres import table as tables
from tfres.errors import ExportError, RunError
from tfres.evaluation.early_exit.finding import find_policies
from tfres.evaluation.measuring import Form, measure
from tfres.files import read_json, write_json
from tfres.layers.serving import served_form
from tfres.models.weights import fingerprint_of
from tfres.recipe import PolicyOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tfres.evaluation.opened import OpenedRun
    from tfres.models.network import Network
    from tfres.models.served import ServedNetwork

NAME = "snapped"  # in the field `form` of rows
_KEPT = "snapped.json"


def is_low_bit(network: Network) -> bool:
    """Whether a network has kernels or activations of few bits."""
    return network.served().snap()


def snap(network: Network, form: Callable[..., Any] = served_form) -> ServedNetwork:
    """The served form of a low-bit network, with its kernels and levels on the integer grid.

    Kernels of low-bit layers are codes from -127 to 127 times one float per output channel, levels of activations codes from 0
    to 255 times one float per quantizer (and setting, where these have levels of their own). Thresholds, and layers without
    bits, are those of the network. The network is not changed.

    Args:
        network: built; the plain one of a setting (`Network.materialize`) where settings have kernels of other widths, whose
            largest values are then their own; else also a whole one.
        form: of the layers, see `tfres.layers.serving`.

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

    Policies of early exit are searched anew, for the snapped network, where the run has pictures for it: its answers, and
    how sure they are, are not the exact network's.

    Args:
        opened: of `open_run`.
        settings: which; None for all, and policies.

    Raises:
        ExportError: a float network. ValueError: see `measure`.
    """
    table = measure(opened, settings, form=SNAPPED)
    if opened.network.exits and settings is None and opened.source.calibration is not None:
        found = find_policies(opened, PolicyOptions(), repeats=0, form=SNAPPED).rows
        table["rows"] += [{**row, "form": NAME} for row in found]
    return table


def snapped_table(opened: OpenedRun) -> dict[str, Any]:
    """`measure_snapped` of all settings, measured once: kept in the run (`snapped.json`) for these weights, settings and data.

    Raises:
        ExportError: a float network. RunError: what is kept is damaged.
    """
    place, network = opened.run.path / _KEPT, opened.network
    known = [fingerprint_of(network), [*map(str, network.settings)], repr(opened.task.data)]
    mark = hashlib.sha256(json.dumps(known).encode()).hexdigest()
    kept = read_json(place, RunError) if place.exists() else {}
    if kept.get("of") == mark:
        return tables.checked(kept.get("table"), str(place), RunError)
    table = measure_snapped(opened)
    write_json(place, {"of": mark, "table": table})
    return table
