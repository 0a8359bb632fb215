"""A network as a TF Serving model: one signature per setting, weights once, the table as an asset."""

from __future__ import annotations

import pathlib
import tempfile
from typing import TYPE_CHECKING

import tensorflow as tf

from tfres import table as tables
from tfres.deploy import exits, signatures
from tfres.deploy.runtime.files import CLASSES, POLICY, TABLE, check_classes, seal
from tfres.deploy.versions import add_version, version_parent
from tfres.errors import ExportError
from tfres.files import write_json

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from tfres.models.network import Network
    from tfres.settings import Setting
    from tfres.tasks import Task

FORMS = ("shared", "separate")


def export_savedmodel(
    network: Network,
    task: Task,
    out: str | os.PathLike,
    name: str,
    classes: Sequence[str] | None = None,
    table: dict | None = None,
    settings: Sequence[Setting | str | int] | None = None,
    form: str = "shared",
) -> pathlib.Path:
    """Write `out/<name>/<version>/`, the next free version, whole or not at all.

    Signatures; each returns what the task answers (a classifier `logits` and `probabilities` `(batch, classes)` and `class`
    int64 `(batch,)`), one entry per picture, none for an empty batch:
    `serve_<setting>`: uint8 RGB `(batch, height, width, 3)` pictures that are brought to the setting's resolution by the run's
        resizing rule.
    `serve_any`: the same, but square and of any side from the smallest to the largest setting's; run at their own side with
        norms (and a SAN's kernels) between those of the neighbouring settings. There with form "shared" and all of several
        settings that differ in nothing but the resolution.
    `serve_encoded`: `(batch,)` JPEG or PNG bytes, cut as in evaluation and run at the largest setting.
    `serving_default`: as the largest setting's.

    A network with exits has these too, with form "shared" and, but for `serve_all`, all exits:
    `serve_all`: the answers of all exits, `(batch, exits, ...)`.
    `serve_adaptive`: every picture leaves at the first exit whose score reaches the threshold, and what only others need is
        not computed for it. Inputs `images`, `thresholds` float32 `(exits - 1,)` (inf where nobody leaves), `temperatures`
        float32 `(exits,)`, `score` ("margin", "probability", "entropy"; see `tfres.policies.Policy`). TF Serving takes those
        of the table's policy with the best score for what a request leaves out (without a policy nobody leaves early). Gives
        `exit` int32 and `score` float32, both `(batch,)`, too.
    `serve_stage<exit>`: from `images`, or the `state_<n>` that the stage before gave, to the answer at that exit and the state
        for the next stage.

    Pictures without a pixel and those that `serve_any` does not take are an `InvalidArgumentError` that says what is allowed;
    arrays of another type or rank are refused by TensorFlow.

    Assets: `table.json`, `classes.json`, with `serve_adaptive` also `policy.json`, its default. `assets.extra/files.json` has
    the digests of all files.

    Args:
        network: built.
        task: what its outputs mean: cuts, resizes and normalises pictures, makes the answer.
        out: folder.
        name: of the model, one component of a path.
        classes: names of the classes, or None.
        table: query table, or None.
        settings: those that are exported; None for all.
        form: "shared", one network that serves all settings (a SAN generates its kernels per call), or "separate", a plain
            network per setting with fixed kernels (see `Network.materialize`), which stores kernels once per setting.

    Returns:
        path of the version.

    Raises:
        ExportError: a form, name, folder, table or classes that cannot be used, or policies in the table that are not for the
            network. ValueError: unknown setting, or a network that has no plain form. OSError: no room, or the like; nothing
            is left then.
    """
    if form not in FORMS:
        raise ExportError(f"`form` must be one of {', '.join(FORMS)}. Received: form={form!r}.")
    parent = version_parent(out, name)
    chosen = signatures.chosen_settings(network, settings)
    if table is not None:
        tables.check(table)
    names = None if classes is None else check_classes(classes)
    shared, whole, policy = form == "shared", settings is None, None
    root = tf.Module()
    if "exit" in network.axes:
        default, table = exits.default_policy(network, table), exits.completed(table, network)
        policy = default if shared and whole and len(chosen) > 1 else None
        made = exits.signatures(network, task, chosen, shared, policy)
    else:
        made, root.networks = signatures.signatures(network, task, chosen, shared, whole)
    assets = {TABLE: table, CLASSES: names, POLICY: policy and policy.to_dict()}

    def write(folder: pathlib.Path) -> None:
        with tempfile.TemporaryDirectory(dir=folder.parent) as beside:
            root.assets = []
            for asset, content in assets.items():
                if content is not None:
                    place = pathlib.Path(beside) / pathlib.Path(asset).name
                    write_json(place, content)
                    root.assets.append(tf.saved_model.Asset(str(place)))
            try:
                tf.saved_model.save(root, str(folder), made)
            except tf.errors.OpError as error:
                raise OSError(error.message.splitlines()[0]) from None
        seal(folder)

    return add_version(parent, write)
