"""Sources of labelled pictures: CIFAR-10, class folders, TFRecord files, random pictures."""

from __future__ import annotations

import dataclasses
import logging
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tfres.data import cifar10, listing, records
from tfres.data.faults import unusable
from tfres.data.options import IMAGENET_MEAN, IMAGENET_STD
from tfres.errors import SourceError
from tfres.tasks.classification.splits import ArraySplit, FileSplit, RecordSplit, Split, hold_out, in_memory

if TYPE_CHECKING:
    from tfres.tasks.classification.options import ClassificationData

logger = logging.getLogger(__name__)

# What folders and TFRecord files of a split are called.
_NAMES = {"train": ("train",), "validation": ("validation", "val", "test"), "calibration": ("calibration", "holdout")}


@dataclasses.dataclass(frozen=True)
class Source:
    """Where pictures come from.

    Args:
        classes: names, in the order of the labels.
        train, validation: splits.
        mean, std: of [0, 1] RGB pictures.
        crop: default random crop of training, see `ClassificationData.crop`.
        lighting: default lighting noise.
        name: what messages call it.
        named: whether the classes have names of their own, not just numbers.
        missing: classes of the run that these data lack, see `relabelled`.
        calibration: split that is held out from training, see `DataOptions.holdout`; None without one.
    """

    classes: list[str]
    train: Split
    validation: Split
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    crop: str = "area"
    lighting: float = 0.1
    name: str = "data"
    named: bool = True
    missing: tuple[str, ...] = ()
    calibration: Split | None = None

    @property
    def size(self) -> int:
        """Number of training pictures."""
        return self.train.size

    @property
    def splits(self) -> dict[str, Split]:
        """The splits that there are, by name."""
        return {name: split for name in _NAMES if (split := getattr(self, name)) is not None}

    @property
    def holds_pixels(self) -> bool:
        """Whether pictures are decoded already."""
        return isinstance(self.train, ArraySplit)

    def relabelled(self, classes: Sequence[str]) -> Source:
        """The same pictures with labels that count in `classes`, matched by name.

        Classes that these data lack are logged and become `missing`. Where either side has numbers for names, the numbers of
        classes must agree and labels stay as they are.

        Raises:
            SourceError: classes that the list lacks, or another number of classes.
        """
        classes = list(classes)
        if classes == self.classes:
            return self
        if not self.named or classes == numbered(len(classes)):
            if len(classes) != len(self.classes):
                raise SourceError(
                    f"{self.name} must have {len(classes)} classes, since they have no names to go by. "
                    f"Received: {len(self.classes)} classes."
                )
            logger.info("%s: classes are taken by position, since they have no names to go by.", self.name)
            return dataclasses.replace(self, classes=classes)
        new = [name for name in self.classes if name not in classes]
        if new:
            raise SourceError(f"{self.name} must have classes that the network knows. Received: {', '.join(new[:20])}.")
        missing = tuple(name for name in classes if name not in self.classes)
        if missing:
            shown = ", ".join(missing[:20]) + (" ..." if len(missing) > 20 else "")
            logger.warning("%s lacks %d of the network's %d classes: %s", self.name, len(missing), len(classes), shown)
        mapping = np.array([classes.index(name) for name in self.classes], np.int64)
        splits = {name: split.relabelled(mapping) for name, split in self.splits.items()}
        return dataclasses.replace(self, classes=classes, missing=missing, **splits)


def numbered(count: int) -> list[str]:
    """Names of classes that have none."""
    return [str(number) for number in range(count)]


def open_source(data: ClassificationData, classes: int | None = None) -> Source:
    """The source that the options name.

    Args:
        data: the options, `side` filled in.
        classes: number of classes the network has, where the data cannot tell (fake, TFRecord); None if unknown.

    Raises:
        SourceError: no pictures there, or not understood. DataError: pictures or records that cannot be used.
    """
    if data.source == "cifar10":
        images, labels, test_images, test_labels = cifar10.load(data.cache)
        train, validation = ArraySplit(images, labels), ArraySplit(test_images, test_labels)
        source = Source(list(cifar10.CLASSES), train, validation, cifar10.MEAN, cifar10.STD, "pad", 0.0, "cifar10")
    elif data.source == "fake":
        source = _fake(data.fake_size, data.side, classes or 10)
    else:
        files = records.find_files(data.source)
        own = bool(data.holdout)
        source = _open_records(data, files, classes, own) if files else open_folder(pathlib.Path(data.source), None, own)
    if data.limit is not None and data.limit < source.train.size:
        source = dataclasses.replace(source, train=_limited(source.train, data.limit))
    if data.holdout and source.calibration is None:
        train, calibration = hold_out(source.train, data.holdout)
        source = dataclasses.replace(source, train=train, calibration=calibration)
    if source.calibration is not None:
        logger.info("%s: %d pictures to train on, %d held out.", source.name, source.size, source.calibration.size)
    if data.in_memory:
        source = dataclasses.replace(source, **{name: in_memory(split) for name, split in source.splits.items()})
    return source


