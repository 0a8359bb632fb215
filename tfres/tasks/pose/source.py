"""Sources of people: folders in COCO's layout, TFRecord files, generated ones."""

from __future__ import annotations

import dataclasses
import logging
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from tfres.data import records
from tfres.data.faults import unusable
from tfres.data.listing import file_fault, printable
from tfres.errors import SourceError
from tfres.tasks.pose.annotations import Faults, People, read_detections, read_people, without
from tfres.tasks.pose.skeleton import COUNT, KEYPOINTS
from tfres.tasks.pose.splits import FilePeople, RecordPeople, Split, in_memory

if TYPE_CHECKING:
    from tfres.tasks.pose.options import PoseData

logger = logging.getLogger(__name__)

_NAMES = {"train": ("train",), "validation": ("validation", "val", "test")}
_PREFIX = "person_keypoints_"
TRUTH = "validation.json"  # beside TFRecord files: the annotations that answers are judged by


@dataclasses.dataclass(frozen=True)
class Source:
    """Where people come from.

    Args:
        train, validation: splits.
        name: what messages call it.
        left_out: what is not used and why, see `read_people`.
    """

    train: Split
    validation: Split
    name: str = "data"
    left_out: tuple[tuple[str, str], ...] = ()

    classes = list(KEYPOINTS)
    missing = ()
    calibration = None

    @property
    def size(self) -> int:
        """Number of people to train on."""
        return self.train.size

    @property
    def splits(self) -> dict[str, Split]:
        """The splits by name."""
        return {"train": self.train, "validation": self.validation}

    def relabelled(self, classes: Sequence[str]) -> Source:
        """Itself: every network for people knows the same joints.

        Raises:
            SourceError: other joints.
        """
        if list(classes) != self.classes:
            raise SourceError(f"{self.name} must have a network of COCO's {COUNT} joints. Received: {', '.join(classes)}.")
        return self


def open_source(data: PoseData) -> Source:
    """The source that the options name.

    Args:
        data: the options, `crop` filled in.

    Raises:
        SourceError: no people there, or not understood. DataError: annotations, pictures or records that cannot be used.
    """
    files = [] if data.source == "fake" else records.find_files(data.source)
    if data.source == "fake":
        source = _fake(data)
    elif files:
        source = _open_records(data, files)
    else:
        faults: Faults = []
        source = open_folder(data.source, faults, data.boxes, data.least_score)
        if faults:
            raise unusable([f"{where}: {reason}" for where, reason in faults])
    if source.left_out:
        shown = "; ".join(f"{where}: {reason}" for where, reason in source.left_out[:5])
        logger.warning("%s: %d people or joints are left out: %s ...", source.name, len(source.left_out), shown)
    if data.limit is not None and data.limit < source.size:
        if isinstance(source.train, RecordPeople):
            raise SourceError("`limit` works with fake and folders, not with TFRecord files.")
        kept = np.linspace(0, source.size - 1, data.limit).astype(int)
        source = dataclasses.replace(source, train=source.train.picked(kept))
    if data.in_memory:
        if isinstance(source.train, RecordPeople):
            raise SourceError(
                "`in_memory` works with fake and folders, not with TFRecord files, which hold pictures repeatedly."
            )
        source = dataclasses.replace(source, **{name: in_memory(split) for name, split in source.splits.items()})
    return source


def open_folder(folder: str, faults: Faults, boxes: str | None = None, least: float = 0.0) -> Source:
    """`Source` of a folder in COCO's layout.

    Args:
        folder: with `annotations/person_keypoints_<name>.json` and the pictures in `<name>/` or `images/<name>/`.
        faults: gets `(where, reason)` of annotations and pictures that cannot be used.
        boxes, least: detections for validation, see `PoseData`.

    Raises:
        SourceError: no such folder or files, or nobody in them.
    """
    root = pathlib.Path(folder)
    if not root.is_dir():
        raise SourceError(
            "`data` must be fake, a folder with annotations/ of people, or TFRecord files. "
            f"Received: data={folder}, which is no folder and matches no file."
        )
    left_out: Faults = []
    splits = {split: _split_of(root, split, faults, left_out) for split in _NAMES}
    if boxes is not None:
        known = splits["validation"]
        people = read_detections(boxes, known.truth, least)
        splits["validation"] = _files(root, _annotations(root, "validation"), known.truth, people, faults)
    return Source(**splits, name=folder, left_out=tuple(left_out))


def _split_of(root: pathlib.Path, split: str, faults: Faults, left_out: Faults) -> FilePeople:
    path = _annotations(root, split)
    truth, people = read_people(path, faults, left_out)
    if not len(people):
        bad = f" {len(faults)} cannot be used, the first is {faults[0][0]}: {faults[0][1]}." if faults else ""
        raise SourceError(f"{path} must have people with keypoints. Received: none.{bad}")
    found = _files(root, path, truth, people, faults)
    return found if split == "validation" else dataclasses.replace(found, truth=None)


