"""The recipe's `data` group of classification. Importing it does not load TensorFlow."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Literal

from tfres.data.options import (
    LARGEST_SIDE,
    DataOptions,
    is_number,
    require_bytes,
    require_choice,
    require_whole,
)
from tfres.recipe import check

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tfres.settings import Resolution
    from tfres.tasks.classification.source import Source

_WORDS = {
    "crop": ("pad", "reflect", "area", "none"),
    "rules": ("torchvision", "tensorpack"),
    "evaluation_cut": ("each", "once"),
    "antialias": ("exact", "fast", "none"),
    "resize": ("nearest", "bilinear", "align_corners"),
    "flip": ("shared", "independent", "none"),
    "channel_order": ("rgb", "bgr"),
}


@dataclasses.dataclass
class ClassificationData(DataOptions):
    """Where pictures come from and what happens to them.

    Args:
        source: cifar10, fake (random pictures), a folder with train/ and val/, or a pattern or folder of TFRecord files.
        batch_size, fake_size, limit, holdout, in_memory, service, cache: see `DataOptions`.
        side: pixels of the one crop per picture from which the step makes all resolutions; null for the larger of the
            preset's and the model's largest resolution.
        crop: random crop in training: pad (by an eighth on every side, then crop), reflect (the same with the picture's
            mirror image around it), area (8-100 % of the area, aspect 3/4 to 4/3, resized) or none; null for pad on cifar10,
            area otherwise. With all but area, a picture that has the right side already stays whole in evaluation.
        smallest_area: share of the picture that crop area takes at least.
        rules: whose cutting and host-side resizing: torchvision (antialiased bilinear) or tensorpack (cubic).
        evaluation_cut: each (evaluation resizes every picture anew for each resolution) or once (it makes all resolutions
            from one crop); null for once where the source holds pixels (cifar10, fake), else for each with rules
            torchvision and once with tensorpack.
        antialias: how the training crop is shrunk with rules torchvision: exact (Pillow's pixels, as evaluation always has
            them), fast (within a grey level or two of them) or none (plain bilinear: faster to feed, but not the
            reference's pictures); null for fast.
        resize: how the step makes the smaller resolutions: nearest, bilinear (antialiased) or align_corners.
        flip: mirror half of the training pictures: shared (one draw for all resolutions), independent (one draw each) or none.
        lighting: standard deviation of PCA lighting noise; null for 0 on cifar10 and in mode float, else 0.1.
        augment: keras-cv layers applied to training batches in [0, 255], each a mapping with `name` and arguments. MixUp and
            CutMix mix the labels too.
        mean: per channel of [0, 1] RGB pictures; null for 0 in mode float, else the source's (CIFAR-10's or ImageNet's).
        std: like mean; null for 1 in mode float.
        channel_order: rgb or bgr, what the network sees; null for rgb, or what `init` needs.
        label_offset: subtracted from the labels of TFRecord files; null for 1 in the classic ImageNet schema, else 0.
        label_smoothing: share of the label's weight that is spread evenly over all classes, in training.
    """

    side: int | None = None
    crop: Literal["pad", "reflect", "area", "none"] | None = None
    smallest_area: float = 0.08
    rules: Literal["torchvision", "tensorpack"] | None = None
    evaluation_cut: Literal["each", "once"] | None = None
    antialias: Literal["exact", "fast", "none"] | None = None
    resize: Literal["nearest", "bilinear", "align_corners"] | None = None
    flip: Literal["shared", "independent", "none"] | None = None
    lighting: float | None = None
    augment: list[dict] = dataclasses.field(default_factory=list)
    mean: list[float] | None = None
    std: list[float] | None = None
    channel_order: Literal["rgb", "bgr"] | None = None
    label_offset: int | None = None
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require_whole("side", self.side, 1, LARGEST_SIDE, optional=True)
        pixels = 3 * (self.side or 1) ** 2
        if self.source == "fake":
            require_bytes("fake_size", self.fake_size, self.fake_size * pixels, "the pictures")
        require_bytes("batch_size", self.batch_size, self.batch_size * pixels, "the pictures of a step")
        for name, allowed in _WORDS.items():
            require_choice(name, getattr(self, name), allowed)
        unused = self.antialias is None or self.rules != "tensorpack"
        check(unused, "antialias", "left out with rules tensorpack", self.antialias)
        area = self.smallest_area
        check(is_number(area) and 0 < area <= 1, "smallest_area", "in (0, 1]", area)
        light = self.lighting
        check(light is None or (is_number(light) and light >= 0), "lighting", "zero or positive, and finite", light)
        share = self.label_smoothing
        check(is_number(share) and 0 <= share < 1, "label_smoothing", "in [0, 1)", share)
        for name, allowed in (("mean", "three finite numbers"), ("std", "three positive finite numbers")):
            value = getattr(self, name)
            listed = value is None or (isinstance(value, (list, tuple)) and len(value) == 3 and all(map(is_number, value)))
            check(listed and (name == "mean" or value is None or min(value) > 0), name, allowed, value)
        require_whole("label_offset", self.label_offset, -(2**31), 2**31 - 1, optional=True)
        mappings = isinstance(self.augment, list) and all(
            isinstance(layer, dict) and "name" in layer for layer in self.augment
        )
        check(mappings, "augment", "a list of mappings with a `name`", self.augment)

    @property
    def cuts_anew(self) -> bool:
        """Whether evaluation cuts every picture anew for each resolution."""
        return (self.evaluation_cut or ("each" if self.rules == "torchvision" else "once")) == "each"

    def sized(self, resolutions: Sequence[Resolution], usual: int) -> ClassificationData:
        """The options with the side filled in.

        Raises:
            RecipeError: resolutions that are no squares.
        """
        square = all(isinstance(resolution, int) for resolution in resolutions)
        check(square, "resolutions", "sides of squares to tell something of whole pictures", list(resolutions))
        return dataclasses.replace(self, side=self.side or max(*resolutions, usual))

    def resolved(self, source: Source) -> ClassificationData:
        """The options with what is left to the source filled in: holdout, crop, evaluation cut, lighting, mean and std."""
        return dataclasses.replace(
            super().resolved(source),
            crop=self.crop or source.crop,
            evaluation_cut=self.evaluation_cut or ("each" if self.cuts_anew and not source.holds_pixels else "once"),
            lighting=source.lighting if self.lighting is None else self.lighting,
            mean=list(self.mean or source.mean),
            std=list(self.std or source.std),
        )

    def elsewhere(self, source: str) -> ClassificationData:
        """The options for other pictures: all of them, and where their labels begin is told anew."""
        return dataclasses.replace(super().elsewhere(source), label_offset=None)
