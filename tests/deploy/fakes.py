"""A network and a task small enough to read, of the interfaces that exports are written against."""

from __future__ import annotations

import dataclasses
from typing import Any

import tensorflow as tf

from tfres.settings import Setting


@dataclasses.dataclass(frozen=True, eq=False)
class At:
    """As `quant.at.At`, the fields of served networks."""

    setting: Any = None
    index: Any = None
    shares: Any = None


class Network(tf.Module):
    """One convolution, and a scale per setting."""

    axes = ("resolution",)

    def __init__(self, resolutions=(16, 12), scales=None, compute_dtype="float32"):
        super().__init__()
        generator = tf.random.Generator.from_seed(1)
        self.compute_dtype = compute_dtype
        self.settings = sorted((Setting.parse(r) for r in resolutions), reverse=True)
        self.kernel = tf.Variable(generator.normal([3, 3, 3, 5]), name="kernel")
        self.scales = tf.Variable(scales if scales is not None else [1.0 + i for i, _ in enumerate(self.settings)])

    @property
    def weights(self):
        return [self.kernel, self.scales]

    def resolve(self, setting):
        setting = Setting.parse(setting)
        if setting not in self.settings:
            raise ValueError(f"`setting` must be one of {', '.join(map(str, self.settings))}. Received: setting={setting}.")
        return setting

    def largest_first(self, settings):
        return sorted(settings, reverse=True)

    def served(self, form=None):
        return self

    def snap(self):
        return False

    def size(self, setting):
        return setting.resolution

    def materialize(self, setting):
        plain = Network([setting], [self.scales[self.settings.index(setting)].numpy()])
        plain.kernel.assign(self.kernel)
        return plain

    def input_size(self, setting):
        return setting.resolution, setting.resolution

    def at(self, setting):
        return At(index=tf.constant(self.settings.index(setting)))

    continuous = False

    def run(self, images, at):
        scale = self.scales[at.index] if at.shares is None else tf.tensordot(at.shares, self.scales, 1)
        features = tf.nn.conv2d(images, tf.cast(self.kernel, images.dtype), 2, "SAME")
        return tf.reduce_mean(features, [1, 2]) * tf.cast(scale, images.dtype)


class AnySideNetwork(Network):
    """The same, between two settings too."""

    continuous = True

    def shares(self, resolution):
        small, large = self.settings[-1].resolution, self.settings[0].resolution
        share = (tf.cast(resolution, tf.float32) - small) / (large - small)
        return At(shares=tf.stack([share, 1 - share]))


class Task:
    """A classification whose evaluation cuts nothing but resizes."""

    def evaluation_picture(self, encoded, size):
        picture = tf.io.decode_png(encoded, channels=3)[None]
        return tf.cast(tf.raw_ops.ResizeNearestNeighbor(images=picture, size=[*size])[0], tf.uint8)

    def resized(self, images, size):
        return self.normalised(tf.raw_ops.ResizeNearestNeighbor(images=images, size=[*size]))

    def normalised(self, images):
        return tf.cast(images, tf.float32) / 255 - 0.5

    def answer(self, outputs, sides=None):
        return {"logits": outputs, "probabilities": tf.nn.softmax(outputs), "class": tf.argmax(outputs, axis=-1)}


class Pointing:
    """Another task: points of the picture, judged by another figure."""

    evaluation_picture, resized, normalised = Task.evaluation_picture, Task.resized, Task.normalised

    def answer(self, outputs, sides=None):
        return {"points": tf.reshape(outputs[:, :4], [-1, 2, 2])}


def table(*settings, score="top1", **more):
    """A query table whose score and cost grow from the last setting to the first."""
    ranked = list(enumerate(reversed(settings), 1))
    rows = [{"setting": s, score: n / 10, "macs": 100 * n, "resolution": Setting.parse(s).resolution} for n, s in ranked]
    return {**({"score": score} if score != "top1" else {}), "rows": rows, **more}
