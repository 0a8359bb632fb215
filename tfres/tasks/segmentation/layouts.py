"""Folders of pictures with label pictures: own data, Cityscapes' and CamVid's layouts, with and without lists."""

from __future__ import annotations

import pathlib
from collections.abc import Callable

from tfres.data import listing
from tfres.errors import SourceError
from tfres.tasks.segmentation.labels import CITYSCAPES, LabelSet, read_labels
from tfres.tasks.segmentation.splits import FilePairs

# What folders, lists and TFRecord files of a split are called.
NAMES = {"train": ("train",), "validation": ("validation", "val", "test"), "calibration": ("calibration", "holdout")}
_CITYSCAPES = ("leftImg8bit", "gtFine")
_CITYSCAPES_ENDS = ("_leftImg8bit", "_gtFine_labelIds")
_ALLOWED = (
    "`data` folder must hold images/train, images/val, labels/train, labels/val and classes.json; or lists train.txt and "
    "val.txt (lines of a picture and its label picture) and classes.json; or Cityscapes' leftImg8bit and gtFine; or CamVid's "
    "train, trainannot, val, valannot and meta.json."
)

Faults = list[tuple[str, str]]


def read_folder(
    root: pathlib.Path, lists: str | None, calibration: bool, faults: Faults
) -> tuple[LabelSet, dict[str, FilePairs]]:
    """The classes and the pairs of every split of a folder.

    Args:
        root: the folder.
        lists: another folder of the lists; None: where the folder itself holds `train.txt` or `train.lst`, and so on, these.
        calibration: whether there may be a split of that name.
        faults: gets `(path, reason)` of pictures that cannot be read, or have no label picture that can.

    Raises:
        SourceError: nothing of the kind there, a damaged list, or a split without a pair.
    """
    if not root.is_dir():
        raise SourceError(
            f"`data` must be fake, a folder of pictures and labels, or TFRecord files. Received: data={root}, which is no "
            "folder and matches no file."
        )
    labels = _labels(root)
    find = _by_list(root, root if lists is None else pathlib.Path(lists)) or _by_folder(root)
    if lists is not None and find is None or find is None or labels is None:
        raise SourceError(f"{_ALLOWED} Received: data={root}" + (f" with lists={lists}." if lists else "."))
    splits = {}
    for split in NAMES if calibration else ("train", "validation"):
        pairs = find(split, faults)
        if pairs is not None:
            splits[split] = FilePairs(*(list(column) for column in zip(*pairs, strict=True))) if pairs else FilePairs([], [])
    for split in ("train", "validation"):
        if split not in splits or not splits[split].size:
            bad = f" {len(faults)} cannot be used, the first is {faults[0][0]}: {faults[0][1]}." if faults else ""
            raise SourceError(f"{root} must have pictures with label pictures for {split}. Received: none.{bad}")
    return labels, splits


def _labels(root: pathlib.Path) -> LabelSet | None:
    for name in ("classes.json", "meta.json"):
        if (root / name).exists():
            return read_labels(root / name)
    return CITYSCAPES if (root / _CITYSCAPES[0]).is_dir() else None


Find = Callable[[str, Faults], list[tuple[str, str]] | None]


def _by_list(root: pathlib.Path, lists: pathlib.Path) -> Find | None:
    """What finds the pairs of a split in lists; None where there is none for the training."""

    def path_of(split: str) -> pathlib.Path | None:
        names = [f"{name}{end}" for name in NAMES[split] for end in (".txt", ".lst")]
        return next((lists / name for name in names if (lists / name).exists()), None)

    def find(split: str, faults: Faults) -> list[tuple[str, str]] | None:
        path = path_of(split)
        return None if path is None else _listed(root, path, faults)

    return find if path_of("train") else None


def _listed(root: pathlib.Path, path: pathlib.Path, faults: Faults) -> list[tuple[str, str]]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"{path} cannot be read: {error}.") from None
    pairs = []
    for number, line in enumerate(lines, 1):
        columns = line.split("\t") if "\t" in line else line.split()
        if not columns:
            continue
        if len(columns) != 2:
            raise SourceError(f"{path}, line {number} must be a picture and its label picture. Received: {line[:100]!r}.")
        picture, label = (root / column.strip() for column in columns)
        if _fits(picture, label, faults):
            pairs.append((str(picture), str(label)))
    return pairs


def _by_folder(root: pathlib.Path) -> Find | None:
    """What finds the pairs of a split in folders; None where they are arranged in no way that is known."""
    if all((root / name).is_dir() for name in _CITYSCAPES):
        places, renamed = [f"{_CITYSCAPES[0]}/{{}}", f"{_CITYSCAPES[1]}/{{}}"], _CITYSCAPES_ENDS
    elif all((root / name).is_dir() for name in ("images", "labels")):
        places, renamed = ["images/{}", "labels/{}"], ("", "")
    elif (root / "trainannot").is_dir():
        places, renamed = ["{}", "{}annot"], ("", "")
    else:
        return None

    def find(split: str, faults: Faults) -> list[tuple[str, str]] | None:
        for name in NAMES[split]:
            pictures, labels = (root / place.format(name) for place in places)
            if pictures.is_dir():
                return _paired(pictures, labels, renamed, faults)
        return None

    return find


def _paired(pictures: pathlib.Path, labels: pathlib.Path, renamed: tuple[str, str], faults: Faults) -> list[tuple[str, str]]:
    """Pictures and the label pictures of the same name (but for an end); those that have no partner are faults."""
    before, after = renamed
    found = listing.pictures(pictures, faults)
    pairs, used = [], set()
    for picture in found:
        path = pathlib.Path(picture)
        place = labels / path.relative_to(pictures)
        label = place.with_name(f"{place.stem.removesuffix(before)}{after}.png")
        used.add(str(label))
        if _fits(path, label, faults):
            pairs.append((picture, str(label)))
    others = listing.pictures(labels, faults) if labels.is_dir() else []
    for label in others:
        if label not in used and pathlib.Path(label).stem.endswith(after):
            faults.append((label, "there is no picture of this name"))
    return pairs


def _fits(picture: pathlib.Path, label: pathlib.Path, faults: Faults) -> bool:
    """Whether both are files that can be read; tells what is wrong otherwise."""
    for path, what in ((picture, "it"), (label, f"its label picture {listing.printable(label)}")):
        fault = listing.file_fault(path)
        if fault:
            faults.append((listing.printable(picture), f"{what} {fault}"))
            return False
    return True
