"""Encoded pictures: how large they would be, before they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import tensorflow as tf

from tfres.deploy.server.limits import invalid

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tfres.deploy.server.tensors import Arrays, Spec

_JPEG, _PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"


def check_pixels(inputs: Arrays, specs: Mapping[str, Spec], most: int) -> None:
    """Refuse encoded pictures that are too large together.

    Raises:
        Refused: INVALID_ARGUMENT.
    """
    for name, array in inputs.items():
        if specs[name].encoded:
            found = sum(map(pixels, array.tolist()))
            if found > most:
                told = f"`{name}` must be pictures of at most {most} pixels together, by their headers"
                raise invalid(f"{told}. Received: {found}.")


def pixels(content: bytes) -> int:
    """What the header of a JPEG or PNG picture declares; 0 for anything else, which exports refuse."""
    if content.startswith(_PNG):
        return int.from_bytes(content[16:20], "big") * int.from_bytes(content[20:24], "big")
    if not content.startswith(_JPEG):
        return 0
    try:
        height, width, _ = tf.io.extract_jpeg_shape(content).numpy().tolist()
    except tf.errors.OpError:
        return 0
    return height * width
