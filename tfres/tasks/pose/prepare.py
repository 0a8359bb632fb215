"""People of a folder in COCO's layout as TFRecord shards: a record is a picture and one of the people in it."""

from __future__ import annotations

import pathlib

from tfres.data import shards
from tfres.files import write_json
from tfres.tasks.pose.annotations import Faults, without
from tfres.tasks.pose.skeleton import KEYPOINTS
from tfres.tasks.pose.source import TRUTH, open_folder
from tfres.tasks.pose.splits import BOX, IDENTITY, JOINTS, FilePeople


def prepare(
    folder: str | pathlib.Path, out: str | pathlib.Path, per_shard: int = shards.PER_SHARD
) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Write the shards that are not there yet, or not whole; see `write_shards`.

    Beside them `validation.json` has the annotations that answers are judged by, without pictures that were left out. A
    picture with several people is written once for each.

    Args:
        folder: see `open_folder`.
        out: folder of the shards.
        per_shard: people per shard.

    Returns:
        `(split -> number of records, list of (where, reason) of skipped annotations, joints and pictures)`.

    Raises:
        SourceError: nobody there. DataError: `out` belongs to other pictures, or a split with nobody who can be read.
    """
    faults: Faults = []
    source = open_folder(str(folder), faults)
    splits = {name: _items(split) for name, split in source.splits.items()}

    def encode(item: shards.Item) -> tuple[bytes | None, str]:
        path, picture, box, joints = item
        features, fault = shards.read_picture(path)
        if features is None:
            return None, fault
        person = {IDENTITY: picture, BOX: box, JOINTS: joints}
        return shards.serialized({**features, **person}), ""

    counts, skipped = shards.write_shards(folder, out, splits, per_shard, encode, list(KEYPOINTS))
    skipped, people = list(dict.fromkeys(skipped)), source.validation  # a picture is met once for everybody in it
    bad = {path for path, _ in skipped}
    pairs = zip(people.places.tolist(), people.people.pictures.tolist(), strict=True)
    unread = {picture for place, picture in pairs if people.paths[place] in bad}
    write_json(pathlib.Path(out) / TRUTH, without(people.truth, unread))
    return counts, [*faults, *source.left_out, *skipped]


def _items(split: FilePeople) -> list[shards.Item]:
    people = split.people
    parts = (people.pictures.tolist(), people.boxes.tolist(), people.joints.reshape(len(people), -1).tolist())
    return [(split.paths[place], *rest) for place, *rest in zip(split.places.tolist(), *parts, strict=True)]
