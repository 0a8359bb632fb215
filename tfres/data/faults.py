"""Which pictures made a pipeline fail."""

import contextlib

import tensorflow as tf

from tfres.data import transforms
from tfres.data.errors import DataError, reason
from tfres.data.sources import ArraySplit, read_all


@contextlib.contextmanager
def explained(source):
    """Turns a failure of the pipeline inside the block into a `DataError` that names the pictures at fault."""
    try:
        yield
    except tf.errors.InvalidArgumentError as error:
        for split in (source.train, source.validation):
            faults = find_faults(source, split)
            if faults:
                raise DataError("Unusable pictures:\n  " + "\n  ".join(faults)) from error
        raise


def find_faults(source, split):
    """Read everything again, slowly, and say what is wrong with which picture; called when a pipeline failed.

    Args:
        source: `Source`.
        split: its `train` or `validation`.

    Returns:
        list of messages, at most 20.
    """
    faults = []
    if isinstance(split, ArraySplit):
        return faults
    for name, encoded, label in read_all(split):
        if not 0 <= label < len(source.classes):
            stored = label + getattr(split, "label_offset", 0)
            faults.append(f"{name}: label {stored} is out of range ({len(source.classes)} classes)")
        else:
            try:
                transforms.decode(encoded)
            except tf.errors.InvalidArgumentError as error:
                faults.append(f"{name}: not a readable picture ({reason(error)})")
        if len(faults) == 20:
            break
    return faults
