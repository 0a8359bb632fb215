"""Sources of labelled pictures: CIFAR-10, class folders, TFRecord files, random pictures."""

import dataclasses
import glob
import pathlib

import numpy as np

from tfres.data import cifar10
from tfres.data.errors import SourceError

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".gif")
_TRAIN, _VALIDATION = ("train",), ("validation", "val", "test")


@dataclasses.dataclass(frozen=True)
class ArraySplit:
    """Pictures in memory: uint8 RGB `images` `(n, side, side, 3)`, int64 `labels` `(n,)`."""

    images: np.ndarray
    labels: np.ndarray

    @property
    def size(self):
        return len(self.labels)


@dataclasses.dataclass(frozen=True)
class FileSplit:
    """Picture files: `paths` and their int64 `labels`."""

    paths: list
    labels: np.ndarray

    @property
    def size(self):
        return len(self.paths)


@dataclasses.dataclass(frozen=True)
class RecordSplit:
    """TFRecord files with `counts[i]` records in `paths[i]`; labels are stored plus `label_offset`."""

    paths: list
    counts: list
    schema: str
    label_offset: int

    @property
    def size(self):
        return sum(self.counts)


@dataclasses.dataclass(frozen=True)
class MemorySplit:
    """Encoded pictures in memory: list of bytes, where each came from, and int64 `labels`."""

    encoded: list
    names: list
    labels: np.ndarray

    @property
    def size(self):
        return len(self.encoded)


@dataclasses.dataclass(frozen=True)
class Source:
    """Where pictures come from.

    Args:
        classes: names, in the order of the labels.
        train, validation: splits.
        mean, std: of [0, 1] RGB pictures.
        crop: default random crop of training, see `DataRecipe.crop`.
        lighting: default lighting noise.
    """

    classes: list
    train: object
    validation: object
    mean: tuple = IMAGENET_MEAN
    std: tuple = IMAGENET_STD
    crop: str = "area"
    lighting: float = 0.1


def open_source(recipe, classes=None):
    """The source that a `DataRecipe` names.

    Args:
        recipe: the data recipe, its `side` filled in.
        classes: number of classes the network has, where the data cannot tell (fake, TFRecord); None if unknown.

    Returns:
        `Source`.

    Raises:
        SourceError: no pictures there, or not understood.
    """
    if recipe.source == "cifar10":
        images, labels, test_images, test_labels = cifar10.load(recipe.cache)
        train, validation = ArraySplit(images, labels), ArraySplit(test_images, test_labels)
        source = Source(list(cifar10.CLASSES), train, validation, cifar10.MEAN, cifar10.STD, "pad", 0.0)
    elif recipe.source == "fake":
        source = _fake(recipe.fake_size, recipe.side, classes or 10)
    else:
        files = _record_files(recipe.source)
        source = _records(recipe, files, classes) if files else open_folder(pathlib.Path(recipe.source))
    if recipe.limit is not None and recipe.limit < source.train.size:
        source = dataclasses.replace(source, train=_limited(source.train, recipe.limit))
    if recipe.in_memory:
        train, validation = _in_memory(source.train), _in_memory(source.validation)
        source = dataclasses.replace(source, train=train, validation=validation)
    return source


def _fake(size, side, classes):
    def split(seed):
        rng = np.random.Generator(np.random.PCG64(seed))
        images = rng.integers(0, 256, (size, side, side, 3), np.uint8)
        return ArraySplit(images, rng.integers(0, classes, size))

    return Source([str(i) for i in range(classes)], split(0), split(1), crop="pad", lighting=0.0)


