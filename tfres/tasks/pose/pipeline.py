"""The tf.data pipeline: one decode and one random cut per person, shipped as uint8."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING

import tensorflow as tf

from tfres.data import batching, seeds
from tfres.data.decoding import decode
from tfres.errors import DataError
from tfres.tasks.pose import frames
from tfres.tasks.pose.augment import Augmentation, Draws, Person
from tfres.tasks.pose.splits import FilePeople, RecordPeople, Split, fetch

if TYPE_CHECKING:
    from tfres.tasks.pose.options import PoseData
    from tfres.tasks.pose.source import Source


def training_batches(
    source: Source,
    data: PoseData,
    seed: int,
    first_step: int = 0,
    shared: int = 0,
    replicas: int = 1,
    pipeline: tuple[int, int] = (0, 1),
) -> tf.data.Dataset:
    """Endless training batches from step `first_step` on; the same whether or not a run was interrupted.

    Order and cuts depend on `seed`, the pass and the position only, not on how a step's batch is spread over replicas.

    Args:
        source: `Source`.
        data: resolved options.
        seed, first_step, shared, replicas, pipeline: see `tfres.tasks.Task.training_batches`.

    Returns:
        dataset of one replica's `images` uint8 RGB `(part, height, width, 3)`, `targets` float32 `(part, 17, 3)` (x, y in
        pixels of the cut, visible) and `shared` float32 `(shared,)`.

    Raises:
        DataError: a batch that cannot be spread so, or `service` with pictures in memory or a service that does not answer.
    """
    split, batch = source.train, data.batch_size
    if data.service and isinstance(split, FilePeople) and split.encoded is not None:
        raise DataError(f"`service` needs picture files. Received: service={data.service} with pictures in memory.")
    steps, part = batching.steps_in(split.size, batch), batch // replicas
    examples = batching.endless(lambda number: _one_pass(split, seed, number), steps, batch, first_step, replicas, pipeline)
    key = seeds.stream(seed, "cuts")

    @tf.autograph.experimental.do_not_convert
    def cut(position: tf.Tensor, example: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        return position, *training_cut(fetch(split, example), data, Draws.of(seeds.numbered(key, position)))

    @tf.autograph.experimental.do_not_convert
    def finish(positions: tf.Tensor, images: tf.Tensor, joints: tf.Tensor) -> dict[str, tf.Tensor]:
        return {
            "images": images,
            "targets": joints,
            "shared": batching.shared_draws(seed, positions[0], batch, shared),
        }

    batches = examples.map(cut, tf.data.AUTOTUNE).batch(part, drop_remainder=True).map(finish, tf.data.AUTOTUNE)
    if data.service:
        batches = batching.over_service(batches, data.service)
    return batches.prefetch(4)


def evaluation_batches(
    source: Source, data: PoseData, sizes: Sequence[Hashable], split: str = "validation", seed: int | None = None
) -> tf.data.Dataset:
    """One pass over a split, the last batch smaller.

    Args:
        source: `Source`.
        data: resolved options.
        sizes: wanted.
        split: "validation" or "train".
        seed: of a random order, that of training's first pass; None for the order of the source.

    Returns:
        dataset of `images` (dict size -> uint8 RGB `(batch, height, width, 3)`, all of `data.crop`) and `targets`, a mapping:
        `picture` int64 `(batch,)`, `frame` float32 `(batch, 4)` (centre and extent, x before y), `score` float32 `(batch,)` of
        the box, and `joints` float32 `(batch, 17, 3)` as in training, of boxes that are annotated.

    Raises:
        DataError: calibration, for which nobody is held out.
    """
    if split not in ("train", "validation", "calibration"):
        raise ValueError(f"`split` must be train, validation or calibration. Received: split={split!r}.")
    if split not in source.splits:
        raise DataError(f"Nobody is held out for networks that estimate poses. Received: split={split!r}.")
    people = source.splits[split]

    @tf.autograph.experimental.do_not_convert
    def cut(example: tf.Tensor) -> dict:
        person = fetch(people, example)
        centre, extent = frames.frame_of(person["box"], data.aspect)
        into = frames.into_cut(centre, extent, data.crop_sides)
        image = frames.warp(decode(person["encoded"]), frames.inverted(into), data.crop_sides)
        targets = {"picture": person["picture"], "frame": tf.concat([centre, extent], 0), "score": person["score"]}
        targets["joints"] = moved_joints(person["joints"], into)
        return {"images": dict.fromkeys(sizes, image), "targets": targets}

    if seed is not None:
        examples = _one_pass(people, seed, 0)
    elif isinstance(people, RecordPeople):
        examples = tf.data.TFRecordDataset(people.paths)
    else:
        examples = tf.data.Dataset.range(people.size)
    return examples.map(cut, tf.data.AUTOTUNE).batch(data.batch_size).prefetch(2)


def training_cut(person: dict[str, tf.Tensor], data: PoseData, draws: Draws) -> tuple[tf.Tensor, tf.Tensor]:
    """A random cut of a person.

    Args:
        person: of `fetch`.
        data: resolved options.
        draws: random numbers.

    Returns:
        `(uint8 (height, width, 3), joints float32 (17, 3) in its pixels)`.
    """
    image = decode(person["encoded"])
    augmentation = Augmentation(data.half_body, data.half_body_joints, data.scale, data.rotation, data.mirror)
    shown = Person(person["joints"], *frames.frame_of(person["box"], data.aspect))
    shown, degrees, mirrored = augmentation(shown, tf.shape(image)[1], data.aspect, draws)
    into = frames.into_cut(shown.centre, shown.extent, data.crop_sides, degrees)
    image = tf.cond(mirrored, lambda: image[:, ::-1], lambda: image)
    return frames.warp(image, frames.inverted(into), data.crop_sides), moved_joints(shown.joints, into)


def moved_joints(joints: tf.Tensor, into: tf.Tensor) -> tf.Tensor:
    """Joints `(17, 3)` of a picture in a cut, those that are not visible at 0."""
    visible = joints[:, 2:]
    return tf.concat([visible * frames.moved(joints[:, :2], into), visible], 1)


def _one_pass(split: Split, seed: int, number: tf.Tensor | int) -> tf.data.Dataset:
    """Examples of a numbered pass: indices, or serialized records."""
    if isinstance(split, RecordPeople):
        return batching.shuffled_records(split.paths, seed, number)
    return batching.shuffled_indices(split.size, seed, number)
