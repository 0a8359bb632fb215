"""Sources of pictures with label pictures: folders, TFRecord files, generated ones."""

from __future__ import annotations

import dataclasses
import logging
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tfres.data import records
from tfres.data.faults import unusable
from tfres.errors import SourceError
from tfres.tasks.segmentation.labels import IGNORED, LabelSet, colours, read_labels
from tfres.tasks.segmentation.layouts import NAMES, Faults, read_folder
from tfres.tasks.segmentation.splits import RecordPairs, Split, drawn, hold_out, in_memory

if TYPE_CHECKING:
    from tfres.tasks.segmentation.options import SegmentationData

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Source:
    """Where pictures and their label pictures come from.

    Args:
        classes: names, in the order of the labels.
        labels: what the values in label pictures mean.
        table: value -> class of `classes`, `IGNORED` or `UNKNOWN`.
        train, validation: splits.
        name: what messages call it.
        missing: classes of the run that these data lack, see `relabelled`.
        calibration: split that is held out from training, see `DataOptions.holdout`; None without one.
    """

    classes: list[str]
    labels: LabelSet
    table: list[int]
    train: Split
    validation: Split
    name: str = "data"
    missing: tuple[str, ...] = ()
    calibration: Split | None = None

    @property
    def size(self) -> int:
        """Number of training pictures."""
        return self.train.size

    @property
    def splits(self) -> dict[str, Split]:
        """The splits that there are, by name."""
        return {name: split for name in NAMES if (split := getattr(self, name)) is not None}

    def relabelled(self, classes: Sequence[str]) -> Source:
        """The same pictures with labels that count in `classes`, matched by name; classes that these data lack are logged and
        become `missing`.

        Raises:
            SourceError: classes that the list lacks.
        """
        classes = list(classes)
        if classes == self.classes:
            return self
        new = [name for name in self.classes if name not in classes]
        if new:
            raise SourceError(f"{self.name} must have classes that the network knows. Received: {', '.join(new[:20])}.")
        missing = tuple(name for name in classes if name not in self.classes)
        if missing:
            shown = ", ".join(missing[:20]) + (" ..." if len(missing) > 20 else "")
            logger.warning("%s lacks %d of the network's %d classes: %s", self.name, len(missing), len(classes), shown)
        places = [classes.index(name) for name in self.classes]
        table = [places[value] if 0 <= value < IGNORED else value for value in self.table]
        return dataclasses.replace(self, classes=classes, missing=missing, table=table)

    @property
    def palette(self) -> np.ndarray:
        """Colour of each of `classes`, uint8 `(classes, 3)`."""
        known = dict(zip(self.labels.names, self.labels.palette, strict=True))
        others = colours(len(self.classes))
        return np.array([known.get(name, other) for name, other in zip(self.classes, others, strict=True)], np.uint8)

    @property
    def stored(self) -> np.ndarray:
        """The value in label pictures of each of `classes`, uint8; of classes that the data lack `IGNORED`."""
        known = dict(zip(self.labels.names, self.labels.values, strict=True))
        return np.array([known.get(name, IGNORED) for name in self.classes], np.uint8)


def open_source(data: SegmentationData, classes: int | None = None) -> Source:
    """The source that the options name.

    Args:
        data: the options, `crop` filled in.
        classes: number of classes the network has, for generated pictures; None if unknown.

    Raises:
        SourceError: no pictures there, or not understood. DataError: pictures or records that cannot be used.
    """
    files = [] if data.source == "fake" else records.find_files(data.source)
    if data.source == "fake":
        source = _fake(data, classes or 8)
    elif files:
        source = _open_records(data, files, bool(data.holdout))
    else:
        faults: Faults = []
        source = open_folder(data.source, data.lists, bool(data.holdout), faults)
        if faults:
            raise unusable([f"{path}: {reason}" for path, reason in faults])
    if data.limit is not None and data.limit < source.train.size:
        if isinstance(source.train, RecordPairs):
            raise SourceError("`limit` works with fake and folders, not with TFRecord files.")
        kept = np.linspace(0, source.train.size - 1, data.limit).astype(int)
        source = dataclasses.replace(source, train=source.train.picked(kept))
    if data.holdout and source.calibration is None:
        train, calibration = hold_out(source.train, data.holdout)
        source = dataclasses.replace(source, train=train, calibration=calibration)
    if source.calibration is not None:
        logger.info("%s: %d pictures to train on, %d held out.", source.name, source.size, source.calibration.size)
    if data.in_memory:
        source = dataclasses.replace(source, **{name: in_memory(split) for name, split in source.splits.items()})
    return source


def open_folder(folder: str, lists: str | None, calibration: bool, faults: Faults) -> Source:
    """`Source` of a folder; see `read_folder`."""
    labels, splits = read_folder(pathlib.Path(folder), lists, calibration, faults)
    return Source(labels.names, labels, labels.table, **splits, name=folder)


def _fake(data: SegmentationData, classes: int) -> Source:
    if data.crop is None:
        raise SourceError("`crop` must be given for the fake source. Received: crop=None.")
    names = [f"class{number}" for number in range(classes)]
    labels = LabelSet(names, list(range(classes)), [IGNORED], colours(classes))
    splits = [drawn(size, *data.crop_sides, classes, seed) for seed, size in enumerate((data.fake_size, data.fake_size))]
    return Source(names, labels, labels.table, *splits, name="fake")


def _open_records(data: SegmentationData, files: list[str], calibration: bool) -> Source:
    by_split = {
        split: [path for path in files if pathlib.Path(path).name.lower().startswith(names)] for split, names in NAMES.items()
    }
    if not calibration or not by_split["calibration"]:
        del by_split["calibration"]
    if not all(by_split.values()):
        raise SourceError(
            "TFRecord files must be named train* and validation* (or val*, test*). "
            f"Received: {', '.join(pathlib.Path(f).name for f in files[:5])}."
        )
    labels = read_labels(pathlib.Path(files[0]).parent / "classes.json")
    splits = {split: RecordPairs(paths, [records.count(path) for path in paths]) for split, paths in by_split.items()}
    return Source(labels.names, labels, labels.table, **splits, name=data.source)
