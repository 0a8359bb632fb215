"""Folders of people in COCO's layout, and options in few words."""

import itertools
import json

import cv2
import numpy as np

from tests.reference import generator
from tfres.tasks.pose.options import PoseData
from tfres.tasks.pose.skeleton import KEYPOINTS
from tfres.tasks.pose.task import Pose

CATEGORY = {"id": 1, "name": "person", "keypoints": list(KEYPOINTS)}
STILL = {"half_body": 0.0, "scale": 0.0, "rotation": 0.0, "mirror": False}


def annotation(number, picture, x, y, **fields):
    """Somebody with all keypoints, on a diagonal from (x, y)."""
    points = [[x + 4 * i, y + 6 * i, 2] for i in range(17)]
    given = {
        "id": number, "image_id": picture, "category_id": 1, "iscrowd": 0, "area": 8800.0, "bbox": [x - 4, y - 4, 80, 110],
        "keypoints": sum(points, []), "num_keypoints": 17,
    }  # fmt: skip
    return {**given, **fields}


def truth(people, pictures=(3, 7), width=300, height=240):
    """A file of annotations as a mapping."""
    images = [{"id": i, "width": width, "height": height, "file_name": f"{i:012d}.jpg"} for i in pictures]
    return {"images": images, "annotations": people, "categories": [CATEGORY]}


def write_folder(root, train=None, val=None):
    """A folder of pictures and annotations; by default three people in two pictures, for both splits."""
    usual = [annotation(1, 3, 30, 40), annotation(2, 3, 150, 120), annotation(3, 7, 80, 90)]
    for name, given in (("train", train), ("val", val)):
        known = given or truth(usual)
        (root / name).mkdir(parents=True)
        (root / "annotations").mkdir(exist_ok=True)
        (root / f"annotations/person_keypoints_{name}.json").write_text(json.dumps(known))
        for row in known["images"]:
            image = generator(row["id"]).integers(0, 256, (row["height"], row["width"], 3), np.uint8)
            cv2.imwrite(str(root / name / row["file_name"]), image)
    return root


def opened(source="fake", **fields):
    """`(task, source)` of a small pipeline."""
    given = {"source": str(source), "batch_size": 2, "crop": "64x48", "fake_size": 5}
    data = PoseData(**{**given, **fields})
    found = Pose.open(data)
    return Pose(data.resolved(found), found.classes), found


def take(task, source, count, first_step=0, seed=0, sizes=((64, 48),), **rest):
    """The first training batches as dicts of arrays."""
    batches = task.training_batches(source, list(sizes), seed, first_step, **rest)
    return [{name: np.asarray(part) for name, part in batch.items()} for batch in itertools.islice(batches, count)]
