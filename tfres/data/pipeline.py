"""The tf.data pipeline of all engines: one random crop per picture, shipped as uint8 at the largest resolution."""

import numpy as np
import tensorflow as tf

from tfres.data import augment, records, transforms
from tfres.data.errors import DataError
from tfres.data.sources import ArraySplit, FileSplit, MemorySplit, RecordSplit

_SHUFFLE_BLOCK = 4096
_OPEN_FILES = 8


def steps_in(split, batch_size):
    """Full batches in one pass.

    Raises:
        DataError: less than one.
    """
    if split.size < batch_size:
        raise DataError(
            f"`batch_size` must be at most the number of training pictures, {split.size}. Received: batch_size={batch_size}."
        )
    return split.size // batch_size


def training_batches(source, recipe, seed, first_step=0, draws=0, replicas=1, pipeline=(0, 1), shared=0):
    """Endless training batches from step `first_step` on; the same whether or not a run was interrupted.

    Order, crops and draws depend on `seed`, the pass and the position only, not on how a step's batch is spread over replicas.
    (TFRecord files: files are shuffled per pass, records in blocks of 4,096; a resumed run reads but does not decode what
    it skips. With `recipe.in_memory` records are shuffled wholly. Over a tf.data service with several workers the order is
    the workers'. keras-cv layers draw from generators of their own.)

    Args:
        source: `Source`.
        recipe: resolved `DataRecipe`.
        seed: integer.
        first_step: steps already made.
        draws: uniform random numbers per picture for the part that is left to the device.
        shared: further numbers that all pictures of a step have in common, behind these.
        replicas: number of replicas that share a step's batch of `recipe.batch_size`.
        pipeline: `(number, count)` of this pipeline, where several feed the replicas.

    Returns:
        `tf.data.Dataset` of one replica's uint8 RGB `(batch_size / replicas, side, side, 3)`, labels (int32 `(batch,)`, or
        float32 `(batch, classes)` where an augmentation mixes them) and float32 draws `(batch, draws + shared)`.

    Raises:
        DataError: a batch that cannot be spread so, or `crop` or `service` that pictures in memory cannot have.
    """
    split, batch = source.train, recipe.batch_size
    number, count = pipeline
    if batch % replicas or replicas % count:
        raise DataError(f"`batch_size` must be a multiple of the {replicas} replicas. Received: batch_size={batch}.")
    if recipe.service and isinstance(split, (ArraySplit, MemorySplit)):
        raise DataError(f"`service` needs picture files. Received: service={recipe.service} with pictures in memory.")
    if recipe.crop == "area" and isinstance(split, ArraySplit):
        raise DataError("`crop` must be pad or none for decoded pictures in memory. Received: crop=area.")
    steps = steps_in(split, batch)
    first_pass, skip = divmod(first_step, steps)
    passes = tf.data.Dataset.range(first_pass, np.iinfo(np.int64).max)
    examples = passes.flat_map(lambda pass_number: _shuffled(split, pass_number, seed).take(steps * batch)).skip(skip * batch)
    examples = examples.enumerate(first_step * batch)
    if count > 1:
        examples = examples.filter(lambda position, _: position % batch // (batch // count) == number)
    layers = augment.layers(recipe.augment, len(source.classes))

    def prepare(position, example):
        picture, label = _fetch(split, example)
        if not isinstance(split, ArraySplit):
            picture = _training_picture(picture, recipe, _pair(seed, position))
        return position, picture, label

    def finish(positions, images, labels):
        # One table of draws for the whole step, of which this is a part.
        width = 2 + draws + shared
        table = tf.random.stateless_uniform([batch, width], _pair(seed, positions[0] // batch))
        table = tf.where(tf.range(width) < 2 + draws, table, table[:1])
        first = tf.cast(positions[0] % batch, tf.int32)
        mine = tf.ensure_shape(table[first : first + batch // replicas], [batch // replicas, width])
        if isinstance(split, ArraySplit):
            images = _memory_pictures(split, images, recipe)
        if recipe.crop in ("pad", "reflect"):
            images = transforms.pad_crop(images, mine[:, :2], "REFLECT" if recipe.crop == "reflect" else "CONSTANT")
        labels = _checked(labels, len(source.classes))
        for layer in layers:
            images, labels = layer(images, labels)
        return images, labels, mine[:, 2:]

    batches = examples.map(prepare, tf.data.AUTOTUNE).batch(batch // replicas, drop_remainder=True)
    batches = batches.map(finish, tf.data.AUTOTUNE)
    if recipe.service:
        policy = tf.data.experimental.service.ShardingPolicy.DYNAMIC
        batches = batches.apply(tf.data.experimental.service.distribute(policy, recipe.service))
    return batches.prefetch(4)


def validation_batches(source, recipe, resolutions):
    """The validation split in order, the last batch smaller.

    Every picture is cut once, at `recipe.side`, and that crop serves all resolutions; or, where `recipe.cuts_anew`, it is
    resized and cut anew for each. Pictures in memory of the right size stay whole.

    Args:
        source: `Source`.
        recipe: resolved `DataRecipe`.
        resolutions: sides wanted.

    Returns:
        `tf.data.Dataset` of a dict resolution -> uint8 RGB `(batch, side, side, 3)`, to be passed through
        `MultiResolutionCrop.at`, and int32 labels `(batch,)`.
    """
    split = source.validation
    sides = list(resolutions) if recipe.cuts_anew else [recipe.side]

    def prepare(example):
        picture, label = _fetch(split, example)
        if isinstance(split, ArraySplit):
            return picture, label
        picture = transforms.decode(picture)
        return tuple(transforms.centre_crop(picture, side, recipe.rules) for side in sides), label

    def finish(images, labels):
        if isinstance(split, ArraySplit):
            images = (_memory_pictures(split, images, recipe),)
        images = images * (len(resolutions) // len(images))
        return dict(zip(resolutions, images, strict=True)), _checked(labels, len(source.classes))

    from_records = isinstance(split, RecordSplit)
    examples = tf.data.TFRecordDataset(split.paths) if from_records else tf.data.Dataset.range(split.size)
    return examples.map(prepare, tf.data.AUTOTUNE).batch(recipe.batch_size).map(finish, tf.data.AUTOTUNE).prefetch(2)


def _shuffled(split, number, seed):
    """One pass: indices, or serialized records."""
    if not isinstance(split, RecordSplit):
        order = tf.argsort(tf.random.stateless_uniform([split.size], _pair(seed, number)))
        return tf.data.Dataset.from_tensor_slices(tf.cast(order, tf.int64))
    order = tf.argsort(tf.random.stateless_uniform([len(split.paths)], _pair(seed, number)))
    files = tf.data.Dataset.from_tensor_slices(tf.gather(split.paths, order))
    serialized = files.interleave(tf.data.TFRecordDataset, cycle_length=_OPEN_FILES)
    blocks = serialized.batch(_SHUFFLE_BLOCK).enumerate(number * 2**20)

    def shuffle(block, items):
        return tf.gather(items, tf.argsort(tf.random.stateless_uniform(tf.shape(items), _pair(seed + 1, block))))

    return blocks.map(shuffle).unbatch()


def _fetch(split, example):
    """Index (pictures in memory) or bytes of an example of `_shuffled`, and its label."""
    if isinstance(split, RecordSplit):
        return records.parse(example, split.schema, split.label_offset)
    label = tf.constant(split.labels)[example]
    if isinstance(split, ArraySplit):
        return example, label
    if isinstance(split, FileSplit):
        return tf.io.read_file(tf.constant(split.paths)[example]), label
    return tf.ensure_shape(tf.numpy_function(lambda i: split.encoded[i], [example], tf.string), []), label


def _training_picture(picture, recipe, seed):
    if recipe.crop == "area":
        return transforms.area_crop(picture, recipe.side, seed, recipe.rules, recipe.antialias, recipe.smallest_area)
    return transforms.centre_crop(transforms.decode(picture), recipe.side, recipe.rules)


def _memory_pictures(split, indices, recipe):
    """Pictures of a batch of indices, at `side`. They stay outside the graph, which could not hold them."""
    images = tf.numpy_function(lambda i: split.images[i], [indices], tf.uint8)
    images = tf.ensure_shape(images, [indices.shape[0], *split.images.shape[1:]])
    side = recipe.side
    if images.shape[1] == side:
        return images
    resize = lambda image: transforms.centre_crop(image, side, recipe.rules)  # noqa: E731
    return tf.map_fn(resize, images, fn_output_signature=tf.TensorSpec([side, side, 3], tf.uint8))


def _checked(labels, classes):
    labels = tf.cast(labels, tf.int32)
    message = "label out of range"
    checks = [tf.debugging.assert_less(labels, classes, message), tf.debugging.assert_non_negative(labels, message)]
    with tf.control_dependencies([check for check in checks if check is not None]):
        return tf.identity(labels)


def _pair(seed, number):
    """Stateless seed of a numbered thing; wraps where it leaves int32."""
    return tf.stack([tf.cast(seed, tf.int32), tf.cast(number % (2**31 - 8), tf.int32)])