def open_folder(root):
    """`Source` of a folder with train/ and val/ (or validation/, test/), one folder per class.

    Raises:
        SourceError: no such folders, no pictures, or classes that train/ lacks.
    """
    if not root.is_dir():
        raise SourceError(
            "`data` must be cifar10, fake, a folder with train/ and val/, or TFRecord files. "
            f"Received: data={root}, which is no folder and matches no file."
        )
    found = [[root / name for name in names if (root / name).is_dir()] for names in (_TRAIN, _VALIDATION)]
    if not all(found):
        raise SourceError(f"`data` folder must hold train/ and val/ with one folder per class. Received: data={root}.")
    train_root, validation_root = (folders[0] for folders in found)
    classes = sorted(path.name for path in train_root.iterdir() if path.is_dir())
    extra = sorted({path.name for path in validation_root.iterdir() if path.is_dir()} - set(classes))
    if extra:
        raise SourceError(f"{validation_root} has classes that {train_root} lacks: {', '.join(extra)}.")
    return Source(classes, _class_files(train_root, classes), _class_files(validation_root, classes))


def read_all(split):
    """`(where, bytes, label)` of every picture of a split of encoded pictures."""
    import tensorflow as tf

    from tfres.data import records

    if isinstance(split, MemorySplit):
        yield from zip(split.names, split.encoded, split.labels.tolist(), strict=True)
    elif isinstance(split, FileSplit):
        for path, label in zip(split.paths, split.labels, strict=True):
            yield path, tf.io.read_file(path).numpy(), int(label)
    else:
        for path in split.paths:
            for number, serialized in enumerate(tf.data.TFRecordDataset(path)):
                encoded, label = records.parse(serialized, split.schema, split.label_offset)
                yield f"{path}, record {number}", encoded.numpy(), int(label)


def _in_memory(split):
    if isinstance(split, ArraySplit):
        return split
    names, encoded, labels = zip(*read_all(split), strict=True)
    return MemorySplit(list(encoded), list(names), np.array(labels, np.int64))


def _class_files(root, classes):
    paths, labels = [], []
    for label, name in enumerate(classes):
        files = sorted(p for p in (root / name).rglob("*") if p.suffix.lower() in ENDINGS) if (root / name).is_dir() else []
        paths += [str(path) for path in files]
        labels += [label] * len(files)
    if not paths:
        raise SourceError(f"No pictures ({', '.join(ENDINGS)}) in {root}/<class>/.")
    return FileSplit(paths, np.array(labels, np.int64))


def _record_files(text):
    """Files of a TFRecord pattern or folder; empty when it is something else."""
    path = pathlib.Path(text)
    if path.is_dir():
        names = sorted(p for p in path.iterdir() if p.is_file() and ("-of-" in p.name or p.suffix == ".tfrecord"))
        return [str(name) for name in names]
    return sorted(glob.glob(text)) if not path.is_dir() else []


def _records(recipe, files, classes):
    from tfres.data import records

    named = {
        split: [f for f in files if pathlib.Path(f).name.lower().startswith(names)]
        for split, names in (("train", _TRAIN), ("validation", _VALIDATION))
    }
    if not all(named.values()):
        raise SourceError(
            "TFRecord files must be named train* and validation* (or val*, test*). "
            f"Received: {', '.join(pathlib.Path(f).name for f in files[:5])}."
        )
    schema, first_label = records.inspect(named["train"][0])
    offset = recipe.label_offset if recipe.label_offset is not None else first_label
    splits = {
        split: RecordSplit(paths, [records.count(path) for path in paths], schema, offset) for split, paths in named.items()
    }
    names = records.class_names(files[0]) or [str(i) for i in range(classes or 1000)]
    if classes is not None and len(names) != classes:
        names = [str(i) for i in range(classes)]
    return Source(names, splits["train"], splits["validation"])


def _limited(split, limit):
    if isinstance(split, ArraySplit):
        return ArraySplit(split.images[:limit], split.labels[:limit])
    if isinstance(split, FileSplit):
        keep = np.linspace(0, split.size - 1, limit).astype(int)  # files are sorted by class
        return FileSplit([split.paths[i] for i in keep], split.labels[keep])
    raise SourceError("`limit` works with cifar10, fake and class folders, not with TFRecord files.")
