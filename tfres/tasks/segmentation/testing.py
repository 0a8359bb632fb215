"""Answers from several looks at a picture: mirrored, at several scales, in windows."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import tensorflow as tf

from tfres.layers.maps import resized
from tfres.tasks.segmentation.losses import precise

Run = Callable[[tf.Tensor], tf.Tensor]
SCORES = ("softmax", "exp")
_MULTIPLE = 32  # sides that every network takes


def looked_at(
    run: Run,
    images: tf.Tensor,
    scales: Sequence[float] = (1.0,),
    mirror: bool = False,
    windows: tuple[int, int] | None = None,
    score: str = "softmax",
) -> tf.Tensor:
    """Scores of all looks, added up, `(batch, height, width, classes)` at the pictures' size.

    At every scale the picture is resized (bilinear). What is larger than a window is cut into windows without an overlap but
    for the last ones, which are moved inwards; where they overlap the mean counts. Logits are brought to the size of what was
    looked at and averaged with those of the mirrored look, then become scores.

    Args:
        run: normalised images -> logits of any size.
        images: normalised, `(batch, height, width, 3)`, height and width known.
        scales: of the long side.
        mirror: also mirrored.
        windows: height and width; None for whole pictures.
        score: "softmax", or "exp" (of logits that are not normalised, as the reference has it).

    Reference: ScaleNAS' multi-scale inference, which no tool of it calls.
    """
    if score not in SCORES:
        raise ValueError(f"`score` must be one of {', '.join(SCORES)}. Received: score={score!r}.")
    height, width = images.shape[1:3]
    total = 0.0
    for scale in scales:
        long = int(max(height, width) * scale + 0.5)
        sides = [
            int(side * long / max(height, width) + 0.5) if side < max(height, width) else long for side in (height, width)
        ]
        total += resized(_windowed(run, resized(images, *sides), mirror, windows or tuple(sides), score), height, width)
    return total


def _windowed(run: Run, images: tf.Tensor, mirror: bool, windows: tuple[int, int], score: str) -> tf.Tensor:
    """Scores at the size of the images."""
    (height, width), (high, wide) = images.shape[1:3], windows
    total, count = 0.0, 0.0
    for top in _starts(height, high):
        for left in _starts(width, wide):
            part = images[:, top : top + high, left : left + wide]
            scores = _scores(run, part, mirror, score)
            around = [[0, 0], [top, height - top - part.shape[1]], [left, width - left - part.shape[2]], [0, 0]]
            total += tf.pad(scores, around)
            count += tf.pad(tf.ones_like(scores[..., :1]), around)
    return total / count


def _starts(size: int, window: int) -> list[int]:
    """Where windows begin along a side."""
    return [min(number * window, max(size - window, 0)) for number in range(math.ceil(size / window))]


def _scores(run: Run, images: tf.Tensor, mirror: bool, score: str) -> tf.Tensor:
    logits = _logits(run, images)
    if mirror:
        logits = (logits + _logits(run, images[:, :, ::-1])[:, :, ::-1]) / 2
    return tf.exp(logits) if score == "exp" else tf.nn.softmax(logits)


def _logits(run: Run, images: tf.Tensor) -> tf.Tensor:
    """At the size of the images, which are filled up to sides that every network takes."""
    height, width = images.shape[1:3]
    more = [-side % _MULTIPLE for side in (height, width)]
    logits = precise(run(tf.pad(images, [[0, 0], [0, more[0]], [0, more[1]], [0, 0]]) if any(more) else images))
    return resized(logits, height + more[0], width + more[1])[:, :height, :width]
