"""What every task's data options have in common. Importing it does not load TensorFlow."""

from __future__ import annotations

import dataclasses
import math
import re
from typing import TYPE_CHECKING, Any

from tfres.recipe import check

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tfres.settings import Resolution

# Mean and deviation of ImageNet's RGB pixels in [0, 1].
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
LARGEST_SIDE = 4096
LARGEST_BATCH = 65536
LARGEST_HOLDOUT = 0.9
_LARGEST_BYTES = 4 * 2**30
_ADDRESS = re.compile(r"grpc://[^\s/:]+:(\d{1,5})")


def require_whole(name: str, value: Any, low: int, high: int | None = None, optional: bool = False) -> None:
    """Raises RecipeError unless the value is a whole number from `low` to `high` (or None, where it is optional)."""
    if optional and value is None:
        return
    bounds = f"of at least {low}" if high is None else f"from {low} to {high}"
    if (low, high) == (1, None):
        bounds = "that is positive"
    whole = isinstance(value, int) and not isinstance(value, bool)
    check(whole and value >= low and (high is None or value <= high), name, f"a whole number {bounds}", value)


def is_number(value: Any) -> bool:
    """Whether the value is a finite number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def require_choice(name: str, value: Any, allowed: tuple[str, ...], optional: bool = True) -> None:
    """Raises RecipeError unless the value is one of the allowed words (or None, where it is optional)."""
    if not (optional and value is None):
        check(isinstance(value, str) and value in allowed, name, f"one of {', '.join(allowed)}", value)


def require_bytes(name: str, value: Any, amount: int, what: str) -> None:
    """Raises RecipeError where something would need more than 4 GiB; called before the memory is asked for."""
    check(amount <= _LARGEST_BYTES, name, f"so small that {what} fit into 4 GiB (they need {amount / 2**30:.4g} GiB)", value)


@dataclasses.dataclass
class DataOptions:
    """Where pictures come from and how they are read, whatever the task.

    Args:
        source: name of a built-in source, a folder, or a pattern or folder of TFRecord files.
        batch_size: pictures per step over all devices.
        fake_size: number of pictures of the fake source.
        limit: use only this many training pictures; null for all.
        holdout: share of the training pictures (after `limit`) that is never trained on but calibrates when a network is left
            at which exit; always the same pictures, whatever the seed of the training. Whole shards, the last ones, of
            TFRecord files; a folder calibration/ or shards calibration* beside the training pictures are used in place of the
            share. null for what the family needs, else 0.
        in_memory: read the encoded pictures of folders and TFRecord files once and keep them in memory.
        service: address of a tf.data service dispatcher (grpc://host:port) whose workers prepare the training pictures.
        cache: folder of downloads; null for `$TFRES_DATA` or `~/.cache/tfres`.
    """

    source: str = "cifar10"
    batch_size: int = 128
    fake_size: int = 512
    limit: int | None = None
    holdout: float | None = None
    in_memory: bool = False
    service: str | None = None
    cache: str | None = None

    def __post_init__(self) -> None:
        text = isinstance(self.source, str) and bool(self.source.strip()) and "\0" not in self.source
        check(text, "source", "the name of a source, a folder or a pattern of files", self.source)
        require_whole("batch_size", self.batch_size, 1, LARGEST_BATCH)
        require_whole("fake_size", self.fake_size, 1)
        require_whole("limit", self.limit, 1, optional=True)
        share = self.holdout
        check(share is None or (is_number(share) and 0 <= share <= LARGEST_HOLDOUT), "holdout", "in [0, 0.9]", share)
        check(isinstance(self.in_memory, bool), "in_memory", "true or false", self.in_memory)
        if self.service is not None:
            match = _ADDRESS.fullmatch(self.service) if isinstance(self.service, str) else None
            valid = match is not None and 0 < int(match[1]) < 65536
            check(valid, "service", "an address of the form grpc://host:port", self.service)
        check(self.cache is None or (isinstance(self.cache, str) and bool(self.cache)), "cache", "a folder", self.cache)

    def sized(self, resolutions: Sequence[Resolution], usual: int) -> DataOptions:
        """The options for a network.

        Args:
            resolutions: of its pictures, the largest first: sides, or pairs of height and width.
            usual: largest side of its architecture.
        """
        return self

    def resolved(self, source: Any) -> DataOptions:
        """The options with what is left to the source filled in; what nobody asked to be held out is 0."""
        return dataclasses.replace(self, holdout=self.holdout or 0.0)

    def elsewhere(self, source: str) -> DataOptions:
        """The options for other pictures of a trained network, as evaluation takes them; none of these are held out."""
        return dataclasses.replace(self, source=source, holdout=0.0)
