"""A network as one `.tflite` file: a signature per setting, weights once, table and names inside."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tfres import table as tables
from tfres.deploy import exits
from tfres.deploy.litert.convert import PRECISIONS, convert
from tfres.deploy.litert.graphs import Constants
from tfres.deploy.litert.signatures import graphs_of_exits, graphs_of_settings
from tfres.deploy.runtime.attached import CLASSES, POLICY, TABLE, attach
from tfres.deploy.runtime.files import check_classes
from tfres.deploy.signatures import chosen_settings, only_resolutions
from tfres.deploy.versions import add_version, version_parent
from tfres.errors import ExportError

if TYPE_CHECKING:
    import os
    import pathlib
    from collections.abc import Sequence

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
) -> pathlib.Path:
    """Write `out/<name>/<version>.tflite`, the next free version, whole or not at all.

    Signatures; each takes `images`, uint8 RGB `(batch, height, width, 3)`, and returns what the task answers, with the names
    of `export_savedmodel`:
    `serve_<setting>`: pictures of any size, brought to the setting's resolution by the run's resizing rule.
    `serve_any`: square pictures of any side from the smallest to the largest setting's, run at their own side with norms
        between those of the neighbouring settings (beyond the ends the nearest's). There with all of several settings that
        differ in nothing but the resolution, where all have the same kernels.
    `serve_stage<exit>`: of a network with exits, all of which are exported: from `images`, or the `state_<n>` that the stage
        before gave, to the answer at that exit and the state for the next stage.

    Kernels that settings have in common are stored once; see `norms`. What a setting changes in a kernel (its width, kernels
    that are generated) is stored per setting. A batch must not be empty.

    A zip behind the model holds `table.json`, `classes.json`, of a network with exits `policy.json`, and `seal.json`, the
    digests of all.

    Args:
        network, task, out, name, classes, table: see `export_savedmodel`.
        settings: those that are exported; None for all.
        precision: of the weights: "float" (float32), "float16" or "int8", which also computes in integers: activations are
            quantized at run time by their own ranges.

    Returns:
        path of the file.

    Raises:
        ExportError: a precision, name, folder, table or classes that cannot be used, policies in the table that are not for
            the network, or a network that LiteRT cannot express. ValueError: unknown setting. OSError: no room, or the like;
            nothing is left then.
    """
    if precision not in PRECISIONS:
        raise ExportError(f"`precision` must be one of {', '.join(PRECISIONS)}. Received: precision={precision!r}.")
    parent = version_parent(out, name)
    chosen = chosen_settings(network, settings)
    if table is not None:
        tables.check(table)
    names = None if classes is None else check_classes(classes)
    several, policy, constants = settings is None and len(chosen) > 1, None, Constants()
    plain = _in_float32(network)
    if "exit" in network.axes:
        policy = exits.default_policy(network, table) if several else None
        table = exits.completed(table, network)
        graphs = graphs_of_exits(plain, task, chosen, several, constants)
    else:
        any_side = several and only_resolutions(chosen) and network.continuous
        graphs = graphs_of_settings(plain, task, chosen, any_side, constants)
    content = convert(graphs, constants, precision)
    content = attach(content, {TABLE: table, CLASSES: names, POLICY: policy and policy.to_dict()})
    return add_version(parent, lambda path: path.write_bytes(content), ".tflite")


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
