"""The task: one class label per picture."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from tfres.data.batching import steps_in
from tfres.errors import RecipeError
from tfres.layers import MultiResolutionCrop
from tfres.tasks.classification import losses
from tfres.tasks.classification import pipeline as batches
from tfres.tasks.classification.confidence import confidence
from tfres.tasks.classification.faults import explained
from tfres.tasks.classification.metrics import Accuracy, correct
from tfres.tasks.classification.source import Source, open_source

if TYPE_CHECKING:
    from tfres.tasks import Looks, Run
    from tfres.tasks.classification.options import ClassificationData


class Classification:
    """Tells which of some classes a picture shows; see `tfres.tasks.Task`.

    Args:
        data: `ClassificationData` without open ends: given by the user, the family's defaults, `data.resolved(source)`.
        classes: names of the classes, in the order of the labels.
        outputs: number of classes that the network tells apart, at least as many as names; None for as many.

    Example:
        >>> data = ClassificationData(source="fake", side=32, rules="torchvision", resize="bilinear", flip="shared",
        ...                           channel_order="rgb")
        >>> source = Classification.open(data, 10)
        >>> task = Classification(data.resolved(source), source.classes)
        >>> batch = next(iter(task.training_batches(source, [32, 24], seed=0)))
        >>> images, labels = task.prepare(batch, [32, 24], training=True)
        >>> images[24].shape
        TensorShape([128, 24, 24, 3])
    """

    score = "top1"
    loss_name = "cross_entropy"

    def __init__(self, data: ClassificationData, classes: Sequence[str], outputs: int | None = None) -> None:
        self.data = data
        self.classes = list(classes)
        self.outputs = outputs or len(self.classes)
        if self.outputs < len(self.classes):
            raise ValueError(f"`outputs` must be at least the {len(self.classes)} classes. Received: outputs={outputs}.")
        open_ends = [name for name in ("side", "crop", "resize", "mean", "std", "rules") if getattr(data, name) is None]
        if open_ends:
            raise ValueError(f"`data` must be resolved. Received: data without {', '.join(open_ends)}.")
        self._crop = functools.cache(self._make_crop)

    @classmethod
    def open(cls, data: ClassificationData, classes: int | Sequence[str] | None = None) -> Source:
        """See `Task.open`."""
        if classes is None or isinstance(classes, int):
            return open_source(data, classes)
        return open_source(data, len(classes)).relabelled(classes)

    @classmethod
    def write_records(cls, folder: str, records: str, per_shard: int) -> tuple[dict[str, int], list[tuple[str, str]]]:
        """See `Task.write_records`; `tfres.tasks.classification.prepare` says how."""
        from tfres.tasks.classification.prepare import prepare

        return prepare(folder, records, per_shard)

    def steps_per_epoch(self, source: Source) -> int:
        """Full batches in one pass.

        Raises:
            DataError: less than one.
        """
        return steps_in(source.train.size, self.data.batch_size)

    def crop(self, sizes: Sequence[Hashable]) -> MultiResolutionCrop:
        """The layer that makes pictures of some sizes from a batch of crops."""
        return self._crop(tuple(map(side_of, sizes)))

    def _make_crop(self, sides: tuple[int, ...]) -> MultiResolutionCrop:
        data = self.data
        return MultiResolutionCrop(
            list(sides),
            data.resize,
            data.mean,
            data.std,
            data.channel_order or "rgb",
            data.flip or "none",
            data.lighting or 0.0,
        )

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
        """See `Task.training_batches`; images are uint8 RGB `(batch, side, side, 3)` at `data.side`, targets int32 labels
        `(batch,)` or, where MixUp or CutMix mix them, float32 `(batch, outputs)`.
        """
        return batches.training_batches(
            source, self.data, self.outputs, seed, first_step, self.crop(sizes).draws, shared, replicas, pipeline
        )

    def evaluation_batches(
        self, source: Source, sizes: Sequence[Hashable], split: str = "validation", seed: int | None = None
    ) -> tf.data.Dataset:
        """See `Task.evaluation_batches`; every picture is cut by `evaluation_picture`, targets are int32 labels."""
        return batches.evaluation_batches(source, self.data, {size: self._cut_side(size) for size in sizes}, split, seed)

    def evaluation_picture(self, picture: tf.Tensor, size: Hashable) -> tf.Tensor:
        """The one rule of evaluation's cut, for the pipeline and for servers.

        Where `data.cuts_anew`, the picture is cut at the size itself, otherwise at `data.side`, from which `prepare` makes the
        size. The cut is `centre_crop`'s; but pictures that are as large already stay whole unless training takes crops of
        random area.

        Args:
            picture: scalar string (JPEG, PNG, BMP or GIF bytes) or uint8 RGB `(height, width, 3)`.
            size: a side in pixels or a square `(height, width)`.

        Returns:
            uint8 RGB `(side, side, 3)`.
        """
        return batches.evaluation_cut(tf.convert_to_tensor(picture), self._cut_side(size), self.data)

    def _cut_side(self, size: Hashable) -> int:
        side = side_of(size)
        return side if self.data.cuts_anew else self.data.side

    def prepare(
        self, batch: Mapping[str, Any], sizes: Sequence[Hashable], training: bool
    ) -> tuple[dict[Hashable, tf.Tensor], tf.Tensor | None]:
        """On the device: every size from the batch's pictures, normalised; see `Task.prepare`.

        Args:
            batch: of `training_batches` (`training`: with its draws come lighting and flips; targets are smoothed), or of
                `evaluation_batches`, or `{"images": {size: uint8 pictures of any side}}`.
            sizes: wanted.
            training: see above. Without it, images may be one tensor for all sizes too.

        Returns:
            `({size: float32 (batch, side, side, 3)}, targets)`; targets are None where the batch has none.
        """
        crop, targets, images = self.crop(sizes), batch.get("targets"), batch["images"]
        if training:
            made = crop(images, draws=batch["draws"][:, : crop.draws], training=True)
            if self.data.label_smoothing and targets is not None:
                targets = losses.smoothed(targets, self.data.label_smoothing, self.outputs)
            return {size: made[side_of(size)] for size in sizes}, targets
        by_size = images if isinstance(images, Mapping) else dict.fromkeys(sizes, images)
        return {size: crop.at(by_size[size], side_of(size)) for size in sizes}, targets

    def resized(self, images: tf.Tensor, size: Hashable) -> tf.Tensor:
        """See `Task.resized`."""
        return self.prepare({"images": {size: images}}, [size], training=False)[0][size]

    def normalised(self, images: tf.Tensor) -> tf.Tensor:
        """See `Task.normalised`."""
        return self.crop([self.data.side]).normalised(images)

    def explained(self, source: Source) -> contextlib.AbstractContextManager:
        """See `Task.explained`."""
        return explained(source)

    def loss(self, outputs: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        """Mean cross entropy, float32 (float64 of float64 logits); targets int `(batch,)` or float `(batch, classes)`."""
        return losses.cross_entropy(tf.convert_to_tensor(targets), losses.precise(outputs))

    def divergence(self, teacher: tf.Tensor, student: tf.Tensor, temperature: float = 1.0, form: str = "kl") -> tf.Tensor:
        """Mean over the batch of sum p (ln p - ln q) ("kl") or -sum p ln q ("cross_entropy"): equal gradients, other values.

        p and q are the softmax of logits / temperature; no gradient through the teacher.
        """
        if form not in losses.FORMS:
            raise ValueError(f"`form` must be one of {', '.join(losses.FORMS)}. Received: form={form!r}.")
        distance = losses.kl_divergence if form == "kl" else losses.soft_cross_entropy
        return distance(losses.precise(teacher), losses.precise(student), temperature)

    def looking(self, run: Run, looks: Looks) -> Run:
        """See `Task.looking`: whole pictures are looked at once."""
        told = f"Received: {looks}."
        raise RecipeError(f"`mirror`, `scales` and `windows` are for tasks that tell something of every pixel. {told}")

    def drawing(self, source: Source) -> None:
        """See `Task.drawing`."""

    def metrics(self, source: Source | None = None) -> Accuracy:
        """New, empty metrics: top1 and top5."""
        return Accuracy()

    def confidence(self, outputs: tf.Tensor, score: str, temperature: tf.Tensor | float = 1.0) -> tf.Tensor:
        """See `Task.confidence`; `tfres.tasks.classification.confidence` has the formulas."""
        return confidence(outputs, score, temperature)

    def correct(self, outputs: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        """See `Task.correct`: whether the class is the best, as top1 counts it."""
        return correct(outputs, targets)

    def aligned(self, outputs: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """See `Task.aligned`: they are."""
        return list(outputs)

    def answer(self, outputs: tf.Tensor, sides: tf.Tensor | None = None) -> dict[str, tf.Tensor]:
        """`logits` and `probabilities` float32 `(batch, classes)`, `class` int64 `(batch,)`."""
        logits = tf.cast(outputs, tf.float32)
        return {"logits": logits, "probabilities": tf.nn.softmax(logits), "class": tf.argmax(logits, axis=-1)}


def side_of(size: Hashable) -> int:
    """Side in pixels of a size: itself, or both numbers of a square `(height, width)`.

    Raises:
        ValueError: not square.
    """
    if isinstance(size, tuple):
        if len(size) != 2 or size[0] != size[1]:
            raise ValueError(f"Sizes of classification must be square. Received: size={size}.")
        return int(size[0])
    return int(size)
