"""Heatmaps: those that a network shall give, and the keypoints of those that it gives."""

from __future__ import annotations

import tensorflow as tf

from tfres.tasks.pose.skeleton import MIRRORED


def targets(
    joints: tf.Tensor, sides: tuple[int, int], size: tuple[int, int], sigma: float = 2.0
) -> tuple[tf.Tensor, tf.Tensor]:
    """A peak exp(-(dx^2 + dy^2) / (2 s^2)) per visible joint, around the heatmap's pixel next to it.

    The pixel is int(x * sides / size + 0.5); s is `sigma` in heatmaps of 64 rows and grows with them, but is at least 1;
    pixels further than 3 s off in x or y stay 0. A joint whose whole square lies outside has the weight 0, as one that is
    not visible.

    Args:
        joints: float `(batch, joints, 3)`: x and y in pixels of the cut, and whether it is visible.
        sides: height and width of the heatmaps.
        size: height and width of the cut.
        sigma: see above.

    Returns:
        `(heatmaps, weights)`: float32 `(batch, height, width, joints)` and `(batch, joints)`.
    """
    height, width = sides
    spread = max(1.0, sigma * height / 64)
    reach = float(int(3 * spread))
    strides = tf.constant([size[1] / width, size[0] / height], tf.float32)
    pixels = tf.cast(tf.cast(joints[..., :2] / strides + 0.5, tf.int32), tf.float32)  # truncated towards 0
    first, last = pixels - reach, pixels + reach + 1
    inside = tf.reduce_all((first < [width, height]) & (last >= 0), -1)
    weights = tf.cast(inside & (joints[..., 2] > 0.5), tf.float32)

    def axis(count: int, centre: tf.Tensor) -> tf.Tensor:
        away = tf.range(count, dtype=tf.float32) - centre[..., None]
        return tf.where(tf.abs(away) <= reach, tf.exp(-tf.square(away) / (2 * spread**2)), 0.0)

    columns, rows = axis(width, pixels[..., 0]), axis(height, pixels[..., 1])
    return tf.einsum("bjh,bjw,bj->bhwj", rows, columns, weights), weights


def peaks(heatmaps: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The largest value per joint and its place; (0, 0) where no value is above 0.

    Args:
        heatmaps: float `(batch, height, width, joints)`.

    Returns:
        `(places, values)`: float32 `(batch, joints, 2)`, x and y, and `(batch, joints)`.
    """
    (height, width), joints = tf.unstack(tf.shape(heatmaps)[1:3]), heatmaps.shape[3]
    flat = tf.reshape(tf.cast(heatmaps, tf.float32), [-1, height * width, joints])
    best, values = tf.argmax(flat, 1, tf.int32), tf.reduce_max(flat, 1)
    places = tf.cast(tf.stack([best % width, best // width], -1), tf.float32)
    return tf.where(values[..., None] > 0, places, 0.0), values


def decoded(heatmaps: tf.Tensor, shift: bool = True) -> tuple[tf.Tensor, tf.Tensor]:
    """Keypoints of heatmaps, in their pixels: `peaks`, moved by a quarter of a pixel towards the larger neighbour.

    Peaks at the two outer columns on the left, the last on the right, and rows alike, stay where they are.

    Args:
        heatmaps: float `(batch, height, width, joints)`.
        shift: whether they are moved.

    Returns:
        `(places, values)`, see `peaks`.
    """
    places, values = peaks(heatmaps)
    if not shift:
        return places, values
    height, width = tf.unstack(tf.shape(heatmaps)[1:3])
    x, y = (tf.cast(tf.floor(places[..., axis] + 0.5), tf.int32) for axis in (0, 1))
    inner = (x > 1) & (x < width - 1) & (y > 1) & (y < height - 1)
    maps = tf.transpose(tf.cast(heatmaps, tf.float32), [0, 3, 1, 2])

    def at(right: int, down: int) -> tf.Tensor:
        place = [tf.clip_by_value(y + down, 0, height - 1), tf.clip_by_value(x + right, 0, width - 1)]
        return tf.gather_nd(maps, tf.stack(place, -1), batch_dims=2)

    slope = tf.stack([at(1, 0) - at(-1, 0), at(0, 1) - at(0, -1)], -1)
    return places + tf.where(inner[..., None], 0.25 * tf.sign(slope), 0.0), values


def unmirrored(heatmaps: tf.Tensor, shift: bool = True) -> tf.Tensor:
    """Heatmaps of mirrored pictures as those of the pictures: mirrored, left and right joints swapped.

    Args:
        heatmaps: `(batch, height, width, joints)`.
        shift: move them right by one pixel, where they fit best; the first column stays as well.
    """
    back = tf.gather(heatmaps[:, :, ::-1], MIRRORED, axis=3)
    return tf.concat([back[:, :, :1], back[:, :, :-1]], 2) if shift else back
