"""Which pictures made a pipeline fail."""

from __future__ import annotations

import contextlib
import itertools
import os
import pathlib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence

import tensorflow as tf

from tfres.errors import DataError

MOST = 20
# What the operations that read, parse and decode say; failures of anything else are none of the pictures'.
_OF_PICTURES = re.compile(
    r"DecodeJpeg|DecodeImage|DecodeAndCropJpeg|ExtractJpegShape|Invalid (JPEG|PNG|GIF|BMP)|Unknown image file format"
    r"|no JPEG, PNG, GIF or BMP picture|a (PNG|BMP) picture|a picture with sides|animated GIF|label (is|value is|picture)"
    r"|[Cc]ould not parse [Ee]xample|Can't parse serialized|Data types don't match|Feature: .*required"
    r"|Key: .*Can't parse|ReadFile|TFRecord|corrupted record|truncated record"
)
_READING = (
    tf.errors.InvalidArgumentError,
    tf.errors.DataLossError,
    tf.errors.NotFoundError,
    tf.errors.PermissionDeniedError,
    tf.errors.FailedPreconditionError,
    UnicodeDecodeError,  # TensorFlow's message about a record that cannot be parsed quotes its bytes, which Python cannot read
)


@contextlib.contextmanager
def explained(find_all: Callable[[], Sequence[str]]) -> Iterator[None]:
    """Turns a failure of the pipeline inside the block into a `DataError` that names the pictures at fault.

    Only errors that speak of reading, parsing or decoding have the data read again; all others pass at once.

    Args:
        find_all: reads everything again and says what is wrong with which picture.
    """
    try:
        yield
    except _READING as error:
        sure = isinstance(error, (tf.errors.DataLossError, UnicodeDecodeError))
        if not sure and not _OF_PICTURES.search(str(error)):
            raise
        faults = find_all()
        if faults:
            raise unusable(faults) from None
        raise


def listed(found: Iterable[tuple[str, str | None]], most: int | None = MOST) -> list[str]:
    """`where: fault` of the pairs that have a fault, at most `most` (None: all); no more pairs are taken than that needs."""
    return list(itertools.islice((f"{where}: {fault}" for where, fault in found if fault), most))


def read_file(path: str | os.PathLike) -> tuple[bytes | None, str | None]:
    """The bytes of a file and None, or None and why it cannot be read."""
    try:
        return pathlib.Path(path).read_bytes(), None
    except OSError as error:
        return None, error.strerror or str(error)


def unusable(faults: Sequence[str], shown: int = MOST) -> DataError:
    """The error that lists what is wrong with which picture."""
    more = f"\n  and {len(faults) - shown} more" if len(faults) > shown else ""
    return DataError("Unusable pictures:\n  " + "\n  ".join(faults[:shown]) + more)
