"""The task: which of three colours a picture shows, none to all of them (several labels per picture)."""

from __future__ import annotations

import contextlib
import dataclasses

import numpy as np
import tensorflow as tf

from tfres.data import batching
from tfres.errors import DataError, RecipeError, SourceError
from tfres.settings import Setting

COLOURS = ("red", "green", "blue")


@dataclasses.dataclass(frozen=True)
class Patched:
    """A source: uint8 pictures and float targets `(n, colours)` by split."""

    splits: dict
    classes: list[str] = dataclasses.field(default_factory=lambda: list(COLOURS))
    missing: tuple[str, ...] = ()

    @property
    def size(self):
        return len(self.splits["train"][0])

    @property
    def calibration(self):
        return self.splits.get("calibration")

    def relabelled(self, classes):
        if list(classes) != self.classes:
            raise SourceError(f"patches must have the classes {', '.join(self.classes)}. Received: {', '.join(classes)}.")
        return self


def generated(count, side, seed):
    """Dark noise, and a bright patch for every colour that is there."""
    rng = np.random.Generator(np.random.PCG64(seed))
    pictures, targets = rng.integers(0, 64, (count, side, side, 3), np.uint8), rng.integers(0, 2, (count, len(COLOURS)))
    for picture, target in zip(pictures, targets, strict=True):
        for colour in np.flatnonzero(target):
            top, left = rng.integers(0, side // 2, 2)
            picture[top : top + side // 2, left : left + side // 2, colour] = 255
    return pictures, targets.astype(np.float32)


class Exactness:
    """Share of pictures with all labels right (`exact`) and of labels that are right (`labels`)."""

    def __init__(self):
        self._totals = np.zeros(3)

    def measure(self, outputs, targets):
        right = tf.cast((outputs > 0) == (targets > 0.5), tf.float32)
        return tf.stack(
            [
                tf.reduce_sum(tf.reduce_min(right, 1)),
                tf.reduce_sum(tf.reduce_mean(right, 1)),
                tf.reduce_sum(tf.ones_like(right[:, 0])),
            ]
        )

    def add(self, measured):
        self._totals += np.asarray(measured)

    def update(self, outputs, targets):
        self.add(self.measure(outputs, targets))

    def result(self):
        if not self._totals[2]:
            raise DataError("Exactness needs at least one picture. Received: none.")
        return {"exact": float(self._totals[0] / self._totals[2]), "labels": float(self._totals[1] / self._totals[2])}


class Patches:
    """See `tfres.tasks.Task`."""

    score = "exact"
    loss_name = "binary_cross_entropy"

    def __init__(self, data, classes, outputs=None):
        self.data, self.classes = data, list(classes)
        self.outputs = outputs or len(self.classes)

    @classmethod
    def open(cls, data, classes=None):
        if data.source != "patches":
            raise SourceError(f"`source` must be patches. Received: source={data.source!r}.")
        splits = {name: generated(data.fake_size, data.side, seed) for seed, name in enumerate(("train", "validation"))}
        held = round((data.holdout or 0) * data.fake_size)
        if held:
            splits["calibration"] = tuple(part[-held:] for part in splits["train"])
            splits["train"] = tuple(part[:-held] for part in splits["train"])
        return Patched(splits) if classes is None or isinstance(classes, int) else Patched(splits).relabelled(classes)

    @classmethod
    def write_records(cls, folder, records, per_shard):
        raise SourceError("Patches are generated, there is nothing to write.")

    def steps_per_epoch(self, source):
        return batching.steps_in(len(source.splits["train"][0]), self.data.batch_size)

    def training_batches(self, source, sizes, seed, first_step=0, shared=0, replicas=1, pipeline=(0, 1)):
        pictures, targets = source.splits["train"]
        batch, steps = self.data.batch_size, self.steps_per_epoch(source)
        part = batch // replicas

        def one_pass(number):
            return batching.shuffled_indices(len(pictures), seed, number)

        def finish(positions, indices):
            return {
                "images": tf.gather(pictures, indices),
                "targets": tf.gather(targets, indices),
                "draws": batching.step_draws(seed, positions[0], batch, part, 1),
                "shared": batching.shared_draws(seed, positions[0], batch, shared),
            }

        return batching.endless(one_pass, steps, batch, first_step, replicas, pipeline).batch(part, True).map(finish)

    def evaluation_batches(self, source, sizes, split="validation", seed=None):
        if split not in source.splits:
            raise DataError(f"`holdout` must be above 0. Received: no pictures for {split}.")
        pictures, targets = source.splits[split]
        order = tf.data.Dataset.range(len(pictures)) if seed is None else batching.shuffled_indices(len(pictures), seed, 0)

        def finish(indices):
            return {"images": dict.fromkeys(sizes, tf.gather(pictures, indices)), "targets": tf.gather(targets, indices)}

        return order.batch(self.data.batch_size).map(finish)

    def prepare(self, batch, sizes, training):
        images = batch["images"]
        by_size = images if isinstance(images, dict) else dict.fromkeys(sizes, images)
        inputs = {size: self.resized(by_size[size], size) for size in sizes}
        if training:
            inputs = {size: tf.where(batch["draws"][:, :1, None, None] < 0.5, x[:, :, ::-1], x) for size, x in inputs.items()}
        return inputs, batch.get("targets")

    def evaluation_picture(self, picture, size):
        picture = tf.convert_to_tensor(picture)
        if picture.dtype == tf.string:
            picture = tf.io.decode_image(picture, 3, expand_animations=False)
        return tf.cast(tf.round(tf.image.resize(picture, Setting.parse(size).sides)), tf.uint8)

    def resized(self, images, size):
        return self.normalised(tf.image.resize(images, Setting.parse(size).sides))

    def normalised(self, images):
        return tf.cast(images, tf.float32) / 255

    def explained(self, source):
        return contextlib.nullcontext()

    def loss(self, outputs, targets):
        return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(tf.cast(targets, outputs.dtype), outputs))

    def divergence(self, teacher, student, temperature=1.0, form="kl"):
        targets = tf.stop_gradient(tf.nn.sigmoid(teacher / temperature))
        distance = tf.nn.sigmoid_cross_entropy_with_logits(targets, student / temperature)
        if form == "kl":
            distance -= tf.stop_gradient(tf.nn.sigmoid_cross_entropy_with_logits(targets, teacher / temperature))
        return tf.reduce_mean(distance)

    def looking(self, run, looks):
        raise RecipeError(f"Patches are looked at once. Received: {looks}.")

    def drawing(self, source):
        return None

    def metrics(self, source=None):
        return Exactness()

    def confidence(self, outputs, score, temperature=1.0):
        logits = tf.cast(outputs, tf.float32) / temperature  # every colour is a question of two answers
        if score == "entropy":
            probabilities = tf.nn.sigmoid(logits)
            return -tf.reduce_sum(tf.nn.sigmoid_cross_entropy_with_logits(probabilities, logits), 1)
        surest = tf.reduce_min(tf.abs(logits), 1)
        return {"margin": surest, "probability": tf.nn.sigmoid(surest)}[score]

    def correct(self, outputs, targets):
        return tf.reduce_all((outputs > 0) == (targets > 0.5), 1)

    def aligned(self, outputs):
        return list(outputs)

    def answer(self, outputs, sides=None):
        probabilities = tf.nn.sigmoid(tf.cast(outputs, tf.float32))
        return {"probabilities": probabilities, "present": tf.cast(probabilities > 0.5, tf.int32)}
