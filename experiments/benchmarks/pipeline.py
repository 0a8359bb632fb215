"""How fast the pipeline feeds five resolutions, against doing all on the host, and against decoding alone.

Command: `make bench-data`. TFRecord files of generated pictures (noise of a natural picture's spectrum) of 500 x 375 pixels,
about ImageNet's average, and of 1000 x 750 pixels are read by
- our pipeline: shuffle, fused decode-and-crop, uint8 at 224, the crop shrunk by `data.antialias` fast (the default); the
  other resolutions are the device's work and not in it;
- the same with `data.antialias` exact (Pillow's pixels) and none (plain bilinear);
- the host for every resolution: decode, crop and resize, with TensorFlow's antialiased resize and with ours;
- decoding the whole JPEGs alone.
All take turns; medians of the images/s after a quarter of the pictures.
"""

import dataclasses
import functools
import itertools
import pathlib
import tempfile
import time

import numpy as np
import tensorflow as tf

from experiments.benchmarks.timing import report
from tfres.data import records, resizing, transforms
from tfres.tasks.classification.options import ClassificationData
from tfres.tasks.classification.task import Classification

SIZES, BATCH, ROUNDS = (224, 192, 160, 128, 96), 32, 5
PICTURES = {(375, 500): 1024, (750, 1000): 512}


def write_records(folder, height, width, pictures):
    """One training and one validation file; returns the mean bytes of a picture."""
    rng = np.random.Generator(np.random.PCG64(0))
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)) + 1 / width
    spectrum = np.fft.fft2(rng.standard_normal((3, height, width))) / frequency**1.2
    noise = np.fft.ifft2(spectrum).real.transpose(1, 2, 0)
    picture = np.clip(128 + 50 * (noise - noise.mean()) / noise.std(), 0, 255).astype(np.uint8)
    total = 0
    for name, count in (("train-00000-of-00001", pictures), ("validation-00000-of-00001", 1)):
        with tf.io.TFRecordWriter(str(folder / name)) as writer:
            for _ in range(count):
                shifted = np.roll(picture, rng.integers(0, min(height, width), 2), (0, 1))  # as good as another, and quick
                total += _write(writer, tf.io.encode_jpeg(shifted, quality=90).numpy())
    return total / (pictures + 1)


def _write(writer, encoded):
    features = {
        "image/encoded": tf.train.Feature(bytes_list=tf.train.BytesList(value=[encoded])),
        "image/class/label": tf.train.Feature(int64_list=tf.train.Int64List(value=[1])),
    }
    writer.write(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())
    return len(encoded)


def ours(source, data):
    task = Classification(data, source.classes)
    return itertools.islice(iter(task.training_batches(source, SIZES, seed=0)), task.steps_per_epoch(source))


def on_the_host(source, resize):
    """Every resolution decoded, cut, resized and batched on the host (TensorFlow itself merges the equal decodes into one)."""

    def prepare(number, record):
        encoded, label = records.parse(record, records.SCHEMAS[0])
        images = []
        for side in SIZES:
            picture = tf.io.decode_jpeg(encoded, channels=3, dct_method="INTEGER_ACCURATE")
            shape, seed = tf.shape(picture), tf.stack([0, tf.cast(number, tf.int32)])
            window = transforms.torchvision_window(shape[0], shape[1], tf.random.stateless_uniform([5, 10], seed))
            top, left, height, width = tf.unstack(window)
            crop = picture[top : top + height, left : left + width]
            images.append(tf.ensure_shape(resize(crop, side, side), [side, side, 3]))
        return tuple(images), label

    dataset = tf.data.TFRecordDataset(source.train.paths).enumerate().map(prepare, tf.data.AUTOTUNE)
    return iter(dataset.batch(BATCH).prefetch(4))


def tensorflow_resize(image, height, width):
    return tf.cast(tf.round(tf.image.resize(image, [height, width], antialias=True)), tf.uint8)


def decoding(source):
    def decode(record):
        encoded, _ = records.parse(record, records.SCHEMAS[0])
        return tf.io.decode_jpeg(encoded, channels=3, dct_method="INTEGER_ACCURATE")

    return iter(tf.data.TFRecordDataset(source.train.paths).map(decode, tf.data.AUTOTUNE).prefetch(4))


def measure(height, width, pictures):
    """Figures for pictures of one size."""
    with tempfile.TemporaryDirectory() as folder:
        size = write_records(pathlib.Path(folder), height, width, pictures)
        data = ClassificationData(
            source=folder, batch_size=BATCH, side=224, crop="area", rules="torchvision", resize="bilinear", flip="independent"
        )
        source = Classification.open(data, classes=10)
        data = data.resolved(source)
        variants = {
            "our pipeline": functools.partial(ours, source, data),
            "our pipeline, exact": functools.partial(ours, source, dataclasses.replace(data, antialias="exact")),
            "our pipeline, no antialias": functools.partial(ours, source, dataclasses.replace(data, antialias="none")),
            "decoding alone": functools.partial(decoding, source),
            "host, TensorFlow's resize": functools.partial(on_the_host, source, tensorflow_resize),
            "host, our resize": functools.partial(
                on_the_host, source, functools.partial(resizing.resize_bilinear, antialias="fast")
            ),
        }
        speeds = {name: [] for name in variants}
        for _ in range(ROUNDS):
            for name, make in variants.items():
                per_item = 1 if name == "decoding alone" else BATCH
                speeds[name].append(per_item * _speed(make(), pictures // per_item))
    speeds = {name: float(np.median(values)) for name, values in speeds.items()}
    against = {
        mine: {name: speeds[mine] / speed for name, speed in speeds.items() if not name.startswith("our")}
        for mine in speeds
        if mine.startswith("our")
    }
    return {"bytes per picture": round(size), "images per second": speeds, "ratio": against}


def _speed(iterator, items):
    """Items per second after the first quarter."""
    first = items // 4
    for _ in range(first):
        next(iterator)
    start = time.perf_counter()
    rest = sum(1 for _ in iterator)
    assert first + rest == items
    return rest / (time.perf_counter() - start)


def main():
    figures = {f"{w} x {h} pixels": measure(h, w, count) for (h, w), count in PICTURES.items()}
    report("bench_pipeline", "make bench-data", {"batch": BATCH, **figures})


if __name__ == "__main__":
    main()
