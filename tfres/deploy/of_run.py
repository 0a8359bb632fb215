"""A run as an export: its network, names, table and notes, in any form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tfres.deploy.card import about_run
from tfres.deploy.forms import check_options, export
from tfres.deploy.signatures import chosen_settings
from tfres.deploy.snap import is_low_bit, snapped_table
from tfres.deploy.versions import version_parent
from tfres.evaluation.opened import open_run
from tfres.evaluation.requests import chosen_settings as settings_of_sizes
from tfres.families.networks import load_network, read_run_recipe
from tfres.run import Run
from tfres.settings import Setting
from tfres.tasks import find_task

if TYPE_CHECKING:
    import os
    import pathlib
    from collections.abc import Hashable, Sequence

    import numpy as np

    from tfres.evaluation.opened import OpenedRun

_PICTURES = 128  # that ranges are found with


def export_run(
    path: str | os.PathLike,
    out: str | os.PathLike,
    name: str | None = None,
    sizes: Sequence[int] | None = None,
    settings: Sequence[Setting | str | int] | None = None,
    form: str = "shared",
    precision: str | None = None,
    packed: bool = False,
) -> pathlib.Path:
    """Write the next version of a run's network.

    Where a form changes the network, its table is that of what is exported: of a low-bit run in int8 that of the snapped
    network, which is measured unless the run has it. This and "int8-full", whose ranges are found on 128 training pictures,
    need the run's data.

    Args:
        path: of the run.
        out, settings, form, precision, packed: see `tfres.deploy.forms.export`.
        name: of the model; None for the run's.
        sizes: resolutions in place of `settings`.

    Returns:
        path of the version.

    Raises:
        ExportError: see `export`. RecipeError: sizes that the network does not have. RunError, CheckpointError: see
            `load_network`. DataError: the run's data is needed and cannot be read. ValueError: unknown setting.
    """
    check_options(form, precision, packed)
    run = Run(path)
    version_parent(out, name or run.name)
    recipe, network, facts = read_run_recipe(run), load_network(run), run.facts()
    if sizes is not None:
        settings = settings_of_sizes(network, sizes, None)
    chosen = chosen_settings(network, settings)
    task = find_task(recipe.task).task(recipe.data, facts["classes"], recipe.model.classes)
    options: dict[str, Any] = {"table": run.read_table() if run.table.exists() else None}
    if precision == "int8" and is_low_bit(network):
        options["table"] = snapped_table(open_run(path))
    if precision == "int8-full" and not is_low_bit(network):
        options["calibration"] = _pictures(open_run(path), chosen)
    options |= {"classes": facts["classes"], "about": about_run(run.name, recipe, facts), "settings": settings}
    return export(network, task, out, name or run.name, form, precision, packed, **options)


def _pictures(opened: OpenedRun, settings: Sequence[Setting]) -> list[dict[Hashable, np.ndarray]]:
    """Training pictures as evaluation cuts them for every size, one by one."""
    sizes = {*map(opened.network.size, settings)}
    found = opened.task.evaluation_batches(opened.source, [*sizes], split="train", seed=opened.recipe.training.seed)
    with opened.task.explained(opened.source):
        batches = [batch["images"] for batch in found.unbatch().take(_PICTURES).batch(1).as_numpy_iterator()]
    names = {size: size if size in batches[0] else str(Setting.parse(size)) for size in sizes}  # pairs may stand as texts
    return [{size: images[name] for size, name in names.items()} for images in batches]
