"""The recipe's `data` group of segmentation. Importing it does not load TensorFlow."""

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

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tfres.settings import Resolution
    from tfres.tasks.segmentation.source import Source

_WORDS = {
    "resize": ("nearest", "bilinear", "align_corners"),
    "channel_order": ("rgb", "bgr"),
    "loss": ("ohem", "cross_entropy"),
}
STEP = 0.1  # between the scales of the augmentation


@dataclasses.dataclass
class SegmentationData(DataOptions):
    """Where pictures and their label pictures come from and what happens to them.

    Args:
        source: fake (generated pictures), a folder of pictures and label pictures (own data with images/, labels/ and
            classes.json, Cityscapes' or CamVid's layout), or a pattern or folder of TFRecord files.
        batch_size, fake_size, limit, holdout, in_memory, service, cache: see `DataOptions`.
        lists: folder of train.txt (or .lst) and val.txt with a picture and its label picture per line, where these are not in
            the source's folder.
        crop: height and width of the one crop per picture from which the step makes all resolutions, such as 512x1024; null
            for the model's largest resolution.
        long_side: of the picture at scale 1, in pixels; null for its own.
        scales: smallest and largest factor of the long side in training, drawn in steps of 0.1.
        mirror: mirror half of the training pictures.
        resize: how the step makes the smaller resolutions: nearest, bilinear (antialiased) or align_corners; label pictures
            stay as they are, answers are brought to their size.
        mean: per channel of [0, 1] RGB pictures; null for the family's, else ImageNet's.
        std: like mean.
        channel_order: rgb or bgr, what the network sees; null for rgb, or what `init` needs.
        loss: ohem (the hard pixels of a batch, see `ohem_threshold` and `ohem_keep`) or cross_entropy (all).
        ohem_threshold: probability of the right class from which on a pixel is easy.
        ohem_keep: pixels of a step (of a replica) that count at least.
        class_weights: factor of the loss of every class's pixels, in the order of the classes; null for 1 each.
    """

    source: str = "fake"
    batch_size: int = 8
    lists: str | None = None
    crop: int | list[int] | str | None = None
    long_side: int | None = None
    scales: list[float] = dataclasses.field(default_factory=lambda: [0.5, 2.1])
    mirror: bool = True
    resize: Literal["nearest", "bilinear", "align_corners"] | None = None
    mean: list[float] | None = None
    std: list[float] | None = None
    channel_order: Literal["rgb", "bgr"] | None = None
    loss: Literal["ohem", "cross_entropy"] = "ohem"
    ohem_threshold: float = 0.9
    ohem_keep: int = 131072
    class_weights: list[float] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        folder = self.lists is None or (isinstance(self.lists, str) and bool(self.lists.strip()) and "\0" not in self.lists)
        check(folder, "lists", "a folder", self.lists)
        if self.crop is not None:
            self.crop = _checked_crop(self.crop)
            pixels = 3 * self.crop_sides[0] * self.crop_sides[1]
            if self.source == "fake":
                require_bytes("fake_size", self.fake_size, self.fake_size * pixels, "the pictures")
            require_bytes("batch_size", self.batch_size, self.batch_size * pixels, "the pictures of a step")
        require_whole("long_side", self.long_side, 1, 4 * LARGEST_SIDE, optional=True)
        ends = self.scales
        pair = (
            isinstance(ends, (list, tuple)) and len(ends) == 2 and all(map(is_number, ends)) and 0 < ends[0] <= ends[1] <= 16
        )
        check(pair, "scales", "two ascending factors above 0, at most 16", ends)
        check(isinstance(self.mirror, bool), "mirror", "true or false", self.mirror)
        for name, allowed in _WORDS.items():
            require_choice(name, getattr(self, name), allowed, optional=name != "loss")
        for name, allowed in (("mean", "three finite numbers"), ("std", "three positive finite numbers")):
            value = getattr(self, name)
            listed = value is None or (isinstance(value, (list, tuple)) and len(value) == 3 and all(map(is_number, value)))
            check(listed and (name == "mean" or value is None or min(value) > 0), name, allowed, value)
        limit, usual = self.ohem_threshold, type(self).ohem_threshold
        check(is_number(limit) and 0 <= limit <= 1, "ohem_threshold", "in [0, 1]", limit)
        require_whole("ohem_keep", self.ohem_keep, 1, 2**31 - 1)
        for name, value, ordinary in (
            ("ohem_threshold", limit, usual), ("ohem_keep", self.ohem_keep, type(self).ohem_keep)
        ):  # fmt: skip
            check(self.loss == "ohem" or value == ordinary, name, "left out unless `loss` is ohem", value)
        weights = self.class_weights
        positive = weights is None or (isinstance(weights, (list, tuple)) and all(is_number(w) and w >= 0 for w in weights))
        check(positive and (weights is None or max(weights, default=0) > 0), "class_weights", "zero or positive", weights)

    @property
    def crop_sides(self) -> tuple[int, int]:
        """Height and width of the crop in pixels."""
        return Setting.parse(self.crop if isinstance(self.crop, (int, str)) else tuple(self.crop)).sides

    @property
    def scale_steps(self) -> int:
        """Number of scales of the augmentation."""
        return round((self.scales[1] - self.scales[0]) / STEP) + 1

    def sized(self, resolutions: Sequence[Resolution], usual: int) -> SegmentationData:
        """The options with the crop filled in."""
        largest = resolutions[0] if isinstance(resolutions[0], int) else list(resolutions[0])
        return dataclasses.replace(self, crop=self.crop or largest)

    def resolved(self, source: Source) -> SegmentationData:
        """The options with what is left to the source filled in, and the usual values of what the family leaves out."""
        weights = self.class_weights
        check(
            weights is None or len(weights) == len(source.classes),
            "class_weights", f"{len(source.classes)} numbers, one per class", weights,
        )  # fmt: skip
        return dataclasses.replace(
            super().resolved(source),
            resize=self.resize or "bilinear",
            channel_order=self.channel_order or "rgb",
            mean=list(self.mean or IMAGENET_MEAN),
            std=list(self.std or IMAGENET_STD),
        )

    def elsewhere(self, source: str) -> SegmentationData:
        """The options for other pictures: lists are where these are."""
        return dataclasses.replace(super().elsewhere(source), lists=None)


def _checked_crop(crop: int | list[int] | str) -> int | list[int]:
    """A side, or height and width."""
    allowed = f"a side or height x width up to {LARGEST_SIDE}, such as 512x1024"
    try:
        sides = Setting.parse(tuple(crop) if isinstance(crop, list) else crop).resolution
    except (TypeError, ValueError):
        sides = None
    fits = sides is not None and max(sides if isinstance(sides, tuple) else (sides,)) <= LARGEST_SIDE
    check(fits, "crop", allowed, crop)
    return list(sides) if isinstance(sides, tuple) else sides
