"""Training's random frames: half a body, larger or smaller, turned, mirrored."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import tensorflow as tf

from tfres.tasks.pose.frames import widened
from tfres.tasks.pose.skeleton import COUNT, MIRRORED, UPPER_BODY

HALF_BODY_MARGIN = 1.5
_TURNED = 0.6  # share of the pictures
_FEWEST = 2  # joints that a half body must have more of to be preferred


class Draws(NamedTuple):
    """Random numbers of a person: `uniform` in [0, 1) for half body, turn and flip; `normal` for which half, scale, angle."""

    uniform: tf.Tensor
    normal: tf.Tensor

    @classmethod
    def of(cls, seed: tf.Tensor) -> Draws:
        """From a stateless seed, integer `(2,)`."""
        return cls(tf.random.stateless_uniform([3], seed), tf.random.stateless_normal([3], seed + [1, 0]))


class Person(NamedTuple):
    """Where a person is: `joints` float32 `(17, 3)` (x, y, visible), the frame's `centre` and `extent` `(2,)`."""

    joints: tf.Tensor
    centre: tf.Tensor
    extent: tf.Tensor


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """How much is random, in the order in which it is done.

    Args:
        half_body: share of the people with more than `half_body_joints` visible joints of whom only one half is shown.
        half_body_joints: see above.
        scale: deviation of the extent's factor around 1, which stays within 1 - scale and 1 + scale.
        rotation: deviation of the angle in degrees; 60 % are turned, by at most twice as much.
        flip: mirror half of the pictures.
    """

    half_body: float = 0.3
    half_body_joints: int = 8
    scale: float = 0.35
    rotation: float = 45.0
    flip: bool = True

    def __call__(self, person: Person, width: tf.Tensor, aspect: float, draws: Draws) -> tuple[Person, tf.Tensor, tf.Tensor]:
        """The person in a random frame.

        Args:
            person: in the picture.
            width: of the picture, in pixels.
            aspect: width / height of the cut.
            draws: the random numbers.

        Returns:
            `(person, degrees, mirrored)`; where `mirrored`, all places are those in the mirrored picture.
        """
        joints, centre, extent = self._half(person, aspect, draws)
        extent *= tf.clip_by_value(1 + self.scale * draws.normal[1], 1 - self.scale, 1 + self.scale)
        limit = 2 * self.rotation
        angle = tf.clip_by_value(self.rotation * draws.normal[2], -limit, limit)
        degrees = tf.where(draws.uniform[1] <= _TURNED, angle, 0.0)
        mirror = self.flip & (draws.uniform[2] <= 0.5)
        across, ahead = tf.constant([-1.0, 1.0]), tf.stack([tf.cast(width, tf.float32) - 1, 0.0])
        places = tf.where(mirror, tf.gather(joints[:, :2], MIRRORED) * across + ahead, joints[:, :2])
        visible = tf.where(mirror, tf.gather(joints[:, 2], MIRRORED), joints[:, 2])
        centre = tf.where(mirror, centre * across + ahead, centre)
        return Person(tf.concat([places, visible[:, None]], 1), centre, extent), degrees, mirror

    def _half(self, person: Person, aspect: float, draws: Draws) -> Person:
        """The person, or one half of it."""
        places, visible = person.joints[:, :2], person.joints[:, 2] > 0
        upper = tf.constant([joint in UPPER_BODY for joint in range(COUNT)])
        above, below = visible & upper, visible & ~upper
        many_above, many_below = (tf.math.count_nonzero(half) > _FEWEST for half in (above, below))
        take_upper = ((draws.normal[0] < 0.5) & many_above) | ~many_below
        shown = tf.where(take_upper, above, below)[:, None]
        count = tf.math.count_nonzero(shown, dtype=tf.float32)
        middle = tf.reduce_sum(tf.where(shown, places, 0.0), 0) / tf.maximum(count, 1.0)
        high = tf.reduce_max(tf.where(shown, places, places.dtype.min), 0)
        low = tf.reduce_min(tf.where(shown, places, places.dtype.max), 0)
        sides = tf.where(count > 0, tf.maximum(high - low, 1.0), 1.0)
        many = tf.math.count_nonzero(visible) > self.half_body_joints
        halved = many & (draws.uniform[0] < self.half_body) & (count >= _FEWEST)
        extent = HALF_BODY_MARGIN * widened(sides, aspect)
        return Person(person.joints, tf.where(halved, middle, person.centre), tf.where(halved, extent, person.extent))
