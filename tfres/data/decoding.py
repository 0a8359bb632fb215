"""Picture files to pixels: headers are looked at first, and what would be decoded in part only is refused."""

from __future__ import annotations

import re

import tensorflow as tf

# What a header may ask for: nothing is decoded, resized or allocated beyond.
LARGEST_SIDE, LARGEST_PIXELS, LARGEST_ASPECT = 16384, 10**8, 200
_FAULTS = (
    "",
    "no JPEG, PNG, GIF or BMP picture",
    "a PNG picture of 16 bits per channel, of which 8 would be lost",
    "a BMP picture with a colour table, compression or less than 24 bits per pixel",
    f"a picture with sides that are not from 1 to {LARGEST_SIDE} pixels, of more than {LARGEST_PIXELS // 10**6} megapixels or "
    f"longer than {LARGEST_ASPECT} times its width, by its header",
    "an animated GIF picture, of which only the first frame would be used",
)
_UNKNOWN, _DEEP, _TABLE, _SHAPE, _ANIMATED = range(1, 6)
_SIGNATURES = {"JPEG": b"\xff\xd8\xff", "PNG": b"\x89PNG\r\n\x1a\n", "GIF": b"GIF8", "BMP": b"BM"}
_HEAD = 40
# Numbers in a header (start, bytes, whether the highest comes first): height, width and bits per channel of PNG; height and
# width of GIF; height, width, length of the header, bits per pixel and compression of BMP.
_FIELDS = (
    (20, 4, True), (16, 4, True), (24, 1, True), (8, 2, False), (6, 2, False), (22, 4, False), (18, 4, False), (14, 4, False),
    (28, 2, False), (30, 4, False),
)  # fmt: skip
_FIELD_WEIGHTS = [
    [256 ** (start + size - 1 - i if big else i - start) if start <= i < start + size else 0 for i in range(_HEAD)]
    for start, size, big in _FIELDS
]
_GREY_TABLE = b"".join(bytes([i, i, i, 0]) for i in range(256))


def decode(encoded: tf.Tensor) -> tf.Tensor:
    """JPEG, PNG, BMP or still GIF bytes to uint8 RGB `(height, width, 3)`.

    Grey pictures get three equal channels, transparency is dropped, CMYK is converted. The operation fails
    (InvalidArgumentError) on other formats, 16-bit PNG, BMP with a colour table, animations, and shapes beyond the limits.
    """
    with tf.control_dependencies([shape_of(encoded)]):
        return decode_known(tf.identity(encoded))


def decode_known(encoded: tf.Tensor) -> tf.Tensor:
    """`decode` of bytes whose header `shape_of` has looked at."""
    image = tf.cond(
        tf.io.is_jpeg(encoded),
        lambda: tf.io.decode_jpeg(encoded, channels=3, dct_method="INTEGER_ACCURATE"),
        lambda: _still(tf.io.decode_image(encoded, channels=3, expand_animations=True)),
    )
    return tf.ensure_shape(image, [None, None, 3])


def _still(image: tf.Tensor) -> tf.Tensor:
    shape = tf.shape(image)[-3:]
    frames = tf.reshape(image, tf.concat([[-1], shape], 0))
    with tf.control_dependencies([_refuse(tf.where(tf.equal(tf.shape(frames)[0], 1), 0, _ANIMATED), shape)]):
        return tf.identity(frames[0])


def shape_of(encoded: tf.Tensor) -> tf.Tensor:
    """`[height, width]` from the header of an encoded picture, int32; fails on what `decode` refuses."""

    def of_jpeg() -> tuple[tf.Tensor, tf.Tensor]:
        return tf.cast(tf.io.extract_jpeg_shape(encoded)[:2], tf.int64), tf.constant(0)

    shape, fault = tf.cond(starts(encoded, "JPEG"), of_jpeg, lambda: _other_header(encoded))
    short, long = tf.reduce_min(shape), tf.reduce_max(shape)
    fits = (short >= 1) & (long <= LARGEST_SIDE) & (short * long <= LARGEST_PIXELS) & (long <= LARGEST_ASPECT * short)
    fault = tf.where(tf.equal(fault, 0) & ~fits, _SHAPE, fault)
    with tf.control_dependencies([_refuse(fault, shape)]):
        return tf.cast(shape, tf.int32)


