"""A network as one `.tflite` file: a signature per setting, weights once, table and names inside."""

from __future__ import annotations

import contextlib
import functools
from typing import TYPE_CHECKING, Any

from tfres import table as tables
from tfres.deploy import card, exits
from tfres.deploy.forms import PRECISIONS
from tfres.deploy.litert.convert import FULL, convert
from tfres.deploy.litert.graphs import Constants
from tfres.deploy.litert.ranges import checked_calibration, feed
from tfres.deploy.litert.signatures import graphs_of_exits, graphs_of_settings
from tfres.deploy.runtime.attached import CARD, CLASSES, POLICY, TABLE, attach
from tfres.deploy.runtime.files import check_classes
from tfres.deploy.signatures import chosen_settings, only_resolutions
from tfres.deploy.snap import NAME as SNAPPED
from tfres.deploy.snap import is_low_bit
from tfres.deploy.versions import add_version, version_parent
from tfres.errors import ExportError
from tfres.layers.multi_resolution_crop import filters_in_codes

if TYPE_CHECKING:
    import os
    import pathlib
    from collections.abc import Iterable, Mapping, Sequence

    from tfres.models.network import Network
    from tfres.settings import Setting
    from tfres.tasks import Task


def export_litert(
    network: Network,
    task: Task,
    out: str | os.PathLike,
    name: str,
    classes: Sequence[str] | None = None,
    table: dict | None = None,
    settings: Sequence[Setting | str | int] | None = None,
    precision: str = "float",
    calibration: Iterable[Any] | None = None,
    about: Mapping[str, str] | None = None,
) -> pathlib.Path:
    """Write `out/<name>/<version>.tflite`, the next free version, whole or not at all.

    Signatures; each takes `images`, uint8 RGB `(batch, height, width, 3)`, and returns what the task answers, with the names
    of `export_savedmodel`:
    `serve_<setting>`: pictures of any size, brought to the setting's resolution by the run's resizing rule.
    `serve_any`: square pictures of any side from the smallest to the largest setting's, run at their own side with norms
        between those of the neighbouring settings (beyond the ends the nearest's). There with all of several settings that
        differ in nothing but the resolution, where all have the same kernels; not in "int8-full", whose ranges are a side's.
    `serve_stage<exit>`: of a network with exits, all of which are exported: from `images`, or the `state_<n>` that the stage
        before gave, to the answer at that exit and the state for the next stage. `serve_pass<exit>`: to the state alone, for
        exits where nobody leaves: the head does not run (but in a cascade).

    Kernels that settings have in common are stored once; see `norms`. What a setting changes in a kernel (its width, kernels
    that are generated) is stored per setting. A batch must not be empty.

    Of a low-bit network "int8" exports the snapped network (`tfres.deploy.snap`), for which integers are exact: the table must
    be its own (`measure_snapped`), policies too.

    A zip behind the model holds the model card `README.md`, `table.json`, `classes.json`, of a network with exits
    `policy.json`, and `seal.json`, the digests of all.

    Args:
        network, task, out, name, classes, table, about: see `export_savedmodel`.
        settings: those that are exported; None for all.
        precision: of the weights: "float" (float32), "float16" (widened when the file is loaded), "int8", which also computes
            in integers: activations are quantized at run time by their own ranges, or "int8-full", with ranges that are found
            on `calibration`, for each signature its own; not for low-bit networks.
        calibration: batches of pictures like those that the network will see, of precision "int8-full": uint8 RGB
            `(batch, height, width, 3)`, or mappings of the sizes of settings (`Network.size`) to such where every size has
            pictures of its own.

    Returns:
        path of the file.

    Raises:
        ExportError: a precision, name, folder, table, classes or calibration that cannot be used, policies in the table that
            are not for the network, or a network that LiteRT cannot express. ValueError: unknown setting, or a table of
            another form of the network. OSError: no room, or the like; nothing is left then.
    """
    if precision not in PRECISIONS:
        raise ExportError(f"`precision` must be one of {', '.join(PRECISIONS)}. Received: precision={precision!r}.")
    parent = version_parent(out, name)
    chosen = chosen_settings(network, settings)
    names, notes = None if classes is None else check_classes(classes), card.check_about(about)
    batches = _calibration(network, chosen, precision, calibration)
    form = SNAPPED if precision == "int8" and is_low_bit(network) else None
    if table is not None:
        tables.check(table)
        tables.check_form(table, form)
    several, policy, constants = settings is None and len(chosen) > 1, None, Constants()
    plain = _in_float32(network)
    with filters_in_codes() if precision == FULL else contextlib.nullcontext():
        if "exit" in network.axes:
            policy = exits.default_policy(network, table, form) if several else None
            table = exits.completed(table, network)
            graphs = graphs_of_exits(plain, task, chosen, several, constants, form == SNAPPED)
        else:
            any_side = several and only_resolutions(chosen) and network.continuous and precision != FULL
            graphs = graphs_of_settings(plain, task, chosen, any_side, constants, form == SNAPPED)
    sizes = {graph.name: network.size(chosen[0]) for graph in graphs}
    sizes |= {f"serve_{setting}": network.size(setting) for setting in chosen}
    content = convert(graphs, constants, precision, functools.partial(feed, graphs, batches, sizes))
    interfaces = {graph.name: graph.interface for graph in graphs}
    stored = precision if form is None else f"{precision} of the {form} network"
    text = card.card(card.LITERT, name, network, task, chosen, interfaces, stored, names, table, notes)
    content = attach(content, {CARD: text, TABLE: table, CLASSES: names, POLICY: policy and policy.to_dict()})
    return add_version(parent, lambda path: path.write_bytes(content), ".tflite")


def _calibration(network: Network, chosen: Sequence[Setting], precision: str, calibration: Any) -> list[Any]:
    """The pictures by which ranges are found; none for precisions without ranges in the file."""
    if precision != FULL:
        if calibration is not None:
            raise ExportError(f"`calibration` is for precision {FULL} only. Received: some with precision {precision}.")
        return []
    if is_low_bit(network):
        raise ExportError(
            f"`precision` must be int8 for a low-bit network in integers: ranges of {FULL} would move its levels. "
            f"Received: precision={precision}."
        )
    return checked_calibration(calibration, dict.fromkeys(map(network.size, chosen)))


def _in_float32(network: Network) -> Network:
    """The network, or a copy that computes in float32, as LiteRT does."""
    if network.compute_dtype == "float32":
        return network
    copy = type(network).from_config({**network.get_config(), "dtype": "float32"})
    copy.build()
    values = {variable.name: variable for variable in network.weights}
    for variable in copy.weights:
        variable.assign(values[variable.name])
    return copy
