"""The tf.data pipeline of all engines: one random crop per picture, shipped as uint8 at the largest resolution."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING

import tensorflow as tf

from tfres.data import batching, records, seeds, transforms
from tfres.data.decoding import decode, refuse_unless
from tfres.errors import DataError
from tfres.tasks.classification import augment
from tfres.tasks.classification.splits import ArraySplit, FileSplit, MemorySplit, RecordSplit, Split

if TYPE_CHECKING:
    from tfres.tasks.classification.options import ClassificationData
    from tfres.tasks.classification.source import Source


def training_batches(
    source: Source,
    data: ClassificationData,
    classes: int,
    seed: int,
    first_step: int = 0,
    draws: int = 0,
    shared: int = 0,
    replicas: int = 1,
    pipeline: tuple[int, int] = (0, 1),
) -> tf.data.Dataset:
    """Endless training batches from step `first_step` on; the same whether or not a run was interrupted.

    Order, crops and draws depend on `seed`, the pass and the position only, not on how a step's batch is spread over replicas.
    (TFRecord files: files are shuffled per pass, records in blocks of 4,096; a resumed run reads but does not decode what
    it skips. With `data.in_memory` records are shuffled wholly. Over a tf.data service with several workers the order is
    the workers'. keras-cv layers draw from generators of their own.)

    Args:
        source: `Source`.
        data: resolved options.
        classes: number of classes of mixed labels.
        seed, first_step, shared, replicas, pipeline: see `tfres.tasks.Task.training_batches`.
        draws: uniform random numbers per picture for the part that is left to the device.

    Returns:
        dataset of one replica's `images` uint8 RGB `(part, side, side, 3)`, `targets` (int32 `(part,)`, or float32
        `(part, classes)` where an augmentation mixes them), `draws` float32 `(part, draws)` and `shared` float32 `(shared,)`.

    Raises:
        DataError: a batch that cannot be spread so, `crop` or `service` that pictures in memory cannot have, or a service
            that does not answer.
    """
    split, batch = source.train, data.batch_size
    if data.service and isinstance(split, (ArraySplit, MemorySplit)):
        raise DataError(f"`service` needs picture files. Received: service={data.service} with pictures in memory.")
    if data.crop == "area" and isinstance(split, ArraySplit):
        raise DataError("`crop` must be pad or none for decoded pictures in memory. Received: crop=area.")
    steps = batching.steps_in(split.size, batch)
    layers = augment.layers(data.augment, classes)
    examples = batching.endless(lambda number: _one_pass(split, seed, number), steps, batch, first_step, replicas, pipeline)
    crops, part = seeds.stream(seed, "crops"), batch // replicas

    @tf.autograph.experimental.do_not_convert
    def prepare(position: tf.Tensor, example: tf.Tensor) -> tuple[tf.Tensor, ...]:
        picture, label = _fetch(split, example)
        if not isinstance(split, ArraySplit):
            picture = _training_cut(picture, data, seeds.numbered(crops, position))
        return position, picture, label

    def finish(positions: tf.Tensor, images: tf.Tensor, labels: tf.Tensor) -> dict[str, tf.Tensor]:
        table = batching.step_draws(seed, positions[0], batch, part, 2 + draws)
        if isinstance(split, ArraySplit):
            images = _pixels(split, images, data.side, data)
        if data.crop in ("pad", "reflect"):
            images = transforms.pad_crop(images, table[:, :2], "REFLECT" if data.crop == "reflect" else "CONSTANT")
        for layer in layers:
            images, labels = layer(images, labels)
        common = batching.shared_draws(seed, positions[0], batch, shared)
        return {"images": images, "targets": labels, "draws": table[:, 2:], "shared": common}

    batches = examples.map(prepare, tf.data.AUTOTUNE).batch(part, drop_remainder=True).map(finish, tf.data.AUTOTUNE)
    if data.service:
        batches = batching.over_service(batches, data.service)
    return batches.prefetch(4)


def evaluation_batches(
    source: Source, data: ClassificationData, sides: Mapping[Hashable, int], split: str = "validation", seed: int | None = None
) -> tf.data.Dataset:
    """One pass over a split, every picture cut by `evaluation_cut`, the last batch smaller.

    Args:
        source: `Source`.
        data: resolved options.
        sides: size -> side of the cut it is made from.
        split: "validation", "train" or "calibration".
        seed: of a random order, that of training's first pass; None for the order of the source.

    Returns:
        dataset of `images` (dict size -> uint8 RGB `(batch, side, side, 3)`) and `targets` int32 `(batch,)`.

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
    pictures, distinct = source.splits[split], sorted(set(sides.values()))

    @tf.autograph.experimental.do_not_convert
    def prepare(example: tf.Tensor) -> tuple[tuple[tf.Tensor, ...], tf.Tensor]:
        picture, label = _fetch(pictures, example)
        if isinstance(pictures, ArraySplit):
            return (picture,), label
        picture = decode(picture)
        return tuple(evaluation_cut(picture, side, data) for side in distinct), label

    @tf.autograph.experimental.do_not_convert
    def finish(images: tuple[tf.Tensor, ...], labels: tf.Tensor) -> dict:
        if isinstance(pictures, ArraySplit):
            images = tuple(_pixels(pictures, images[0], side, data) for side in distinct)
        cuts = dict(zip(distinct, images, strict=True))
        return {"images": {size: cuts[side] for size, side in sides.items()}, "targets": labels}

    if seed is not None:
        examples = _one_pass(pictures, seed, 0)
    elif isinstance(pictures, RecordSplit):
        examples = tf.data.TFRecordDataset(pictures.paths)
    else:
        examples = tf.data.Dataset.range(pictures.size)
    return examples.map(prepare, tf.data.AUTOTUNE).batch(data.batch_size).map(finish, tf.data.AUTOTUNE).prefetch(2)


