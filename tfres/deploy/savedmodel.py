"""A network as a TF Serving model: one signature per setting, weights once, the table as an asset."""

from __future__ import annotations

import pathlib
import tempfile
from typing import TYPE_CHECKING

import tensorflow as tf

from tfres import table as tables
from tfres.deploy import card, exits, signatures
from tfres.deploy.forms import SAVED_FORMS
from tfres.deploy.runtime.files import CARD, CLASSES, POLICY, TABLE, WARMUP, check_classes, seal
from tfres.deploy.versions import add_version, version_parent
from tfres.deploy.warmup import write_warmup
from tfres.errors import ExportError, first_line
from tfres.files import write_json, write_text
from tfres.models.exit_ways import COMPACTIONS

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from tfres.models.network import Network
    from tfres.settings import Setting
    from tfres.tasks import Task


def export_savedmodel(
    network: Network,
    task: Task,
    out: str | os.PathLike,
    name: str,
    classes: Sequence[str] | None = None,
    table: dict | None = None,
    settings: Sequence[Setting | str | int] | None = None,
    form: str = "shared",
    compact: str = "every",
    packed: bool = False,
    about: Mapping[str, str] | None = None,
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

    Assets: `table.json`, `classes.json`, with `serve_adaptive` also `policy.json`, its default. `README.md` is the model card
    of `tfres.deploy.card`. In `assets.extra/` are `tf_serving_warmup_requests`, by which TF Serving runs every signature once
    before it answers, and `files.json`, the digests of all files.

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
        compact: after which exits `serve_adaptive` gathers the pictures that stay into a smaller batch: "every", "borders" or
            "never" (see `tfres.models.exit_ways.Ways.leaving`).
        packed: store low-bit kernels at their bits and unpack them once, when the export is loaded.
        about: what the model card says beside what is known here, by heading, such as {"Data": "...", "Licence": "..."}.

    Returns:
        path of the version.

    Raises:
        ExportError: a form, name, folder, table, classes or notes that cannot be used, policies in the table that are not for
            the network, or a network whose kernels cannot be packed. ValueError: unknown setting, or a network that has no
            plain form. OSError: no room, or the like; nothing is left then.
    """
    if form not in SAVED_FORMS:
        raise ExportError(f"`form` must be one of {', '.join(SAVED_FORMS)}. Received: form={form!r}.")
    if compact not in COMPACTIONS:
        raise ExportError(f"`compact` must be one of {', '.join(COMPACTIONS)}. Received: compact={compact!r}.")
    parent = version_parent(out, name)
    chosen = signatures.chosen_settings(network, settings)
    if table is not None:
        tables.check(table)
        tables.check_form(table)
    names = None if classes is None else check_classes(classes)
    shared, whole, policy = form == "shared", settings is None, None
    root, notes = tf.Module(), card.check_about(about)
    if "exit" in network.axes:
        if packed:
            raise ExportError(
                "`packed` must be False for a network with exits, whose export holds all weights as constants of its graphs. "
                f"Received: packed={packed}."
            )
        default, table = exits.default_policy(network, table), exits.completed(table, network)
        policy = default if shared and whole and len(chosen) > 1 else None
        made = exits.signatures(network, task, chosen, shared, policy, compact)
    else:
        made, root.networks = signatures.signatures(network, task, chosen, shared, whole, packed)
    assets = {TABLE: table, CLASSES: names, POLICY: policy and policy.to_dict()}
    sizes = {f"serve_{setting}": network.input_size(setting) for setting in chosen}
    largest = network.input_size(chosen[0])
    stored = f"{form}, low-bit kernels packed" if packed else form
    interfaces = {key: signatures.interface(traced) for key, traced in made.items()}
    text = card.card(card.SAVED_MODEL, name, network, task, chosen, interfaces, stored, names, table, notes)

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
                raise OSError(first_line(error)) from None
        write_warmup(folder, folder / WARMUP, name, lambda signature: sizes.get(signature, largest))
        write_text(folder / CARD, text)
        seal(folder)

    return add_version(parent, write)
