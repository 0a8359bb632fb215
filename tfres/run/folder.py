"""A run's folder and what is in it."""

from __future__ import annotations

import json
import logging
import math
import os
import pathlib
import re
import time
from typing import TYPE_CHECKING, Any

from tfres import table as tables
from tfres.errors import RecipeError, RunError
from tfres.files import read_json, remove_stale_links, replace_link, write_json, write_text
from tfres.run import calibrated, checkpoints, facts, guard
from tfres.yaml_file import dump_yaml, read_yaml

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tfres.settings import Private, Setting

logger = logging.getLogger(__name__)
LATEST = "latest"
# Files of a run beside `run.json`, its marker.
_FILES = (
    "recipe.yaml", "network.json", "metrics.csv", "table.json", "calibrated.npz", "accuracy.png", "sweep.json", "sweep.png",
    "grid.png", "snapped.json", "best.json",
)  # fmt: skip


class Run:
    """A run's folder and what is in it. Nothing is written outside (but the link `latest` beside it).

    `run.json` (the marker: written first, with the format, versions, classes and further facts of the data), `recipe.yaml`
    (resolved), `network.json` (family and options), `checkpoints/`, `metrics.csv`, `tensorboard/`, `table.json`,
    `accuracy.png`, `calibrated.npz`, `sweep.json`, `sweep.png`, `grid.png`, `snapped.json`, `pictures/`, `best/` and
    `best.json`.

    Args:
        path: of the folder, which may not exist yet; of the link `latest`, the folder that it names is meant.

    Raises:
        RunError: a link that leads nowhere.
    """

    def __init__(self, path: str | os.PathLike) -> None:
        self.path = guard.without_link(path)

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.path.resolve().name

    @property
    def checkpoints(self) -> pathlib.Path:
        """Folder of the checkpoints."""
        return self.path / "checkpoints"

    @property
    def best(self) -> pathlib.Path:
        """Folder of the one checkpoint with the best score in validation, where it is kept."""
        return self.path / "best"

    def keep_best(self, step: int, score: float) -> bool:
        """Keep the checkpoint of a step in `best` where no score was higher; tells whether it was.

        Raises:
            CheckpointError: no checkpoint of that step. RunError: a damaged `best.json`.
        """
        place = self.path / "best.json"
        if place.exists() and checkpoints.found(self.best) and not score > read_json(place, RunError).get("score", -math.inf):
            return False
        checkpoints.keep_only(self.best, checkpoints.of_step(self.checkpoints, step))
        write_json(place, {"step": step, "score": score})
        return True

    @property
    def table(self) -> pathlib.Path:
        """The query table."""
        return self.path / "table.json"

    @property
    def plot(self) -> pathlib.Path:
        """The plot of the table."""
        return self.path / "accuracy.png"

    @property
    def pictures(self) -> pathlib.Path:
        """Folder of drawn answers, all PNG."""
        return self.path / "pictures"

    def exists(self) -> bool:
        """Whether a run is here; False for no folder or an empty one.

        Raises:
            RunError: the folder holds something else, or a run of another format (what is there is named).
        """
        if not self.path.exists() or self.path.is_dir() and not guard.content(self.path):
            return False
        facts.read(self.path)
        return True

    def create(self, recipe: Mapping[str, Any], known: Mapping[str, Any]) -> None:
        """Write recipe and facts, point `latest` here. A run that exists must have the same recipe and facts.

        Args:
            recipe: resolved, as nested mappings of plain values.
            known: JSON-able facts of the data, such as `classes`, `steps_per_epoch` and the number of `pictures`.

        Raises:
            RecipeError: the folder holds a run of another recipe (the first difference is named).
            RunError: the data changed since the run began, or the folder holds something that is no run.
        """
        recipe, known = facts.plain(recipe), json.loads(json.dumps(facts.plain(known)))
        if self.exists() and (self.path / "recipe.yaml").exists():
            difference = facts.difference(self.recipe(), recipe)
            if difference:
                raise RecipeError(
                    f"{self.path} holds a run of another recipe ({difference}). Name another folder with --run, or "
                    "start over with --action delete."
                )
            facts.compare(self.path, known)
        else:  # nothing yet, or what a program that was killed here left
            if checkpoints.found(self.checkpoints):
                raise RunError(f"{self.path} has checkpoints but no recipe.yaml: put it back, or use --action backup.")
            facts.write(self.path, known)
            write_text(self.path / "recipe.yaml", dump_yaml(recipe))
        if self._whole.name not in ("", LATEST) and (self._link.is_symlink() or not self._link.exists()):
            replace_link(self._link, self._whole.name)

    def facts(self) -> dict[str, Any]:
        """What `create` was given, with versions.

        Raises:
            RunError: no run here, of another format, or a damaged file.
        """
        return facts.read(self.path)

    def fact(self, name: str) -> Any:
        """One of the facts.

        Raises:
            RunError: see `facts`; or it was not recorded, as for a converted run.
        """
        known = self.facts()
        if name not in known:
            raise RunError(f"{self.path / 'run.json'} must have `{name}`; a run that was converted, not trained, has none.")
        return known[name]

    def recipe(self) -> dict[str, Any]:
        """The resolved recipe, as nested mappings.

        Raises:
            RunError: no run here, or a damaged file.
        """
        facts.read(self.path)
        return read_yaml(self.path / "recipe.yaml", RunError)

    def network(self) -> dict[str, Any]:
        """`{"family": name, "options": {...}}` of the network.

        Raises:
            RunError: no run here, or a damaged file.
        """
        facts.read(self.path)
        return facts.read_network(self.path / "network.json")

    def write_network(self, network: Mapping[str, Any]) -> None:
        """Keep the network's family and options (JSON-able); see `network`."""
        network = facts.plain(network)
        facts.check_network(network, "network", ValueError)
        write_json(self.path / "network.json", network)

    def checkpoint(self) -> str:
        """Prefix of the checkpoint that is measured and served: by the recipe's `training.select` the newest or the best.

        Raises:
            RunError, CheckpointError: no run here, or none.
        """
        best = self.recipe().get("training", {}).get("select") == "best" and checkpoints.found(self.best)
        return checkpoints.find_checkpoint(self.best if best else self.checkpoints)

    def read_table(self) -> tables.Table:
        """The query table as it is, without rows where there is none.

        Raises:
            RunError: a damaged file.
        """
        return tables.read(self.table, RunError) if self.table.exists() else {"rows": []}

    def add_to_table(self, table: tables.Table, stale: Callable[[tables.Row], bool] = lambda row: False) -> tables.Table:
        """Merge a table into the run's without its stale rows (see `tfres.table.merge`), whole or not at all."""
        old = self.read_table()
        merged = tables.merge({**old, "rows": [row for row in old["rows"] if not stale(row)]}, table)
        tables.save(merged, self.table)
        return merged

    def add_calibrated(self, checkpoint: str, values: Mapping[Setting | int | str, Private]) -> None:
        """Keep what is private to further settings beside what is there for the same checkpoint.

        Args:
            checkpoint: name of the checkpoint that it was calibrated for.
            values: setting -> `Private`.

        Raises:
            ValueError: values that are not finite. RunError: a damaged file.
        """
        calibrated.write(self._calibrated, checkpoint, {**self.calibrated(checkpoint), **calibrated.parsed(values)})

    def calibrated(self, checkpoint: str) -> dict[Setting, Private]:
        """Setting -> `Private` that was calibrated for a checkpoint, by its name.

        What was calibrated for another checkpoint does not fit and is left out, with a warning.

        Raises:
            RunError: a damaged file, or statistics that are not numbers.
        """
        return calibrated.read(self._calibrated, checkpoint) if self._calibrated.exists() else {}

    @property
    def _whole(self) -> pathlib.Path:
        return pathlib.Path(os.path.abspath(self.path))

    @property
    def _link(self) -> pathlib.Path:
        return self._whole.parent / LATEST

    @property
    def _calibrated(self) -> pathlib.Path:
        return self.path / "calibrated.npz"

    def clean(self) -> None:
        """Remove what killed programs left: temporary files of ours and half-written checkpoints. Nothing else.

        To be called at the start of a training, by the process that writes.

        Raises:
            CheckpointError: the list of checkpoints is damaged.
        """
        if self.path.is_dir() and not self.path.is_symlink():
            for path in guard.temporaries(self.path, (*_FILES, facts.NAME)):
                path.unlink(missing_ok=True)
        checkpoints.clean(self.checkpoints)
        remove_stale_links(self._link)

    def delete(self) -> list[str]:
        """Remove the run: the files that it wrote, and the folder when nothing else is in it.

        Returns:
            names of what is not the run's own and stays. The folder then stays a run's folder, without a run in it.

        Raises:
            RunError: the folder is not a run's (what is in it is named), or a place that is never deleted.
        """
        guard.check_removable(self.path)
        facts.read(self.path)
        for path in [*(self.path / name for name in _FILES), *guard.temporaries(self.path, (*_FILES, facts.NAME))]:
            if path.is_file() or path.is_symlink():
                path.unlink()
        guard.remove_from(self.checkpoints, checkpoints.is_ours)
        guard.remove_from(self.best, checkpoints.is_ours)
        guard.remove_from(self.pictures, lambda path: path.suffix == ".png")
        guard.remove_from(self.path / "tensorboard", lambda path: re.fullmatch(r"events\.out\.tfevents\..*", path.name))
        left = sorted(path.name for path in self.path.iterdir() if path.name != facts.NAME)
        if left:
            facts.write(self.path, {})
            logger.warning("%s: the run is deleted; not its own and kept: %s.", self.path, ", ".join(left[:10]))
            return left
        (self.path / facts.NAME).unlink()
        self.path.rmdir()
        return []

    def backup(self) -> pathlib.Path:
        """Rename the run's folder to one with the time in its name, which is returned.

        Raises:
            RunError: see `delete`.
        """
        guard.check_removable(self.path)
        facts.read(self.path)
        target = guard.unused(self.path.with_name(f"{self.path.name}-backup-{time.strftime('%Y%m%d-%H%M%S')}"))
        self.path.rename(target)
        return target
