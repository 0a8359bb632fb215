"""Which pictures made a pipeline fail."""

from __future__ import annotations

import contextlib

from tfres.data import faults as shared
from tfres.data.decoding import fault_of
from tfres.tasks.classification.source import Source
from tfres.tasks.classification.splits import ArraySplit, Split, read_all


def explained(source: Source) -> contextlib.AbstractContextManager[None]:
    """A block in which failures of the pipeline become a `DataError` that names the pictures of the source at fault."""
    return shared.explained(lambda: next((found for split in source.splits.values() if (found := find_faults(split))), []))


def find_faults(split: Split) -> list[str]:
    """Reads everything again, slowly, and says what is wrong with which picture; at most 20 messages."""
    if isinstance(split, ArraySplit):
        return []
    return shared.listed((where, fault or fault_of(encoded)) for where, encoded, _, fault in read_all(split))
