"""Errors of data."""

import re


class DataError(ValueError):
    """Pictures or labels that cannot be used; the message names them."""


class SourceError(DataError):
    """The named source is not one: wrong usage."""


def reason(error):
    """First sentence of a TensorFlow error, without the name of the node."""
    return re.sub(r"\{\{.*?\}\} ?", "", str(error)).split(". ")[0].splitlines()[0][:160]
