"""The task: a class for every pixel."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from tfres.data import faults
from tfres.data.batching import steps_in
from tfres.data.decoding import decode
from tfres.layers import MultiResolutionCrop
from tfres.layers.maps import resized
from tfres.settings import Setting
from tfres.tasks.segmentation import losses
from tfres.tasks.segmentation import pipeline as batches
from tfres.tasks.segmentation.drawing import Overlays
from tfres.tasks.segmentation.metrics import Overlap
from tfres.tasks.segmentation.source import Source, open_source
from tfres.tasks.segmentation.splits import find_faults
from tfres.tasks.segmentation.testing import looked_at

if TYPE_CHECKING:
    from tfres.tasks import Looks, Run
    from tfres.tasks.segmentation.options import SegmentationData


class Segmentation:
    """Tells of every pixel which of some classes it shows; see `tfres.tasks.Task`.

    Outputs of networks are logits `(batch, h, w, classes)` of any size: losses, metrics and answers bring them to the size of
    labels and pictures (bilinear, half-pixel centres). Targets of training are uint8 labels `(batch, height, width)`, those of
    evaluation `{"labels", "sides"}` (see `evaluation_batches`); 255 is ignored.

    Args:
        data: `SegmentationData` without open ends: given by the user, the family's defaults, `data.resolved(source)`.
        classes: names of the classes, in the order of the labels.
        outputs: number of classes that the network tells apart, at least as many as names; None for as many.

    Example:
        >>> data = SegmentationData(source="fake", crop="64x96", batch_size=2)
        >>> source = Segmentation.open(data, 5)
        >>> task = Segmentation(data.resolved(source), source.classes)
        >>> batch = next(iter(task.training_batches(source, [(64, 96), (32, 48)], seed=0)))
        >>> images, labels = task.prepare(batch, [(64, 96), (32, 48)], training=True)
        >>> images[32, 48].shape, labels.shape
        (TensorShape([2, 32, 48, 3]), TensorShape([2, 64, 96]))
    """

    score = "miou"
    loss_name = "cross_entropy"

    def __init__(self, data: SegmentationData, classes: Sequence[str], outputs: int | None = None) -> None:
        self.data = data
        self.classes = list(classes)
        self.outputs = outputs or len(self.classes)
        if self.outputs < len(self.classes):
            raise ValueError(f"`outputs` must be at least the {len(self.classes)} classes. Received: outputs={outputs}.")
        open_ends = [name for name in ("crop", "resize", "mean", "std", "channel_order") if getattr(data, name) is None]
        if open_ends:
            raise ValueError(f"`data` must be resolved. Received: data without {', '.join(open_ends)}.")
        self._crop = functools.cache(self._make_crop)

    @classmethod
    def open(cls, data: SegmentationData, classes: int | Sequence[str] | None = None) -> Source:
        """See `Task.open`."""
        if classes is None or isinstance(classes, int):
            return open_source(data, classes)
        return open_source(data, len(classes)).relabelled(classes)

    @classmethod
    def write_records(cls, folder: str, records: str, per_shard: int) -> tuple[dict[str, int], list[tuple[str, str]]]:
        """See `Task.write_records`; `tfres.tasks.segmentation.prepare` says how."""
        from tfres.tasks.segmentation.prepare import prepare

        return prepare(folder, records, per_shard)

    def steps_per_epoch(self, source: Source) -> int:
        """Full batches in one pass.

        Raises:
            DataError: less than one.
        """
        return steps_in(source.train.size, self.data.batch_size)

    def crop(self, sizes: Sequence[Hashable]) -> MultiResolutionCrop:
        """The layer that makes pictures of some sizes from a batch of crops."""
        return self._crop(tuple(map(sides_of, sizes)))

    def _make_crop(self, sizes: tuple[tuple[int, int], ...]) -> MultiResolutionCrop:
        data = self.data
        flip = "shared" if data.mirror else "none"
        return MultiResolutionCrop(list(sizes), data.resize, data.mean, data.std, data.channel_order, flip)

    def training_batches(
        self,
        source: Source,
        sizes: Sequence[Hashable],
        seed: int,
        first_step: int = 0,
        shared: int = 0,
        replicas: int = 1,
        pipeline: tuple[int, int] = (0, 1),
    ) -> tf.data.Dataset:
        """See `Task.training_batches`; images and targets are of `data.crop`."""
        draws = self.crop(sizes).draws
        return batches.training_batches(source, self.data, seed, first_step, draws, shared, replicas, pipeline)

    def evaluation_batches(
        self, source: Source, sizes: Sequence[Hashable], split: str = "validation", seed: int | None = None
    ) -> tf.data.Dataset:
        """See `Task.evaluation_batches`; targets are `labels` at the size of the pictures as they are stored, padded to the
        largest of a batch, and their `sides`.
        """
        return batches.evaluation_batches(source, self.data, sizes, self.evaluation_picture, split, seed)

    def evaluation_picture(self, picture: tf.Tensor, size: Hashable) -> tf.Tensor:
        """The whole picture, resized by the run's rule and rounded.

        Args:
            picture: scalar string (JPEG, PNG, BMP or GIF bytes) or uint8 RGB `(height, width, 3)`.
            size: a side in pixels or `(height, width)`.

        Returns:
            uint8 RGB at that size.
        """
        picture = tf.convert_to_tensor(picture)
        return self.crop([size]).resized((decode(picture) if picture.dtype == tf.string else picture)[None], sides_of(size))[0]

    def prepare(
        self, batch: Mapping[str, Any], sizes: Sequence[Hashable], training: bool
    ) -> tuple[dict[Hashable, tf.Tensor], Any]:
        """On the device: every size from the batch's pictures, normalised; see `Task.prepare`.

        In training pictures and labels are mirrored alike. Labels stay at the size of the crop.
        """
        crop, targets, images = self.crop(sizes), batch.get("targets"), batch["images"]
        if training:
            draws = batch["draws"][:, : crop.draws]
            made = crop(images, draws=draws, training=True)
            if self.data.mirror and targets is not None:
                targets = tf.where(draws[:, 3, None, None] < 0.5, targets[:, :, ::-1], targets)
            return {size: made[sides_of(size)] for size in sizes}, targets
        if isinstance(images, Mapping):
            by_size = {batches.key(size): image for size, image in images.items()}
        else:
            by_size = dict.fromkeys(map(batches.key, sizes), images)
        return {size: crop.at(by_size[batches.key(size)], sides_of(size)) for size in sizes}, targets

    def resized(self, images: tf.Tensor, size: Hashable) -> tf.Tensor:
        """See `Task.resized`."""
        return self.crop([size]).at(images, sides_of(size))

    def normalised(self, images: tf.Tensor) -> tf.Tensor:
        """See `Task.normalised`."""
        return self.crop([self.data.crop_sides]).normalised(images)

    def explained(self, source: Source) -> contextlib.AbstractContextManager:
        """See `Task.explained`."""
        splits = source.splits.values()
        return faults.explained(lambda: [found for split in splits for found in find_faults(split, source.table)])

    def loss(self, outputs: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        """Cross entropy of the hard pixels or of all, by `data.loss`; targets uint8 `(batch, height, width)`."""
        data = self.data
        if data.loss == "ohem":
            hard = (data.ohem_threshold, data.ohem_keep)
            return losses.hard_cross_entropy(targets, outputs, *hard, class_weights=data.class_weights)
        return losses.cross_entropy(targets, outputs, class_weights=data.class_weights)

    def divergence(self, teacher: tf.Tensor, student: tf.Tensor, temperature: float = 1.0, form: str = "mse") -> tf.Tensor:
        """Distance of two maps of logits at the student's size, to which the teacher's are brought.

        "mse": mean of the squared differences / temperature^2; "kl" and "cross_entropy": mean over the pixels of
        sum p (ln p - ln q) and of -sum p ln q, p and q the softmax of logits / temperature. No gradient through the teacher.
        """
        if form not in losses.FORMS:
            raise ValueError(f"`form` must be one of {', '.join(losses.FORMS)}. Received: form={form!r}.")
        teacher, student = losses.precise(teacher), losses.precise(student)
        if form == "mse":
            return losses.squared_difference(teacher / temperature, student / temperature)
        distance = losses.kl_divergence if form == "kl" else losses.soft_cross_entropy
        return distance(teacher, student, temperature)

    def aligned(self, outputs: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """See `Task.aligned`: all at the size of the largest map."""
        height, width = max(tuple(one.shape[1:3]) for one in outputs)
        return [resized(one, height, width) for one in outputs]

    def looking(self, run: Run, looks: Looks) -> Run:
        """See `Task.looking`: logarithms of the mean probabilities, at the size of the images."""

        def looked(images: tf.Tensor) -> tf.Tensor:
            scores = looked_at(run, images, looks.scales, looks.mirror, looks.windows)
            return tf.math.log(scores / len(looks.scales) + 1e-30)

        return looked

    def drawing(self, source: Source) -> Overlays:
        """See `Task.drawing`."""
        return Overlays(self, source)

    def metrics(self, source: Source | None = None) -> Overlap:
        """New, empty metrics."""
        return Overlap(self.classes, self.outputs)

    def answer(self, outputs: tf.Tensor, sides: tf.Tensor | None = None) -> dict[str, tf.Tensor]:
        """`class_map` uint8 `(batch, height, width)`, `probabilities` float32 `(batch, height, width, classes)`.

        Args:
            outputs: logits.
            sides: height and width of the pictures as they came, int32 `(2,)`; None for the logits' own.
        """
        logits = losses.precise(outputs)
        if sides is not None:
            logits = resized(logits, *tf.unstack(sides))
        return {"class_map": tf.cast(tf.argmax(logits, axis=-1), tf.uint8), "probabilities": tf.nn.softmax(logits)}


def sides_of(size: Hashable) -> tuple[int, int]:
    """Height and width of a size."""
    return Setting.parse(size).sides
