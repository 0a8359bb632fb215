"""The tf.data pipeline of all engines: one random window per picture and its classes, as uint8."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING

import tensorflow as tf

from tfres.data import batching, seeds
from tfres.errors import DataError
from tfres.settings import Setting
from tfres.tasks.segmentation.cutting import random_window
from tfres.tasks.segmentation.labels import IGNORED
from tfres.tasks.segmentation.options import STEP
from tfres.tasks.segmentation.splits import MemoryPairs, RecordPairs, Split, decode_pair, fetch

if TYPE_CHECKING:
    from tfres.tasks.segmentation.options import SegmentationData
    from tfres.tasks.segmentation.source import Source


def training_batches(
    source: Source,
    data: SegmentationData,
    seed: int,
    first_step: int = 0,
    draws: int = 0,
    shared: int = 0,
    replicas: int = 1,
    pipeline: tuple[int, int] = (0, 1),
) -> tf.data.Dataset:
    """Endless training batches from step `first_step` on; the same whether or not a run was interrupted.

    Args:
        source: `Source`.
        data: resolved options.
        seed, first_step, shared, replicas, pipeline: see `tfres.tasks.Task.training_batches`.
        draws: uniform random numbers per picture for the part that is left to the device.

    Returns:
        dataset of one replica's `images` uint8 RGB `(part, *crop, 3)`, `targets` uint8 `(part, *crop)`, `draws` float32
        `(part, draws)` and `shared` float32 `(shared,)`.

    Raises:
        DataError: a batch that cannot be spread so, a service with pictures in memory, or one that does not answer.
    """
    split, batch, crop = source.train, data.batch_size, data.crop_sides
    if data.service and isinstance(split, MemoryPairs):
        raise DataError(f"`service` needs picture files. Received: service={data.service} with pictures in memory.")
    steps = batching.steps_in(split.size, batch)
    examples = batching.endless(lambda number: _one_pass(split, seed, number), steps, batch, first_step, replicas, pipeline)
    key, part, scales = seeds.stream(seed, "crops"), batch // replicas, (data.scales[0], STEP, data.scale_steps)

    @tf.autograph.experimental.do_not_convert
    def prepare(position: tf.Tensor, example: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        image, classes = decode_pair(*fetch(split, example), source.table)
        numbers = tf.random.stateless_uniform([3], seeds.numbered(key, position))
        long = data.long_side or tf.reduce_max(tf.shape(classes))
        return position, *random_window(image, classes, numbers, crop, scales, long)

    @tf.autograph.experimental.do_not_convert
    def finish(positions: tf.Tensor, images: tf.Tensor, classes: tf.Tensor) -> dict[str, tf.Tensor]:
        table = batching.step_draws(seed, positions[0], batch, part, draws)
        common = batching.shared_draws(seed, positions[0], batch, shared)
        return {"images": images, "targets": classes, "draws": table, "shared": common}

    batches = examples.map(prepare, tf.data.AUTOTUNE).batch(part, drop_remainder=True).map(finish, tf.data.AUTOTUNE)
    if data.service:
        batches = batching.over_service(batches, data.service)
    return batches.prefetch(4)


def evaluation_batches(
    source: Source,
    data: SegmentationData,
    sizes: Sequence[Hashable],
    cut: Callable[[tf.Tensor, Hashable], tf.Tensor],
    split: str = "validation",
    seed: int | None = None,
) -> tf.data.Dataset:
    """One pass over a split, the last batch smaller.

    Args:
        source: `Source`.
        data: resolved options.
        sizes: wanted.
        cut: function of a picture and a size giving the picture at that size.
        split: "validation", "train" or "calibration".
        seed: of a random order, that of training's first pass; None for the order of the source.

    Returns:
        dataset of `images` (dict `key(size)` -> uint8 RGB `(batch, height, width, 3)`) and `targets`: `labels` uint8 `(batch,
        height, width)` as large as the pictures, padded with what is ignored to the largest of the batch, and `sides` int32
        `(batch, 2)`, the height and width of each.

    Raises:
        DataError: calibration where nothing is held out.
    """
    if split not in ("train", "validation", "calibration"):
        raise ValueError(f"`split` must be train, validation or calibration. Received: split={split!r}.")
    if split not in source.splits:
        raise DataError(
            "`holdout` must be above 0 in training (data.holdout), so that there are pictures to calibrate with. "
            f"Received: {source.name} with nothing held out."
        )
    pairs, sizes = source.splits[split], list(dict.fromkeys(sizes))

    @tf.autograph.experimental.do_not_convert
    def prepare(example: tf.Tensor) -> tuple[tf.Tensor, ...]:
        image, classes = decode_pair(*fetch(pairs, example), source.table)
        return *(cut(image, size) for size in sizes), classes, tf.shape(classes)

    @tf.autograph.experimental.do_not_convert
    def finish(*parts: tf.Tensor) -> dict:
        images = dict(zip(map(key, sizes), parts, strict=False))
        return {"images": images, "targets": {"labels": parts[-2], "sides": parts[-1]}}

    if seed is not None:
        examples = _one_pass(pairs, seed, 0)
    elif isinstance(pairs, RecordPairs):
        examples = tf.data.TFRecordDataset(pairs.paths)
    else:
        examples = tf.data.Dataset.range(pairs.size)
    padding = (*(tf.constant(0, tf.uint8) for _ in sizes), tf.constant(IGNORED, tf.uint8), 0)
    batches = examples.map(prepare, tf.data.AUTOTUNE).padded_batch(data.batch_size, padding_values=padding)
    return batches.map(finish, tf.data.AUTOTUNE).prefetch(2)


def key(size: Hashable) -> str:
    """A size as text: TensorFlow sorts the keys of mappings, and cannot where some are sides and some are pairs."""
    return str(Setting.parse(size))


def _one_pass(split: Split, seed: int, number: tf.Tensor | int) -> tf.data.Dataset:
    """Examples of a numbered pass: indices, or serialized records."""
    if isinstance(split, RecordPairs):
        return batching.shuffled_records(split.paths, seed, number)
    return batching.shuffled_indices(split.size, seed, number)
