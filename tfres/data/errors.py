"""Errors of data."""


class DataError(ValueError):
    """Pictures or labels that cannot be used; the message names them."""
