"""A folder of small pictures."""

import numpy as np
import pytest
import tensorflow as tf


def write_pictures(root, counts, side=20):
    """`root/<split>/<class>/<i>.jpg|png`, each of one grey level that tells class and number."""
    for split, classes in counts.items():
        for label, (name, count) in enumerate(classes.items()):
            folder = root / split / name
            folder.mkdir(parents=True)
            for i in range(count):
                image = tf.fill([side, side + 4, 3], np.uint8(40 * label + 8 * i))
                encoded = tf.io.encode_png(image) if i % 3 == 2 else tf.io.encode_jpeg(image, quality=100)
                (folder / f"{i}.{'png' if i % 3 == 2 else 'jpg'}").write_bytes(encoded.numpy())


@pytest.fixture
def pictures(tmp_path):
    root = tmp_path / "pictures"
    write_pictures(root, {"train": {"a": 6, "b": 4}, "val": {"a": 2, "b": 3}})
    return root
