"""Pictures that TensorFlow would decode in part, wrongly or at any price."""

import io
import re
import struct
import zlib

import cv2
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tfres.data import decoding, transforms

_GRADIENT = np.linspace(0, 255, 24 * 30 * 3).reshape(24, 30, 3).astype(np.uint8)


def _file(kind, mode="RGB", **options):
    file = io.BytesIO()
    Image.fromarray(_GRADIENT).convert(mode).save(file, kind, **options)
    return file.getvalue()


def _png_header(width, height):
    """A PNG picture that promises a size and holds nothing of it."""
    chunks = b""
    for name, body in ((b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)), (b"IDAT", b""), (b"IEND", b"")):
        chunks += struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
    return b"\x89PNG\r\n\x1a\n" + chunks


def _jpeg_header(width, height):
    """A JPEG picture whose frame header tells another size."""
    encoded = bytearray(_file("JPEG"))
    start = encoded.index(b"\xff\xc0") + 5
    encoded[start : start + 4] = struct.pack(">HH", height, width)
    return bytes(encoded)


def _animation():
    frames = [Image.fromarray(_GRADIENT[..., 0]), Image.fromarray(_GRADIENT[::-1, :, 0])]
    file = io.BytesIO()
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:])
    return file.getvalue()


_GOOD = {
    "jpeg": _file("JPEG", quality=95),
    "grey jpeg": _file("JPEG", "L", quality=95),
    "cmyk jpeg": _file("JPEG", "CMYK", quality=95),
    "progressive jpeg": _file("JPEG", quality=95, progressive=True),
    "jpeg with bytes behind": _file("JPEG", quality=95) + b"\0\0more",
    "png": _file("PNG"),
    "grey png": _file("PNG", "L"),
    "png with alpha": _file("PNG", "RGBA"),
    "png with a table": _file("PNG", "P"),
    "png of 1 bit": _file("PNG", "1"),
    "bmp": _file("BMP"),
    "bmp of 32 bits": _file("BMP", "RGBA"),
    "grey bmp": _file("BMP", "L"),
    "gif": _file("GIF", "P"),
}
_BAD = {
    "nothing": (b"", "no JPEG, PNG, GIF or BMP"),
    "one byte": (b"\xff", "no JPEG, PNG, GIF or BMP"),
    "text": (b"this is no picture " * 9, "no JPEG, PNG, GIF or BMP"),
    "webp": (_file("WEBP"), "no JPEG, PNG, GIF or BMP"),
    "tiff": (_file("TIFF"), "no JPEG, PNG, GIF or BMP"),
    "jpeg cut in its header": (_GOOD["jpeg"][:60], "JPEG"),
    "jpeg cut in the middle": (_GOOD["jpeg"][:-200], "Invalid JPEG data"),
    "jpeg without its last byte": (_GOOD["jpeg"][:-1], "Invalid JPEG data"),
    "cut png": (_GOOD["png"][:100], "Invalid PNG data"),
    "damaged png": (_GOOD["png"][:70] + b"\0\0\0\0" + _GOOD["png"][74:], "Invalid PNG data"),
    "cut gif": (_GOOD["gif"][:100], "GIF"),
    "cut bmp": (_GOOD["bmp"][:500], "size"),
    "bmp header only": (_GOOD["bmp"][:20], "BMP"),
    "png of 16 bits": (cv2.imencode(".png", _GRADIENT.astype(np.uint16) * 257)[1].tobytes(), "16 bits per channel"),
    "bmp with a table": (_file("BMP", "P"), "colour table"),
    "bmp of 1 bit": (_file("BMP", "1"), "less than 24 bits"),
    "animated gif": (_animation(), "animated GIF"),
    "png of 20000 x 1": (_png_header(20000, 1), "longer than 200 times.*20000"),
    "png of 2147483647 x 2147483647": (_png_header(2**31 - 1, 2**31 - 1), "sides that are not from 1 to 16384"),
    "png of 15000 x 15000": (_png_header(15000, 15000), "100 megapixels"),
    "png of 0 x 5": (_png_header(0, 5), "sides that are not from 1"),
    "jpeg of 65000 x 65000": (_jpeg_header(65000, 65000), "sides that are not from 1 to 16384"),
    "jpeg of 16000 x 20": (_jpeg_header(16000, 20), "longer than 200 times"),
    "bmp of 30000 x 30000": (_GOOD["bmp"][:18] + struct.pack("<ii", 30000, -30000) + _GOOD["bmp"][26:], "30000 30000"),
    "gif of 65535 x 65535": (b"GIF89a" + b"\xff" * 4 + _GOOD["gif"][10:], "sides that are not from 1 to 16384"),
}


@pytest.mark.parametrize("name", _GOOD)
def test_good_pictures(name):
    encoded = _GOOD[name]
    theirs = np.asarray(Image.open(io.BytesIO(encoded)).convert("RGB")).astype(int)
    ours = decoding.decode(tf.constant(encoded)).numpy()
    assert ours.dtype == np.uint8 and ours.shape == (24, 30, 3)
    assert np.abs(ours - theirs).max() <= (4 if "jpeg" in name else 0)
    assert decoding.shape_of(tf.constant(encoded)).numpy().tolist() == [24, 30]
    assert decoding.fault_of(encoded) is None


@pytest.mark.parametrize("name", _BAD)
def test_bad_pictures_are_told_with_the_reason(name):
    encoded, words = _BAD[name]
    fault = decoding.fault_of(encoded)
    assert fault is not None
    assert fault.startswith("not a readable picture (") and "{{" not in fault and "[Op:" not in fault and "\n" not in fault
    assert re.search(words, fault), fault


@pytest.mark.parametrize("name", ["jpeg cut in the middle", "jpeg without its last byte", "png of 20000 x 1", "animated gif"])
@pytest.mark.parametrize("rules", transforms.RULES)
def test_training_does_not_crop_them_either(name, rules):
    """A window of the upper part of a cut JPEG could be decoded; it is refused all the same, whatever the window."""
    for seed in range(4):
        with pytest.raises(tf.errors.InvalidArgumentError):
            transforms.area_crop(tf.constant(_BAD[name][0]), 8, tf.constant([seed, 0]), rules)
