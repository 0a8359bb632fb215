"""The task: where the 17 joints of a person are, as a heatmap per joint."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from tfres.data import faults
from tfres.data.batching import steps_in
from tfres.data.decoding import decode
from tfres.errors import RecipeError
from tfres.layers import MultiResolutionCrop
from tfres.settings import Setting
from tfres.tasks.pose import frames, heatmaps, losses
from tfres.tasks.pose import pipeline as batches
from tfres.tasks.pose.drawing import Skeletons
from tfres.tasks.pose.metrics import KeypointPrecision
from tfres.tasks.pose.skeleton import COUNT
from tfres.tasks.pose.source import Source, open_source
from tfres.tasks.pose.splits import find_faults

if TYPE_CHECKING:
    from tfres.tasks import Looks, Run
    from tfres.tasks.pose.options import PoseData

_FORMS = ("mse", "kl", "cross_entropy")


class Pose:
    """Tells where the joints of a person are; see `tfres.tasks.Task`.

    Outputs are heatmaps `(batch, height, width, 17)` of any size. An example is the upright or, in training, turned cut of one
    person.

    Args:
        data: `PoseData` without open ends: given by the user, the family's defaults, `data.resolved(source)`.
        classes: names of the joints.
        outputs: number of the network's heatmaps, that of the joints or None.
    """

    score = "ap"
    loss_name = "heatmap_loss"

    def __init__(self, data: PoseData, classes: Sequence[str], outputs: int | None = None) -> None:
        self.data, self.classes, self.outputs = data, list(classes), outputs or COUNT
        if self.outputs != COUNT:
            raise ValueError(f"`outputs` must be the {COUNT} joints. Received: outputs={outputs}.")
        open_ends = [name for name in ("crop", "mean", "std", "channel_order") if getattr(data, name) is None]
        if open_ends:
            raise ValueError(f"`data` must be resolved. Received: data without {', '.join(open_ends)}.")

    @classmethod
    def open(cls, data: PoseData, classes: int | Sequence[str] | None = None) -> Source:
        """See `Task.open`."""
        source = open_source(data)
        return source if classes is None or isinstance(classes, int) else source.relabelled(classes)

    @classmethod
    def write_records(cls, folder: str, records: str, per_shard: int) -> tuple[dict[str, int], list[tuple[str, str]]]:
        """See `Task.write_records`; `tfres.tasks.pose.prepare` says how."""
        from tfres.tasks.pose.prepare import prepare

        return prepare(folder, records, per_shard)

    def steps_per_epoch(self, source: Source) -> int:
        """Full batches in one pass.

        Raises:
            DataError: less than one.
        """
        return steps_in(source.size, self.data.batch_size)

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
        """See `Task.training_batches` and `tfres.tasks.pose.pipeline`; there are no draws."""
        return batches.training_batches(source, self.data, seed, first_step, shared, replicas, pipeline)

    def evaluation_batches(
        self, source: Source, sizes: Sequence[Hashable], split: str = "validation", seed: int | None = None
    ) -> tf.data.Dataset:
        """See `Task.evaluation_batches` and `tfres.tasks.pose.pipeline`; all sizes are made from the same cut."""
        return batches.evaluation_batches(source, self.data, sizes, split, seed)

    def prepare(
        self, batch: Mapping[str, Any], sizes: Sequence[Hashable], training: bool
    ) -> tuple[dict[Hashable, tf.Tensor], Any]:
        """On the device: every size from the batch's cuts, normalised; see `Task.prepare`."""
        images = batch["images"]
        by_size = images if isinstance(images, Mapping) else dict.fromkeys(sizes, images)
        inputs = {size: self.normalised(frames.scaled(by_size[size], self._sides(size))) for size in sizes}
        return inputs, batch.get("targets")

    def evaluation_picture(self, picture: tf.Tensor, size: Hashable) -> tf.Tensor:
        """A picture of one person as a cut, uint8 RGB `(height, width, 3)` of `data.crop`: in the middle, black around it.

        Args:
            picture: scalar string (encoded), or uint8 RGB `(height, width, 3)`.
            size: what will be made of it.
        """
        picture = tf.convert_to_tensor(picture)
        picture = decode(picture) if picture.dtype == tf.string else picture
        return tf.cast(tf.round(frames.fitted(picture[None], self.data.crop_sides)[0]), tf.uint8)

    def resized(self, images: tf.Tensor, size: Hashable) -> tf.Tensor:
        """Pictures of one person each as the network wants them: the whole picture is the frame, black around it."""
        return self.normalised(frames.scaled(frames.fitted(images, self.data.crop_sides), self._sides(size)))

    def normalised(self, images: tf.Tensor) -> tf.Tensor:
        """See `Task.normalised`."""
        return self._look.normalised(images)

    @functools.cached_property
    def _look(self) -> MultiResolutionCrop:
        data = self.data
        colours = {"mean": data.mean, "std": data.std, "channel_order": data.channel_order}
        return MultiResolutionCrop([data.crop_sides], flip="none", **colours)

    def _sides(self, size: Hashable) -> tuple[int, int]:
        """Height and width of a size.

        Raises:
            ValueError: of another shape than the cut.
        """
        height, width = Setting.parse(size).sides
        if abs(width - height * self.data.aspect) > 1:
            crop = "x".join(map(str, self.data.crop_sides))
            raise ValueError(f"Sizes must have the shape of `data.crop`, {crop}. Received: size={height}x{width}.")
        return height, width

    def explained(self, source: Source) -> contextlib.AbstractContextManager:
        """See `Task.explained`."""
        return faults.explained(lambda: next((found for split in source.splits.values() if (found := find_faults(split))), []))

    def loss(self, outputs: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        """See `losses.heatmap_loss`; targets float `(batch, 17, 3)` in pixels of the cut."""
        sides = tuple(outputs.shape[1:3])
        wanted, weights = heatmaps.targets(targets, sides, self.data.crop_sides, self.data.sigma)
        return losses.heatmap_loss(outputs, wanted, weights, self.data.hardest)

    def divergence(self, teacher: tf.Tensor, student: tf.Tensor, temperature: float = 1.0, form: str = "mse") -> tf.Tensor:
        """Mean squared difference of heatmaps, those of the teacher at the student's size; all forms are this one.

        Raises:
            ValueError: another form, or a temperature, which heatmaps do not have.
        """
        if form not in _FORMS:
            raise ValueError(f"`form` must be one of {', '.join(_FORMS)}. Received: form={form!r}.")
        if temperature != 1:
            raise ValueError(f"`temperature` must be 1 for heatmaps. Received: temperature={temperature}.")
        return losses.squared_distance(frames.scaled(teacher, student.shape[1:3], antialias=False), student)

    def aligned(self, outputs: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """See `Task.aligned`: heatmaps at the size of the largest ones."""
        sides = max((tuple(maps.shape[1:3]) for maps in outputs), key=lambda sides: sides[0] * sides[1])
        return [frames.scaled(maps, sides, antialias=False) for maps in outputs]

    def looking(self, run: Run, looks: Looks) -> Run:
        """See `Task.looking`: the mean of a cut's heatmaps and of those of its mirror image, moved by a pixel."""
        if looks.scales != (1.0,) or looks.windows is not None:
            raise RecipeError(f"`scales` and `windows` are for tasks of whole pictures, not for cuts. Received: {looks}.")

        def looked(images: tf.Tensor) -> tf.Tensor:
            outputs = run(images)
            return (outputs + heatmaps.unmirrored(run(images[:, :, ::-1]))) / 2 if looks.mirror else outputs

        return looked

    def drawing(self, source: Source) -> Skeletons:
        """See `Task.drawing`: a picture per validation person."""
        return Skeletons(self, source)

    def metrics(self, source: Source) -> KeypointPrecision:
        """See `Task.metrics`: the annotations are the source's."""
        return KeypointPrecision(source.validation.truth, self.data.visible, self.data.oks, self.data.soft_nms)

    def answer(self, outputs: tf.Tensor, sides: tf.Tensor | None = None) -> dict[str, tf.Tensor]:
        """Joints of whole pictures, see `resized`.

        Args:
            outputs: heatmaps.
            sides: int `(2,)` or `(batch, 2)`, heights and widths of the pictures; None for `data.crop`.

        Returns:
            `keypoints` float32 `(batch, 17, 2)` (x, y in pixels of the picture), `scores` float32 `(batch, 17)`: the heatmaps'
            largest values.
        """
        sides = tf.convert_to_tensor(self.data.crop_sides if sides is None else sides)
        places, values = heatmaps.decoded(outputs)
        centres, extents = frames.whole(tf.reshape(sides, [-1, 2]), self.data.aspect)
        return {"keypoints": frames.from_cut(places, tf.shape(outputs)[1:3], centres, extents), "scores": values}
