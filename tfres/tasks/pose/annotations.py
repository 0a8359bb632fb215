"""COCO's annotations of people and detections, looked at before anything relies on them."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tfres.data.options import is_number
from tfres.errors import SourceError
from tfres.files import parse_json, read_text
from tfres.tasks.pose.skeleton import COUNT, KEYPOINTS

LARGEST_FILE = 2**31  # bytes; COCO's largest has 2.3e8
_LISTS = ("images", "annotations", "categories")

Faults = list[tuple[str, str]]  # where, what


@dataclasses.dataclass(frozen=True)
class People:
    """Arrays with an entry per person.

    pictures: int64 `(n,)`, ids. boxes: float32 `(n, 4)`, left, top, width, height in pixels. joints: float32 `(n, 17, 3)`: x,
    y, and 1 where the joint is labelled and in the picture. scores: float32 `(n,)`, of the boxes.
    """

    pictures: np.ndarray
    boxes: np.ndarray
    joints: np.ndarray
    scores: np.ndarray

    def __len__(self) -> int:
        return len(self.pictures)

    def picked(self, indices: np.ndarray | slice) -> People:
        """Some of the people."""
        return People(*(getattr(self, field.name)[indices] for field in dataclasses.fields(self)))


def read_truth(path: str | pathlib.Path) -> dict[str, Any]:
    """A file of annotations: `images`, `annotations`, `categories` as COCO has them.

    Raises:
        SourceError: no such file, damaged, or without a category of people with COCO's 17 keypoints.
    """
    truth = _read_json(path, dict)
    for name in _LISTS:
        rows = truth.get(name)
        if not isinstance(rows, list) or not all(isinstance(row, dict) and _is_id(row.get("id")) for row in rows):
            raise SourceError(f"{path} must have a list {name} of entries with an id. Received: {str(rows)[:80]}.")
    for name in ("images", "categories"):
        numbers = [row["id"] for row in truth[name]]
        if len({*numbers}) < len(numbers):
            raise SourceError(f"{path} must have distinct ids of {name}. Received: the same id twice.")
    for row in truth["images"]:
        sides, name = (row.get("width"), row.get("height")), row.get("file_name")
        if not all(map(_is_id, sides)) or not min(sides) or not isinstance(name, str) or not name or "\0" in name:
            raise SourceError(f"{path}: image {row['id']} must have file_name, width and height. Received: {str(row)[:120]}.")
    people = [row for row in truth["categories"] if row.get("keypoints") is not None]
    if len(people) != 1 or people[0]["id"] != 1 or people[0]["keypoints"] != list(KEYPOINTS):
        found = [(row["id"], row.get("name"), str(row.get("keypoints"))[:60]) for row in truth["categories"][:5]]
        raise SourceError(
            f"{path} must have one category with keypoints, of the id 1 and with COCO's {COUNT} ({', '.join(KEYPOINTS[:2])}, "
            f"...). Received: {found}."
        )
    return truth


def read_people(path: str | pathlib.Path, faults: Faults, left_out: Faults) -> tuple[dict[str, Any], People]:
    """The truth of a file of annotations, and everybody with a labelled joint who is no crowd, in the file's order.

    Args:
        path: of the file.
        faults: gets annotations that mean nothing: of an unknown picture or category, or with fields of another kind.
        left_out: gets people whose boxes have no area or lie outside of the picture, and joints outside of it, which count as
            not labelled.

    Returns:
        `(truth, people)`: the truth is what pycocotools judges by; boxes of people are clipped to the picture.

    Raises:
        SourceError: see `read_truth`.
    """
    truth = read_truth(path)
    sides = {row["id"]: (row["width"], row["height"]) for row in truth["images"]}
    categories = {row["id"] for row in truth["categories"]}
    found, judged = [], []
    for row in truth["annotations"]:
        where = f"{path}, annotation {row['id']}"
        fault = _fault(row, sides, categories)
        if fault:
            faults.append((where, fault))
            continue
        if row["category_id"] != 1:
            continue
        joints = np.array(row["keypoints"], np.float32).reshape(COUNT, 3)
        judged.append(_judged(row, joints))
        if row.get("iscrowd") or not joints[:, 2].any():
            continue
        width, height = sides[row["image_id"]]
        box = _clipped(row, width, height)
        if isinstance(box, str):
            left_out.append((where, box))
            continue
        inside = np.all((joints[:, :2] >= 0) & (joints[:, :2] < (width, height)), 1)
        for joint in np.flatnonzero((joints[:, 2] > 0) & ~inside):
            left_out.append((where, f"{KEYPOINTS[joint]} lies outside of the picture"))
        joints[:, 2] = (joints[:, 2] > 0) & inside
        if joints[:, 2].any():
            found.append((row["image_id"], box, joints * joints[:, 2:], 1.0))
    return {"images": truth["images"], "annotations": judged, "categories": truth["categories"]}, _people(found)


def without(truth: Mapping[str, Any], pictures: set[int]) -> dict[str, Any]:
    """The truth without some pictures and what is annotated in them."""
    images = [row for row in truth["images"] if row["id"] not in pictures]
    return {**truth, "images": images, "annotations": [row for row in truth["annotations"] if row["image_id"] not in pictures]}


def read_detections(path: str | pathlib.Path, truth: Mapping[str, Any], least: float) -> People:
    """People of a file of detections: entries with image_id, category_id 1, bbox and score, those of known pictures.

    Args:
        path: of the file.
        truth: of `read_truth`.
        least: score.

    Raises:
        SourceError: no such file, damaged, or without a usable box for these pictures.
    """
    known, found = {row["id"] for row in truth["images"]}, []
    for number, row in enumerate(_read_json(path, list)):
        box = row.get("bbox") if isinstance(row, dict) else None
        if not _is_box(box) or not is_number(row.get("score")) or not _is_id(row.get("image_id")):
            raise SourceError(
                f"{path}: entry {number} must have image_id, category_id, bbox (four numbers) and score. "
                f"Received: {str(row)[:120]}."
            )
        if row.get("category_id") == 1 and row["image_id"] in known and row["score"] >= least and min(box[2:]) > 0:
            found.append((row["image_id"], box, np.zeros((COUNT, 3), np.float32), row["score"]))
    if not found:
        raise SourceError(f"{path} must have boxes of people for the validation pictures, of score {least:g} or more.")
    return _people(found)


def _read_json(path: str | pathlib.Path, holds: type) -> Any:
    return parse_json(read_text(path, SourceError, LARGEST_FILE), str(path), SourceError, holds)


def _people(rows: Sequence[tuple]) -> People:
    pictures, boxes, joints, scores = zip(*rows, strict=True) if rows else ((), (), (), ())
    return People(
        np.array(pictures, np.int64),
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(joints, np.float32).reshape(-1, COUNT, 3),
        np.array(scores, np.float32),
    )


def _fault(row: Mapping[str, Any], sides: Mapping[int, Any], categories: set[int]) -> str | None:
    points = row.get("keypoints")
    if row.get("image_id") not in sides:
        return f"image_id {row.get('image_id')} is none of the images"
    if row.get("category_id") not in categories:
        return f"category_id {row.get('category_id')} is none of the categories"
    if row["category_id"] != 1:
        return None
    if not _is_box(row.get("bbox")) or not is_number(row.get("area", 1)):
        return f"bbox must be four numbers, area a number (received {str(row.get('bbox'))[:60]}, {str(row.get('area'))[:20]})"
    whole = isinstance(points, list) and len(points) == 3 * COUNT and all(map(is_number, points))
    return None if whole else f"keypoints must be {3 * COUNT} numbers (received {str(points)[:60]})"


def _clipped(row: Mapping[str, Any], width: int, height: int) -> list[float] | str:
    """The box within the picture by the reference's rule (one pixel smaller), or why it is none."""
    left, top, across, down = row["bbox"]
    if min(across, down) <= 0 or row.get("area", 1) <= 0:
        return "its box has no area"
    x, y = max(0, left), max(0, top)
    right, bottom = min(width - 1, x + max(0, across - 1)), min(height - 1, y + max(0, down - 1))
    outside = min(left + across, top + down) <= 0 or left >= width or top >= height
    if outside or right < x or bottom < y or max(right - x, bottom - y) == 0:
        return "its box leaves an empty cut: it lies outside of the picture"
    return [x, y, right - x, bottom - y]


def _judged(row: Mapping[str, Any], joints: np.ndarray) -> dict[str, Any]:
    """What pycocotools looks at."""
    usual = {"area": row["bbox"][2] * row["bbox"][3], "iscrowd": 0, "num_keypoints": int(np.count_nonzero(joints[:, 2]))}
    names = ("id", "image_id", "category_id", "bbox", "keypoints")
    return {name: row.get(name, value) for name, value in usual.items()} | {name: row[name] for name in names}


def _is_id(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53


def _is_box(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 4 and all(map(is_number, value))