def starts(encoded: tf.Tensor, kind: str) -> tf.Tensor:
    """Whether a picture is of a kind ("JPEG", "PNG", "GIF", "BMP"), by its first bytes."""
    signature = _SIGNATURES[kind]
    return tf.equal(tf.strings.substr(encoded, 0, len(signature)), signature)


def _other_header(encoded: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Height and width, int64, and the number of the fault of what is no JPEG picture."""
    head = tf.strings.join([tf.strings.substr(encoded, 0, _HEAD), b"\0" * _HEAD])
    head = tf.cast(tf.io.decode_raw(head, tf.uint8)[:_HEAD], tf.int64)
    fields = tf.unstack(tf.linalg.matvec(tf.constant(_FIELD_WEIGHTS, tf.int64), head))
    png_height, png_width, depth, gif_height, gif_width, rows, columns, header, bits, packing = fields
    rows = tf.where(rows >= 2**31, 2**32 - rows, rows)  # negative: stored from the top
    is_png, is_gif, is_bmp = (starts(encoded, kind) for kind in ("PNG", "GIF", "BMP"))
    plain = (header >= 40) & tf.equal(packing % 3, 0) & ((bits >= 24) | _grey_table(encoded, bits))
    kind = tf.where(is_png, 0, tf.where(is_gif, 1, 2))
    shape = tf.gather(tf.stack([[png_height, png_width], [gif_height, gif_width], [rows, columns]]), kind)
    fault = tf.where(is_png & tf.equal(depth, 16), _DEEP, tf.where(is_bmp & ~plain, _TABLE, 0))
    return shape, tf.where(is_png | is_gif | is_bmp, fault, _UNKNOWN)


def _grey_table(encoded: tf.Tensor, depth: tf.Tensor) -> tf.Tensor:
    """Whether a BMP picture of 8 bits has the colour table of grey levels."""

    def compared() -> tf.Tensor:
        padded = tf.strings.join([tf.strings.substr(encoded, 0, 54 + len(_GREY_TABLE)), b"\0" * (54 + len(_GREY_TABLE))])
        return tf.equal(tf.strings.substr(padded, 54, len(_GREY_TABLE)), _GREY_TABLE)

    return tf.cond(tf.equal(depth, 8), compared, lambda: tf.constant(False))


def _refuse(fault: tf.Tensor, shape: tf.Tensor) -> tf.Operation:
    return refuse_unless(tf.equal(fault, 0), tf.gather(list(_FAULTS), fault), "(height, width)", shape)


def refuse_unless(condition: tf.Tensor, *facts: tf.Tensor | str) -> tf.Operation:
    """An operation that fails with the given facts, which `reason` reads from its error, traced or not."""
    return tf.raw_ops.Assert(condition=condition, data=list(facts), summarize=8)


def is_whole_jpeg(encoded: tf.Tensor) -> tf.Tensor:
    """Whether a JPEG file ends with its end mark; one that does not may be cut off (or carry further bytes)."""
    size = tf.strings.length(encoded)
    return tf.equal(tf.strings.substr(encoded, tf.maximum(size - 2, 0), 2), b"\xff\xd9")


def fault_of(encoded: bytes) -> str | None:
    """What is wrong with an encoded picture, by decoding all of it; None when it is good."""
    try:
        _traced_decode(encoded)
    except tf.errors.OpError as error:
        return f"not a readable picture ({reason(error)})"
    return None


@tf.function(input_signature=[tf.TensorSpec([], tf.string)], autograph=False)
def _traced_decode(encoded: tf.Tensor) -> tf.Tensor:
    return decode(encoded)


def reason(error: Exception) -> str:
    """What a TensorFlow error says, in one line and without the names of nodes."""
    text = re.sub(r"\{\{.*?\}\} ?|jpeg::Uncompress failed\. ", "", str(error))
    traced = re.search(r"^(.*)\n\s*\[\[", text, re.MULTILINE) if text.startswith("Graph execution error") else None
    if traced:
        text = re.sub(r"^\s*\(\d+\) \w+:\s*", "", traced[1])
    if "assertion failed: " in text:
        parts = re.findall(r"\[([^\[\]]*)\]", text.split("assertion failed: ")[1].splitlines()[0].split(" [Op:")[0])
        return " ".join(parts)[:250]
    return (text.split(". ")[0].splitlines() or [type(error).__name__])[0].split(" [Op:")[0][:160]
