"""The run-time switch: an exported network that picks its setting call by call, by a time budget."""

import hashlib
import json
import os
import pathlib
import time
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfres import table as tables
from tfres.evaluation.latency import machine
from tfres.files import write_text

QUANTILE = 0.95  # share of the calibration's calls that are at most as long as a setting's time
_WARMUP, _REPEATS = 5, 40


class Answer(NamedTuple):
    """What a call gives.

    setting: its printed form. ms: time that it took. classes: int64 `(batch,)`. probabilities, logits: `(batch, classes)`.
    """

    setting: str
    ms: float
    classes: np.ndarray
    probabilities: np.ndarray
    logits: np.ndarray


class AdaptiveModel:
    """An export of any family as one model that meets a time budget per call. Needs nothing but TensorFlow.

    Args:
        path: folder of the export's version, with its query table inside (accuracies and MACs).
        cache: folder of measured times; default `$TFRES_CACHE` or `~/.cache/tfres`.

    `rows` are the rows of the table that have an accuracy and a signature, `names` the classes.

    Raises:
        FileNotFoundError: no export or no table there. ValueError: a table without accuracies.

    Example:
        model = AdaptiveModel("exported/NAME/1")
        answer = model.predict(pictures, budget_ms=12)
        answer.setting, answer.classes
    """

    def __init__(self, path, cache=None):
        self.path = pathlib.Path(path)
        if not (self.path / "saved_model.pb").exists():
            raise FileNotFoundError(f"`path` must be the folder of an export (out/NAME/VERSION). Received: path={path}.")
        table = tables.load(self.path)
        self._loaded = tf.saved_model.load(str(self.path))
        self._signatures = {name.removeprefix("serve_"): call for name, call in self._loaded.signatures.items()}
        self.rows = [row for row in tables.settings(table, "top1", "macs") if row["setting"] in self._signatures]
        if not self.rows:
            raise ValueError(
                f"The table in {path} has no setting with both an accuracy and a signature: evaluate before export."
            )
        classes = self.path / "assets" / "classes.json"
        self.names = json.loads(classes.read_text()) if classes.exists() else None
        self.cache = pathlib.Path(cache or os.environ.get("TFRES_CACHE") or pathlib.Path.home() / ".cache" / "tfres")
        self._times = {}

    def calibrate(self, shape=None, anew=False):
        """Measure every setting on this machine, once: the result is kept in the cache for this export, machine and shape.

        Args:
            shape: `(batch, height, width)` of the uint8 pictures; default one picture of the largest resolution.
            anew: measure again.

        Returns:
            dict: setting -> ms that 95 % of its calls do not exceed.
        """
        shape = tuple(shape or (1, *[max(row["resolution"] for row in self.rows)] * 2))
        if shape in self._times and not anew:
            return self._times[shape]
        place = self.cache / "latency" / f"{self._fingerprint(shape)}.json"
        if place.exists() and not anew:
            self._times[shape] = json.loads(place.read_text())["ms"]
            return self._times[shape]
        images = tf.zeros([*shape, 3], tf.uint8)
        settings = [row["setting"] for row in self.rows]
        taken = {setting: [] for setting in settings}
        for repeat in range(_WARMUP + _REPEATS):
            for setting in settings:  # in turn, so that a disturbance meets all
                answer = self._run(setting, images)
                if repeat >= _WARMUP:
                    taken[setting].append(answer.ms)
        self._times[shape] = {setting: float(np.quantile(values, QUANTILE)) for setting, values in taken.items()}
        facts = {
            "export": str(self.path),
            "machine": machine(),
            "shape": shape,
            "quantile": QUANTILE,
            "ms": self._times[shape],
        }
        write_text(place, json.dumps(facts, indent=1) + "\n")
        return self._times[shape]

    def choose(self, budget_ms, shape=None):
        """The row of the most accurate setting whose time is within the budget; its `ms` is the time on this machine.

        Raises:
            tfres.table.BudgetError: none; the fastest is named.
        """
        times = self.calibrate(shape)
        return tables.best({"rows": [{**row, "ms": times[row["setting"]]} for row in self.rows]}, budget_ms=budget_ms)

    def predict(self, images, budget_ms=None, setting=None):
        """Classify pictures by the most accurate setting that the budget allows.

        Args:
            images: uint8 RGB `(batch, height, width, 3)`, any size; they are resized to the setting's resolution.
            budget_ms: milliseconds for the call; None for the most accurate setting.
            setting: this one, whatever it takes.

        Returns:
            `Answer`.

        Raises:
            tfres.table.BudgetError: see `choose`. ValueError: unknown setting, or other pictures.
        """
        images = tf.convert_to_tensor(images)
        if images.dtype != tf.uint8 or images.shape.rank != 4 or images.shape[3] != 3:
            raise ValueError(
                f"`images` must be uint8 (batch, height, width, 3). Received: {images.dtype.name} {tuple(images.shape)}."
            )
        if setting is None:
            if budget_ms is None:
                setting = max(self.rows, key=lambda row: (row["top1"], -row["macs"]))["setting"]
            else:
                setting = self.choose(budget_ms, images.shape[:3])["setting"]
        elif str(setting) not in self._signatures:
            known = ", ".join(row["setting"] for row in self.rows)
            raise ValueError(f"`setting` must be one of {known}. Received: setting={setting}.")
        return self._run(str(setting), images)

    def _run(self, setting, images):
        start = time.perf_counter()
        outputs = {name: value.numpy() for name, value in self._signatures[setting](images=images).items()}
        ms = 1000 * (time.perf_counter() - start)
        return Answer(setting, ms, outputs["class"], outputs["probabilities"], outputs["logits"])

    def _fingerprint(self, shape):
        """Of everything that times depend on."""
        digest = hashlib.sha256((self.path / "saved_model.pb").read_bytes())
        threads = tf.config.threading.get_intra_op_parallelism_threads()
        digest.update(f"{machine()} {tuple(shape)} {threads} {len(os.sched_getaffinity(0))}".encode())
        return digest.hexdigest()[:32]
