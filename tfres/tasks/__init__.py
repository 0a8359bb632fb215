"""What networks can be trained for. Importing this does not load TensorFlow.

A task owns its data options, sources, pipeline, losses, metrics and answers; nothing outside `tfres/tasks/<name>/` and its
line in `TASKS` names it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf

    from tfres.data.options import DataOptions

__all__ = ["TASKS", "Drawing", "Entry", "Looks", "Metrics", "Run", "Source", "Task", "find_task"]

Run = Callable[[Any], Any]  # normalised images -> outputs of a network


@dataclasses.dataclass(frozen=True)
class Entry:
    """A line of `TASKS`.

    Args:
        task_path, options_path: where a task's two classes are, as "module:name".
        features: what the final layer of a network sees: "pooled" (one vector per picture) or "maps" (one per pixel).
    """

    task_path: str
    options_path: str
    features: str = "pooled"

    @property
    def task(self) -> type[Task]:
        """The task's class; loads TensorFlow."""
        return _imported(self.task_path)

    @property
    def options(self) -> type[DataOptions]:
        """The dataclass of the recipe's `data` group; does not load TensorFlow."""
        return _imported(self.options_path)


def _imported(path: str) -> Any:
    module, name = path.split(":")
    return getattr(importlib.import_module(module), name)


TASKS = {
    "classification": Entry(
        "tfres.tasks.classification.task:Classification", "tfres.tasks.classification.options:ClassificationData"
    ),
    "segmentation": Entry(
        "tfres.tasks.segmentation.task:Segmentation", "tfres.tasks.segmentation.options:SegmentationData", "maps"
    ),
    "pose": Entry("tfres.tasks.pose.task:Pose", "tfres.tasks.pose.options:PoseData", "maps"),
}


def find_task(name: str) -> Entry:
    """The entry of a task.

    Raises:
        RecipeError: unknown name.
    """
    if name not in TASKS:
        from tfres.errors import RecipeError

        raise RecipeError(f"`task` must be one of {', '.join(TASKS)}. Received: task={name!r}.")
    return TASKS[name]


class Source(Protocol):
    """Pictures with their targets, in two splits, and a third where `data.holdout` asks for it."""

    classes: list[str]
    missing: tuple[str, ...]  # classes of the run that these data lack
    size: int  # number of training pictures, without those held out
    calibration: Any  # pictures held out from training, the task's own kind with a `size`; None where there are none

    def relabelled(self, classes: Sequence[str]) -> Source:
        """The same pictures with targets counted in another list of classes, matched by name."""


