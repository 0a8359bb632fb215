"""Folders and shards of small pictures."""

import numpy as np
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


def declaring(encoded, height, width):
    """An encoded JPEG or PNG picture whose header tells another size."""
    if encoded.startswith(b"\x89PNG"):
        return encoded[:16] + width.to_bytes(4, "big") + height.to_bytes(4, "big") + encoded[24:]
    start = encoded.index(b"\xff\xc0") + 5  # of the frame: marker, length and bits come before
    return encoded[:start] + height.to_bytes(2, "big") + width.to_bytes(2, "big") + encoded[start + 4 :]


def example(**features):
    """A serialized `tf.train.Example`; underscores in names stand for slashes, values are lists."""

    def feature(values):
        if isinstance(values[0], bytes):
            return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))
        if isinstance(values[0], float):
            return tf.train.Feature(float_list=tf.train.FloatList(value=values))
        return tf.train.Feature(int64_list=tf.train.Int64List(value=values))

    made = {name.replace("_", "/"): feature(values) for name, values in features.items()}
    return tf.train.Example(features=tf.train.Features(feature=made)).SerializeToString()


def picture_record(label=1, encoded=None):
    """A record of the classic schema."""
    encoded = tf.io.encode_png(tf.zeros([8, 8, 3], tf.uint8)).numpy() if encoded is None else encoded
    return example(image_encoded=[encoded], image_class_label=[label])


def write_shard(path, records, compression=""):
    """A TFRecord file of serialized records."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path), compression) as writer:
        for record in records:
            writer.write(record)
