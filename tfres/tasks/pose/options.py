"""The recipe's `data` group of pose. Importing it does not load TensorFlow."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Literal

from tfres.data.options import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    LARGEST_SIDE,
    DataOptions,
    is_number,
    require_bytes,
    require_choice,
    require_whole,
)
from tfres.recipe import check
from tfres.settings import Setting
from tfres.tasks.pose.skeleton import COUNT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tfres.tasks.pose.source import Source

# Field -> lowest and highest value.
_RANGES = {
    "half_body": (0, 1), "scale": (0, 0.99), "rotation": (0, 90), "sigma": (0.1, 32), "visible": (0, 1), "oks": (0, 1),
}  # fmt: skip


@dataclasses.dataclass
class PoseData(DataOptions):
    """Where pictures of people come from and what happens to them. An example is the cut of one person.

    Args:
        source: fake (generated people), a folder in COCO's keypoint layout (annotations/person_keypoints_train*.json and
            val*.json beside folders of pictures of the same names), or a pattern or folder of TFRecord files.
        batch_size: people per step over all devices.
        fake_size: number of people of the fake source.
        limit: use only this many people of the training pictures; null for all.
        holdout: 0; networks that estimate poses are not left early.
        in_memory, service, cache: see `DataOptions`.
        boxes: file of detections (JSON: image_id, category_id, bbox, score) whose boxes validation takes in place of the
            annotated ones; null for these.
        least_score: of a detection that is looked at.
        crop: height and width of the one cut per person from which the step makes all resolutions, such as 256x192; null for
            the model's largest resolution. All resolutions have its shape.
        half_body: share of the people with many visible joints of whom training shows one half.
        half_body_joints: how many joints are not yet many.
        scale: deviation of a random factor of the cut's extent, which stays between 1 - scale and 1 + scale.
        rotation: deviation of a random angle in degrees, at most twice as much; 60 % of the people are turned.
        mirror: mirror half of the people.
        sigma: deviation of a target's peak in pixels, for heatmaps of 64 rows; it grows with them and is at least 1.
        hardest: joints per person that the loss looks at, those with the largest; 0 for all.
        visible: joints of a larger value count for a person's score.
        oks: people of a picture that are more similar than this are taken for one.
        soft_nms: lower the score of such people in place of dropping them.
        mean: per channel of [0, 1] RGB pictures; null for the family's, else ImageNet's.
        std: like mean.
        channel_order: rgb or bgr, what the network sees; null for rgb, or what `init` needs.
    """

    source: str = "fake"
    batch_size: int = 32
    boxes: str | None = None
    least_score: float = 0.0
    crop: int | list[int] | str | None = None
    half_body: float = 0.3
    half_body_joints: int = 8
    scale: float = 0.35
    rotation: float = 45.0
    mirror: bool = True
    sigma: float = 2.0
    hardest: int = 0
    visible: float = 0.2
    oks: float = 0.9
    soft_nms: bool = False
    mean: list[float] | None = None
    std: list[float] | None = None
    channel_order: Literal["rgb", "bgr"] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check(not self.holdout, "holdout", "0: networks that estimate poses are not left early", self.holdout)
        path = self.boxes is None or (isinstance(self.boxes, str) and bool(self.boxes.strip()) and "\0" not in self.boxes)
        check(path, "boxes", "a file of detections, or null", self.boxes)
        check(is_number(self.least_score), "least_score", "a finite number", self.least_score)
        if self.crop is not None:
            self.crop = _checked_crop(self.crop)
            pixels = 3 * self.crop_sides[0] * self.crop_sides[1]
            if self.source == "fake":
                require_bytes("fake_size", self.fake_size, self.fake_size * pixels, "the pictures")
            require_bytes("batch_size", self.batch_size, self.batch_size * pixels, "the pictures of a step")
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            check(is_number(value) and low <= value <= high, name, f"from {low} to {high}", value)
        require_whole("half_body_joints", self.half_body_joints, 0, COUNT)
        require_whole("hardest", self.hardest, 0, COUNT)
        for name in ("mirror", "soft_nms"):
            check(isinstance(getattr(self, name), bool), name, "true or false", getattr(self, name))
        for name, allowed in (("mean", "three finite numbers"), ("std", "three positive finite numbers")):
            value = getattr(self, name)
            listed = value is None or (isinstance(value, (list, tuple)) and len(value) == 3 and all(map(is_number, value)))
            check(listed and (name == "mean" or value is None or min(value) > 0), name, allowed, value)
        require_choice("channel_order", self.channel_order, ("rgb", "bgr"))

    @property
    def crop_sides(self) -> tuple[int, int]:
        """Height and width of the cut in pixels."""
        return Setting.parse(tuple(self.crop) if isinstance(self.crop, list) else self.crop).sides

    @property
    def aspect(self) -> float:
        """Width / height of the cut."""
        height, width = self.crop_sides
        return width / height

    def sized(self, resolutions: Sequence, usual: int) -> PoseData:
        """The options with the cut filled in."""
        largest = resolutions[0] if isinstance(resolutions[0], int) else list(resolutions[0])
        return dataclasses.replace(self, crop=self.crop or largest)

    def resolved(self, source: Source) -> PoseData:
        """The options with the usual values of what the family leaves out."""
        return dataclasses.replace(
            super().resolved(source),
            channel_order=self.channel_order or "rgb",
            mean=list(self.mean or IMAGENET_MEAN),
            std=list(self.std or IMAGENET_STD),
        )

    def elsewhere(self, source: str) -> PoseData:
        """The options for other pictures: with their annotated boxes."""
        return dataclasses.replace(super().elsewhere(source), boxes=None)


def _checked_crop(crop: int | list[int] | str) -> int | list[int]:
    """A side, or height and width."""
    try:
        sides = Setting.parse(tuple(crop) if isinstance(crop, list) else crop).resolution
    except (TypeError, ValueError):
        sides = None
    fits = sides is not None and max(sides if isinstance(sides, tuple) else (sides,)) <= LARGEST_SIDE
    check(fits, "crop", f"a side or height x width up to {LARGEST_SIDE}, such as 256x192", crop)
    return list(sides) if isinstance(sides, tuple) else sides