def evaluation_cut(picture: tf.Tensor, side: int, data: ClassificationData) -> tf.Tensor:
    """The centre crop of evaluation; whole where the picture is as large already and training takes no random area of it.

    Args:
        picture: scalar string (encoded), or uint8 RGB `(height, width, 3)`.
        side: of the cut.
        data: resolved options.

    Returns:
        uint8 RGB `(side, side, 3)`.
    """
    if picture.dtype == tf.string:
        picture = decode(picture)
    if data.crop == "area":
        return transforms.centre_crop(picture, side, data.rules)
    fits = tf.reduce_all(tf.equal(tf.shape(picture)[:2], side))
    cut = tf.cond(fits, lambda: picture, lambda: transforms.centre_crop(picture, side, data.rules))
    return tf.ensure_shape(cut, [side, side, 3])


def _training_cut(picture: tf.Tensor, data: ClassificationData, seed: tf.Tensor) -> tf.Tensor:
    if data.crop == "area":
        antialias = data.antialias or "fast"
        return transforms.area_crop(picture, data.side, seed, data.rules, antialias, data.smallest_area)
    return evaluation_cut(picture, data.side, data)


def _pixels(split: ArraySplit, indices: tf.Tensor, side: int, data: ClassificationData) -> tf.Tensor:
    """Pictures of a batch of indices, cut to `side`. They stay outside the graph, which could not hold them."""
    images = tf.numpy_function(lambda i: split.images[i], [indices], tf.uint8)
    images = tf.ensure_shape(images, [indices.shape[0], *split.images.shape[1:]])
    if data.crop != "area" and split.images.shape[1:3] == (side, side):
        return images
    spec = tf.TensorSpec([side, side, 3], tf.uint8)
    return tf.map_fn(lambda image: evaluation_cut(image, side, data), images, fn_output_signature=spec)


def _one_pass(split: Split, seed: int, number: tf.Tensor | int) -> tf.data.Dataset:
    """Examples of a numbered pass: indices, or serialized records."""
    if isinstance(split, RecordSplit):
        return batching.shuffled_records(split.paths, seed, number)
    return batching.shuffled_indices(split.size, seed, number)


def _fetch(split: Split, example: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Index (of pixels) or bytes of an example of a pass, and its int32 label."""
    if isinstance(split, RecordSplit):
        encoded, stored = records.parse(example, split.schema)
        return encoded, _label(stored - split.label_offset, split)
    label = tf.cast(tf.constant(split.labels)[example], tf.int32)
    if isinstance(split, ArraySplit):
        return example, label
    if isinstance(split, FileSplit):
        return tf.io.read_file(tf.constant(split.paths)[example]), label
    return tf.ensure_shape(tf.numpy_function(lambda i: split.encoded[i], [example], tf.string), []), label


def _label(label: tf.Tensor, split: RecordSplit) -> tf.Tensor:
    """An int64 label, checked before it becomes int32, in the classes that the split is mapped to."""
    within = refuse_unless((label >= 0) & (label < split.classes), "the label is out of range", label)
    with tf.control_dependencies([within]):
        label = tf.identity(label)
    if split.mapping is not None:
        label = tf.gather(tf.constant(split.mapping, tf.int64), label)
    return tf.cast(label, tf.int32)