def _annotations(root: pathlib.Path, split: str) -> pathlib.Path:
    """The one file of annotations of a split."""
    names = _NAMES[split]
    found = sorted(
        path for path in root.glob(f"annotations/{_PREFIX}*.json") if path.stem.removeprefix(_PREFIX).startswith(names)
    )
    if len(found) != 1:
        listed = ", ".join(path.name for path in found[:5]) or "none"
        raise SourceError(
            f"{root}/annotations must have one {_PREFIX}{names[-2 if len(names) > 1 else 0]}*.json for {split}. "
            f"Received: {listed}."
        )
    return found[0]


def _files(root: pathlib.Path, path: pathlib.Path, truth: dict[str, Any], people: People, faults: Faults) -> FilePeople:
    """The people with the files of their pictures; files that are missing or no files are added to the faults, and what they
    show is left out.
    """
    name = path.stem.removeprefix(_PREFIX)
    folders = [folder for folder in (root / name, root / "images" / name) if folder.is_dir()]
    if not folders:
        raise SourceError(f"{root} must have the pictures of {path.name} in {name}/ or images/{name}/. Received: neither.")
    used = set(people.pictures.tolist())
    rows = [row for row in truth["images"] if row["id"] in used]
    paths, broken = [str(folders[0] / row["file_name"]) for row in rows], set()
    for row, picture in zip(rows, paths, strict=True):
        inside = pathlib.PurePath(row["file_name"])
        fault = "leads out of the folder" if inside.is_absolute() or ".." in inside.parts else file_fault(picture)
        if fault:
            faults.append((printable(picture), fault))
            broken.add(row["id"])
    numbers = {row["id"]: place for place, row in enumerate(rows)}
    kept = np.array([picture not in broken for picture in people.pictures.tolist()], bool)
    people = people.picked(kept)
    places = np.array([numbers[picture] for picture in people.pictures.tolist()], np.int64)
    return FilePeople(paths, places, people, without(truth, broken))


def _open_records(data: PoseData, files: list[str]) -> Source:
    by_split = {split: [f for f in files if pathlib.Path(f).name.lower().startswith(names)] for split, names in _NAMES.items()}
    if not all(by_split.values()):
        raise SourceError(
            "TFRecord files must be named train* and validation* (or val*, test*). "
            f"Received: {', '.join(pathlib.Path(f).name for f in files[:5])}."
        )
    if data.boxes is not None:
        raise SourceError(f"`boxes` works with folders, not with TFRecord files, which hold boxes. Received: {data.boxes}.")
    truth, _ = read_people(pathlib.Path(files[0]).parent / TRUTH, [], [])
    splits = {
        split: RecordPeople(paths, [records.count(path) for path in paths], truth if split == "validation" else None)
        for split, paths in by_split.items()
    }
    return Source(**splits, name=data.source)


def _fake(data: PoseData) -> Source:
    if data.crop is None:
        raise SourceError("`crop` must be given for the fake source. Received: crop=None.")
    if data.boxes is not None:
        raise SourceError(f"`boxes` works with folders, not with the fake source. Received: boxes={data.boxes}.")
    height, width = data.crop_sides
    return Source(drawn(data.fake_size, height, width, 0), drawn(data.fake_size, height, width, 1), "fake")


def drawn(size: int, height: int, width: int, seed: int) -> FilePeople:
    """Generated people, one per picture: joints are patches on dark noise, those of a pair of one colour on either side."""
    rng = np.random.Generator(np.random.PCG64(seed))
    pairs = [(joint + 1) // 2 for joint in range(COUNT)]
    usual = np.array(
        [[0.5 if not pair else 0.7 - 0.4 * (joint % 2 == 0), 0.15 + 0.09 * pair] for joint, pair in enumerate(pairs)]
    )
    colours = np.array([[255 - 255 * (pair // place % 3) // 2 for place in (1, 3, 9)] for pair in pairs])
    half, encoded, everybody, rows = max(1, height // 48), [], [], []
    for number in range(size):
        image = rng.integers(0, 40, (height, width, 3), np.uint8)
        joints = (usual + rng.uniform(-0.02, 0.02, (COUNT, 2)) + rng.uniform(-0.05, 0.05, 2)) * (width, height)
        for (x, y), colour in zip(np.round(joints).astype(int), colours, strict=True):
            image[y - half : y + half + 1, x - half : x + half + 1] = colour
        encoded.append(tf.io.encode_png(image, compression=1).numpy())
        points = np.concatenate([joints, np.full((COUNT, 1), 2)], 1)
        everybody.append(points)
        box = [0.1 * width, 0.1 * height, 0.8 * width, 0.8 * height]
        rows.append(
            {
                "id": number + 1, "image_id": number, "category_id": 1, "bbox": box, "area": box[2] * box[3], "iscrowd": 0,
                "num_keypoints": COUNT, "keypoints": points.ravel().tolist(),
            }
        )  # fmt: skip
    names = [f"fake{seed}-{number:05d}" for number in range(size)]
    images = [{"id": i, "width": width, "height": height, "file_name": name} for i, name in enumerate(names)]
    truth = {"images": images, "annotations": rows, "categories": [{"id": 1, "name": "person", "keypoints": list(KEYPOINTS)}]}
    joints = np.array(everybody, np.float32)
    joints[..., 2] = 1
    boxes = np.array([row["bbox"] for row in rows], np.float32)
    people = People(np.arange(size), boxes, joints, np.ones(size, np.float32))
    return FilePeople(names, np.arange(size), people, truth, encoded)
