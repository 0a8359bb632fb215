"""Moved to `tfres.models.weights`; this name goes when nothing asks for it any more."""

from tfres.models.weights import assign_exactly

__all__ = ["assign_exactly"]
