"""The folder of a run: recipe, versions, checkpoints, metrics, table."""

import csv
import datetime
import importlib.metadata
import json
import logging
import pathlib
import platform
import shutil
import subprocess

import numpy as np
import yaml

from tfres.files import atomic_path, replace_link, write_text
from tfres.recipe import Recipe, RecipeError
from tfres.settings import Branch, Setting

logger = logging.getLogger(__name__)
_PACKAGES = (
    "tensorflow", "tf-keras", "tensorpack", "tensorflow-model-optimization", "keras-cv", "numpy", "opencv-python"
)  # fmt: skip


class Run:
    """A run's folder and what is in it. Nothing is written outside (but the link `latest` beside it).

    `recipe.yaml` (resolved), `run.json` (versions, classes, statistics of the data), `checkpoints/`, `metrics.csv`,
    `tensorboard/`, `table.json`, `accuracy.png`, `calibrated.npz`, `sweep.json`, `sweep.png`, `grid.png`.
    """

    def __init__(self, path):
        self.path = pathlib.Path(path)

    @property
    def checkpoints(self):
        return self.path / "checkpoints"

    @property
    def table(self):
        return self.path / "table.json"

    @property
    def plot(self):
        return self.path / "accuracy.png"

    def read_table(self):
        """The query table as it is, without rows where there is none."""
        return json.loads(self.table.read_text()) if self.table.exists() else {"rows": []}

    def add_calibrated(self, checkpoint, branches):
        """Keep `Branch`es of further settings (see `calibrated`) beside those that are there for the same checkpoint."""
        merged = {**self.calibrated(checkpoint), **{Setting.parse(key): branch for key, branch in branches.items()}}
        arrays = {f"{key}:{name}": value for key, branch in merged.items() for name, value in branch.norms.items()}
        arrays |= {f"{key}:": branch.encoding for key, branch in merged.items() if branch.encoding is not None}
        with atomic_path(self._calibrated) as temporary, open(temporary, "wb") as file:
            np.savez(file, checkpoint=checkpoint, **arrays)

    def calibrated(self, checkpoint):
        """Setting -> `Branch` that was calibrated for a checkpoint, by its name.

        What was calibrated for another checkpoint does not fit and is left out, with a warning.
        """
        if not self._calibrated.exists():
            return {}
        norms, encodings = {}, {}
        with np.load(self._calibrated) as stored:
            if str(stored["checkpoint"]) != checkpoint:
                logger.warning(
                    "%s is for checkpoint %s, not %s: not used.", self._calibrated, stored["checkpoint"], checkpoint
                )
                return {}
            for key in stored.files:
                setting, colon, name = key.partition(":")
                if name:
                    norms.setdefault(setting, {})[name] = stored[key]
                elif colon:
                    encodings[setting] = float(stored[key])
        return {Setting.parse(key): Branch(norms[key], encodings.get(key)) for key in norms}

    @property
    def _calibrated(self):
        return self.path / "calibrated.npz"

    @property
    def name(self):
        return self.path.resolve().name

    def exists(self):
        return (self.path / "recipe.yaml").exists()

    def create(self, recipe, facts):
        """Write recipe and facts, point `latest` here. A run that exists must have the same recipe.

        Args:
            recipe: `Recipe`.
            facts: JSON-able mapping of what was read off the data.

        Raises:
            RecipeError: the folder holds a run of another recipe (the first difference is named).
        """
        if self.exists():
            difference = _difference(self.recipe().to_dict(), recipe.to_dict())
            if difference:
                raise RecipeError(
                    f"{self.path} holds a run of another recipe ({difference}). Name another folder with --run, or "
                    "start over with --action delete."
                )
        else:
            facts = {**facts, "versions": _versions(), "created": datetime.datetime.now().isoformat(timespec="seconds")}
            write_text(self.path / "run.json", json.dumps(facts, indent=1) + "\n")
            write_text(self.path / "recipe.yaml", yaml.safe_dump(recipe.to_dict(), sort_keys=False))
        replace_link(self.path.parent / "latest", self.path.name)

    def recipe(self):
        """The resolved recipe.

        Raises:
            RecipeError: no run here.
        """
        if not self.exists():
            raise RecipeError(f"`run` must be the folder of a run. Received: run={self.path}, which has no recipe.yaml.")
        return Recipe.from_dict(yaml.safe_load((self.path / "recipe.yaml").read_text()))

    def facts(self):
        """What `create` was given, with versions."""
        return json.loads((self.path / "run.json").read_text())


class History:
    """`metrics.csv` and TensorBoard logs of a run; the setting is part of each metric's name.

    The file is rewritten whole with every row, so a killed run leaves no half line. Rows at or after `first_step` (of a
    run that goes on from there) are dropped.
    """

    def __init__(self, run, first_step=0):
        from tensorboard.summary import Writer

        self._path = run.path / "metrics.csv"
        self._rows = []
        if self._path.exists():
            with open(self._path, newline="") as file:
                self._rows = [row for row in csv.DictReader(file) if int(row["step"]) <= first_step]
        self._writer = Writer(str(run.path / "tensorboard"))

    def add(self, step, metrics):
        """Append one row of scalars, merged with an existing row of the same step."""
        values = {name: f"{value:.6g}" for name, value in metrics.items()}
        if self._rows and int(self._rows[-1]["step"]) == step:
            self._rows[-1].update(values)
        else:
            self._rows.append({"step": str(step), **values})
        columns = list(dict.fromkeys(name for row in self._rows for name in row))
        lines = [columns, *([row.get(name, "") for name in columns] for row in self._rows)]
        write_text(self._path, "".join(",".join(line) + "\n" for line in lines))
        for name, value in metrics.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()


def _versions():
    versions = {name: importlib.metadata.version(name) for name in _PACKAGES}
    return {"python": platform.python_version(), **versions, "git": _revision()}


def _revision():
    """Commit of the working tree this package runs from, or None."""
    if shutil.which("git") is None:
        return None
    command = ["git", "rev-parse", "HEAD"]
    done = subprocess.run(command, check=False, cwd=pathlib.Path(__file__).parent, capture_output=True, text=True)
    return done.stdout.strip() or None


def _difference(old, new, path=""):
    for key, value in new.items():
        if isinstance(value, dict):
            found = _difference(old[key], value, f"{path}{key}.")
            if found:
                return found
        elif old[key] != value:
            return f"{path}{key} is {old[key]!r} there, {value!r} here"
    return None