class Metrics(Protocol):
    """Figures of merit, gathered over batches.

    `measure` is a tensor function and may be traced; `add` takes what it gave, as arrays. `update` is one after the other.
    """

    def measure(self, outputs: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        """What one batch contributes."""

    def add(self, measured: np.ndarray | tf.Tensor) -> None:
        """Adds what `measure` gave."""

    def update(self, outputs: tf.Tensor, targets: tf.Tensor) -> None:
        """Adds one batch."""

    def result(self) -> dict[str, Any]:
        """Name -> value over all batches, the task's `score` among them; a value may be a mapping of names to values.

        Raises:
            DataError: no batch, or outputs that are not finite numbers (how many is told).
        """


@dataclasses.dataclass(frozen=True)
class Looks:
    """What a picture is looked at as, the answers of which are averaged; see `EvaluationOptions`."""

    mirror: bool = False
    scales: tuple[float, ...] = (1.0,)
    windows: tuple[int, int] | None = None


class Drawing(Protocol):
    """How answers to the pictures of a source are drawn and written; all are of one picture, as batches of one.

    names: of the validation pictures, in their order. ending: of the files that `encode` is for, such as ".png".
    """

    names: list[str]
    ending: str

    def judge(self, outputs: tf.Tensor, targets: Any) -> float:
        """How good an answer is, the higher the better."""

    def draw(self, images: np.ndarray, outputs: tf.Tensor, targets: Any) -> np.ndarray:
        """uint8 RGB `(height, width, 3)` from the uint8 picture `(1, height, width, 3)` at the size of a setting."""

    def encode(self, outputs: tf.Tensor, targets: Any) -> bytes:
        """The answer as a file of the task's kind."""


class Task(Protocol):
    """What a network is trained for: everything that depends on the kind of target.

    A task is made from resolved data options and the names of the classes: `Kind(data, classes, outputs=None)`, where
    `outputs` is the number of classes the network tells apart if it has more than there are names. Sizes are what networks
    ask for and stay the keys of all mappings: a side in pixels or `(height, width)`.
    """

    score: str  # the table's figure of merit, a key of the metrics' result
    loss_name: str  # what the loss is called in logs
    data: DataOptions
    classes: list[str]
    outputs: int

    @classmethod
    def open(cls, data: DataOptions, classes: int | Sequence[str] | None = None) -> Source:
        """The source that the options name.

        Args:
            data: options, complete but for what `data.resolved(source)` fills in.
            classes: the network's number of classes, for sources that cannot tell it themselves; or the run's names, onto
                which the targets are mapped.

        Raises:
            SourceError: nothing usable there.
        """

    @classmethod
    def write_records(cls, folder: str, records: str, per_shard: int) -> tuple[dict[str, int], list[tuple[str, str]]]:
        """Pictures of a folder as TFRecord shards; returns records per split and what was skipped, with the reason."""

    def steps_per_epoch(self, source: Source) -> int:
        """Full batches in one pass."""

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
        """Endless batches from step `first_step` on, the same whether or not a run was interrupted.

        Args:
            source: of `open`.
            sizes: that `prepare` will be asked for; decides how many random numbers a picture gets.
            seed: of order, crops and draws.
            first_step: steps already made.
            shared: random numbers per step that all pictures and replicas have in common.
            replicas: number of replicas that share a step's batch.
            pipeline: `(number, count)` of this pipeline, where several feed the replicas.

        Returns:
            dataset of one replica's `{"images", "targets", "draws": float (batch, n), "shared": float (shared,)}`.
        """

    def evaluation_batches(
        self, source: Source, sizes: Sequence[Hashable], split: str = "validation", seed: int | None = None
    ) -> tf.data.Dataset:
        """One pass, cut as evaluation does, the last batch smaller.

        Args:
            source: of `open`.
            sizes: wanted.
            split: "validation", "train" (without what is held out) or "calibration" (what is held out).
            seed: of a random order; None for the order of the source.

        Returns:
            dataset of `{"images": {size: uint8}, "targets"}`.

        Raises:
            ValueError: another split. DataError: calibration where nothing is held out.
        """

    def prepare(
        self, batch: Mapping[str, Any], sizes: Sequence[Hashable], training: bool
    ) -> tuple[dict[Hashable, tf.Tensor], tf.Tensor | None]:
        """On the device: a batch to `({size: float images as the network wants them}, targets)`."""

    def evaluation_picture(self, picture: tf.Tensor, size: Hashable) -> tf.Tensor:
        """What evaluation and serving cut out of one picture (encoded bytes or pixels); `prepare` makes the size of it."""

    def resized(self, images: tf.Tensor, size: Hashable) -> tf.Tensor:
        """uint8 pictures of any size as the network wants them at a size."""

    def normalised(self, images: tf.Tensor) -> tf.Tensor:
        """uint8 pictures as the network wants them at their own size."""

    def explained(self, source: Source) -> contextlib.AbstractContextManager:
        """A block in which failures of the pipeline become a `DataError` that names the pictures or records at fault."""

    def loss(self, outputs: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        """Scalar, the mean over the batch."""

    def divergence(self, teacher: tf.Tensor, student: tf.Tensor, temperature: float = 1.0, form: str = "kl") -> tf.Tensor:
        """Scalar distance of two outputs, the mean over the batch; no gradient through the teacher.

        Args:
            teacher, student: outputs, maybe of different sizes.
            temperature: by which both are divided first.
            form: which distance; a task may have others than "kl" and "cross_entropy", and another default.
        """

    def aligned(self, outputs: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """Outputs of several settings in one shape, so that a weighted mean of them is an output too."""

    def looking(self, run: Run, looks: Looks) -> Run:
        """A network's run with several looks at every picture.

        Raises:
            RecipeError: of tasks whose answers cannot be averaged so.
        """

    def drawing(self, source: Source) -> Drawing | None:
        """How answers are drawn; None where there is nothing to draw."""

    def metrics(self, source: Source | None = None) -> Metrics:
        """New, empty metrics of a source's validation pictures, which some tasks have to know."""

    def confidence(self, outputs: tf.Tensor, score: str, temperature: tf.Tensor | float = 1.0) -> tf.Tensor:
        """How sure each answer is, the larger the surer; of tasks whose networks may leave early. May be traced.

        Args:
            outputs: of a batch.
            score: "margin" (difference of the two largest log-probabilities), "probability" (the largest) or "entropy" (minus
                the entropy, in nats).
            temperature: positive, by which the outputs are divided first.

        Returns:
            float32 `(batch,)`; not a number where an output is not finite.

        Raises:
            ValueError: another score.
        """

    def correct(self, outputs: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        """Whether each answer is right, bool `(batch,)`; of tasks whose networks may leave early. May be traced.

        The mean is the figure of merit, `score`; outputs that are not finite are never right.
        """

    def answer(self, outputs: tf.Tensor, sides: tf.Tensor | None = None) -> dict[str, tf.Tensor]:
        """What a server returns.

        Args:
            outputs: of a batch.
            sides: height and width of the pictures as they came, int32 `(2,)`, for answers of their size; None where that is
                not known.
        """
