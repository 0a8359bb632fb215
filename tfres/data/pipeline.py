"""The tf.data pipeline of all engines: one random crop per picture, shipped as uint8 at the largest resolution."""

import contextlib

import numpy as np
import tensorflow as tf

from tfres.data import records, transforms
from tfres.data.errors import DataError, reason
from tfres.data.sources import ArraySplit, FileSplit

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


def training_batches(source, recipe, seed, first_step=0):
    """Endless training batches from step `first_step` on; the same whether or not a run was interrupted.

    Order and random crops depend on `seed`, the pass and the position only. (TFRecord files: files are shuffled per
    pass, records in blocks of 4,096; a resumed run reads but does not decode what it skips.)

    Args:
        source: `Source`.
        recipe: `DataRecipe`, its `side` filled in.
        seed: integer.
        first_step: steps already made.

    Returns:
        `tf.data.Dataset` of uint8 RGB `(batch_size, side, side, 3)`, int32 labels `(batch_size,)`,
        int32 seed `(2,)` for the random part that is left to the device.
    """
    split, batch = source.train, recipe.batch_size
    steps = steps_in(split, batch)
    crop = recipe.crop or source.crop
    first_pass, skip = divmod(first_step, steps)
    passes = tf.data.Dataset.range(first_pass, np.iinfo(np.int64).max)
    examples = passes.flat_map(lambda number: _shuffled(split, number, seed).take(steps * batch)).skip(skip * batch)
    examples = tf.data.Dataset.zip((tf.data.Dataset.counter(first_step * batch), examples))

    def prepare(position, example):
        picture, label = example
        return _training_picture(picture, crop, recipe.side, _pair(seed, position)), label

    def finish(step, batch_of):
        images, labels = batch_of
        batch_seed = _pair(seed, step)
        if isinstance(split, ArraySplit):
            images = _memory_pictures(split, images, recipe.side)
        if crop == "pad":
            images = transforms.pad_crop(images, batch_seed + 2)
        for augment in layers:
            images = augment(images)
        images = tf.cast(tf.clip_by_value(tf.round(tf.cast(images, tf.float32)), 0, 255), tf.uint8) if layers else images
        return images, _checked(labels, len(source.classes)), batch_seed

    layers = _augmentations(recipe.augment)
    if isinstance(split, ArraySplit):
        if crop == "area":
            raise DataError("`crop` must be pad or none for pictures in memory. Received: crop=area.")
        examples = examples.map(lambda _, example: example)
    else:
        examples = examples.map(prepare, tf.data.AUTOTUNE)
    batches = tf.data.Dataset.zip((tf.data.Dataset.counter(first_step), examples.batch(batch, drop_remainder=True)))
    return batches.map(finish, tf.data.AUTOTUNE).prefetch(4)


def validation_batches(source, recipe):
    """The validation split in order, the last batch smaller; elements as of `training_batches`.

    Pictures in memory at another size and files are resized (shortest edge 256/224 of the side, bicubic) and cut in the
    middle; pictures in memory of the right size stay as they are.
    """
    split = source.validation

    def prepare(picture, label):
        return transforms.centre_crop(transforms.decode(picture), recipe.side), label

    def finish(images, labels):
        if isinstance(split, ArraySplit):
            images = _memory_pictures(split, images, recipe.side)
        return images, _checked(labels, len(source.classes)), tf.zeros([2], tf.int32)

    examples = _in_order(split)
    if not isinstance(split, ArraySplit):
        examples = examples.map(prepare, tf.data.AUTOTUNE)
    return examples.batch(recipe.batch_size).map(finish, tf.data.AUTOTUNE).prefetch(2)


@contextlib.contextmanager
def explained(source):
    """Turns a failure of the pipeline inside the block into a `DataError` that names the pictures at fault."""
    try:
        yield
    except tf.errors.InvalidArgumentError as error:
        for split in (source.train, source.validation):
            faults = find_faults(source, split)
            if faults:
                raise DataError("Unusable pictures:\n  " + "\n  ".join(faults)) from error
        raise