def _fake(size: int, side: int | None, classes: int) -> Source:
    if side is None:
        raise SourceError("`side` must be given for the fake source. Received: side=None.")

    def split(seed: int) -> ArraySplit:
        rng = np.random.Generator(np.random.PCG64(seed))
        images = rng.integers(0, 256, (size, side, side, 3), np.uint8)
        return ArraySplit(images, rng.integers(0, classes, size))

    return Source(numbered(classes), split(0), split(1), crop="pad", lighting=0.0, name="fake", named=False)


def open_folder(root: pathlib.Path, skipped: list[tuple[str, str]] | None = None, calibration: bool = False) -> Source:
    """`Source` of a folder with train/ and val/ (or validation/, test/), one folder per class.

    Args:
        root: the folder.
        skipped: gets `(path, reason)` of entries that are named like pictures but cannot be read; None: they are an error.
        calibration: whether calibration/ (or holdout/) is a split too, where it is there.

    Raises:
        SourceError: no such folders, no pictures, or classes that train/ lacks. DataError: see `skipped`.
    """
    if not root.is_dir():
        raise SourceError(
            "`data` must be cifar10, fake, a folder with train/ and val/, or TFRecord files. "
            f"Received: data={root}, which is no folder and matches no file."
        )
    wanted = _NAMES if calibration else ("train", "validation")
    roots = {split: root / name for split in wanted for name in reversed(_NAMES[split]) if (root / name).is_dir()}
    if not {"train", "validation"} <= roots.keys():
        raise SourceError(f"`data` folder must hold train/ and val/ with one folder per class. Received: data={root}.")
    faults: list[tuple[str, str]] = []
    classes = listing.folders(roots["train"], faults)
    for other in [folder for split, folder in roots.items() if split != "train"]:
        extra = sorted(set(listing.folders(other, faults)) - set(classes))
        if extra:
            raise SourceError(f"{other} has classes that {roots['train']} lacks: {', '.join(extra)}.")
    splits = {split: _class_files(folder, classes, faults) for split, folder in roots.items()}
    if skipped is not None:
        skipped += faults
    elif faults:
        raise unusable([f"{path}: {reason}" for path, reason in faults])
    return Source(classes, **splits, name=str(root))


def _class_files(root: pathlib.Path, classes: list[str], faults: list[tuple[str, str]]) -> FileSplit:
    paths, labels = [], []
    for label, name in enumerate(classes):
        files = listing.pictures(root / name, faults) if (root / name).is_dir() else []
        paths += files
        labels += [label] * len(files)
    if not paths:
        bad = f" {len(faults)} cannot be read, the first is {faults[0][0]}: {faults[0][1]}." if faults else ""
        raise SourceError(f"No pictures ({', '.join(listing.ENDINGS)}) in {root}/<class>/.{bad}")
    return FileSplit(paths, np.array(labels, np.int64))


def _open_records(data: ClassificationData, files: list[str], classes: int | None, calibration: bool) -> Source:
    by_split = {split: [f for f in files if pathlib.Path(f).name.lower().startswith(names)] for split, names in _NAMES.items()}
    if not calibration or not by_split["calibration"]:
        del by_split["calibration"]
    if not all(by_split.values()):
        raise SourceError(
            "TFRecord files must be named train* and validation* (or val*, test*). "
            f"Received: {', '.join(pathlib.Path(f).name for f in files[:5])}."
        )
    names = records.class_names(files[0])
    count = classes or 1000
    if names is not None:
        count = len(names)
    counts = {split: [records.count(path) for path in paths] for split, paths in by_split.items()}
    schema = records.inspect(by_split["train"][0])
    offset = schema.first_label if data.label_offset is None else data.label_offset
    splits = {split: RecordSplit(paths, counts[split], schema, offset, count) for split, paths in by_split.items()}
    return Source(names or numbered(count), **splits, name=data.source, named=names is not None)


def _limited(split: Split, limit: int) -> Split:
    if isinstance(split, ArraySplit):
        return split.picked(np.arange(limit))
    if isinstance(split, FileSplit):
        return split.picked(np.linspace(0, split.size - 1, limit).astype(int))  # files are sorted by class
    raise SourceError("`limit` works with cifar10, fake and class folders, not with TFRecord files.")
