"""Which pictures made a pipeline fail."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

import tensorflow as tf

from tfres.data.decoding import fault_of
from tfres.tasks.classification.source import Source
from tfres.tasks.classification.splits import ArraySplit, Split, read_all, unusable

MOST = 20
# What the operations that read, parse and decode say; failures of anything else are none of the pictures'.
_OF_PICTURES = re.compile(
    r"DecodeJpeg|DecodeImage|DecodeAndCropJpeg|ExtractJpegShape|Invalid (JPEG|PNG|GIF|BMP)|Unknown image file format"
    r"|no JPEG, PNG, GIF or BMP picture|a (PNG|BMP) picture|a picture with sides|animated GIF|label is out of range"
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
def explained(source: Source) -> Iterator[None]:
    """Turns a failure of the pipeline inside the block into a `DataError` that names the pictures at fault.

    Only errors that speak of reading, parsing or decoding have the data read again; all others pass at once.
    """
    try:
        yield
    except _READING as error:
        sure = isinstance(error, (tf.errors.DataLossError, UnicodeDecodeError))
        if not sure and not _OF_PICTURES.search(str(error)):
            raise
        for split in source.splits.values():
            faults = find_faults(split)
            if faults:
                raise unusable(faults) from None
        raise


def find_faults(split: Split) -> list[str]:
    """Reads everything again, slowly, and says what is wrong with which picture; at most 20 messages."""
    faults: list[str] = []
    if isinstance(split, ArraySplit):
        return faults
    for where, encoded, _, fault in read_all(split):
        fault = fault or fault_of(encoded)
        if fault:
            faults.append(f"{where}: {fault}")
        if len(faults) == MOST:
            break
    return faults