def find_faults(source, split):
    """Read everything again, slowly, and say what is wrong with which picture; called when a pipeline failed.

    Args:
        source: `Source`.
        split: its `train` or `validation`.

    Returns:
        list of messages, at most 20.
    """
    faults = []
    if isinstance(split, ArraySplit):
        return faults
    for name, encoded, label in _raw(split):
        if not 0 <= label < len(source.classes):
            stored = label + getattr(split, "label_offset", 0)
            faults.append(f"{name}: label {stored} is out of range ({len(source.classes)} classes)")
        else:
            try:
                transforms.decode(encoded)
            except tf.errors.InvalidArgumentError as error:
                faults.append(f"{name}: not a readable picture ({reason(error)})")
        if len(faults) == 20:
            break
    return faults


def _raw(split):
    """`(where, bytes, label)` of every picture."""
    if isinstance(split, FileSplit):
        for path, label in zip(split.paths, split.labels, strict=True):
            yield path, tf.io.read_file(path), int(label)
        return
    for path in split.paths:
        for number, serialized in enumerate(tf.data.TFRecordDataset(path)):
            encoded, label = records.parse(serialized, split.schema, split.label_offset)
            yield f"{path}, record {number}", encoded, int(label)


def _shuffled(split, number, seed):
    if isinstance(split, (ArraySplit, FileSplit)):
        order = tf.argsort(tf.random.stateless_uniform([split.size], _pair(seed, number)))
        return _indexed(split, tf.data.Dataset.from_tensor_slices(tf.cast(order, tf.int64)))
    order = tf.argsort(tf.random.stateless_uniform([len(split.paths)], _pair(seed, number)))
    files = tf.data.Dataset.from_tensor_slices(tf.gather(split.paths, order))
    serialized = files.interleave(tf.data.TFRecordDataset, cycle_length=_OPEN_FILES)
    blocks = serialized.batch(_SHUFFLE_BLOCK).enumerate(number * 2**20)

    def shuffle(block, items):
        return tf.gather(items, tf.argsort(tf.random.stateless_uniform(tf.shape(items), _pair(seed + 1, block))))

    return blocks.map(shuffle).unbatch().map(lambda record: records.parse(record, split.schema, split.label_offset))


def _in_order(split):
    if isinstance(split, (ArraySplit, FileSplit)):
        return _indexed(split, tf.data.Dataset.range(split.size))
    return tf.data.TFRecordDataset(split.paths).map(lambda r: records.parse(r, split.schema, split.label_offset))


def _indexed(split, indices):
    """Index and label of pictures in memory, bytes and label of files."""
    labels = tf.constant(split.labels)
    if isinstance(split, ArraySplit):
        return indices.map(lambda i: (i, labels[i]))
    paths = tf.constant(split.paths)
    return indices.map(lambda i: (tf.io.read_file(paths[i]), labels[i]), tf.data.AUTOTUNE)


def _training_picture(picture, crop, side, seed):
    if crop == "area":
        return transforms.area_crop(picture, side, seed)
    return transforms.centre_crop(transforms.decode(picture), side)


def _memory_pictures(split, indices, side):
    """Pictures of a batch of indices, at `side`. They stay outside the graph, which could not hold them."""
    images = tf.numpy_function(lambda i: split.images[i], [indices], tf.uint8)
    images = tf.ensure_shape(images, [indices.shape[0], *split.images.shape[1:]])
    if images.shape[1] == side:
        return images
    resize = lambda image: transforms.centre_crop(image, side)  # noqa: E731
    return tf.map_fn(resize, images, fn_output_signature=tf.TensorSpec([side, side, 3], tf.uint8))


def _augmentations(specifications):
    """keras-cv layers called in training mode."""
    if not specifications:
        return []
    import functools

    import keras_cv

    layers = []
    for specification in specifications:
        arguments = dict(specification)
        name = arguments.pop("name")
        if not hasattr(keras_cv.layers, name):
            raise DataError(f"`augment` must name layers of keras_cv.layers. Received: name={name!r}.")
        layers.append(functools.partial(getattr(keras_cv.layers, name)(**arguments), training=True))
    return layers


def _checked(labels, classes):
    labels = tf.cast(labels, tf.int32)
    message = "label out of range"
    checks = [tf.debugging.assert_less(labels, classes, message), tf.debugging.assert_non_negative(labels, message)]
    with tf.control_dependencies([check for check in checks if check is not None]):
        return tf.identity(labels)


def _pair(seed, number):
    """Stateless seed of a numbered thing; wraps where it leaves int32."""
    return tf.stack([tf.cast(seed, tf.int32), tf.cast(number % (2**31 - 8), tf.int32)])
