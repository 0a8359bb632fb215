"""All forms that a network is exported in. Importing this does not load TensorFlow."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from tfres.errors import ExportError

if TYPE_CHECKING:
    import os
    import pathlib

    from tfres.models.network import Network
    from tfres.tasks import Task

SAVED_FORMS = ("shared", "separate")  # of SavedModels
FORMS = (*SAVED_FORMS, "litert")
PRECISIONS = ("float", "float16", "int8", "int8-full")  # of LiteRT files


def check_options(form: str, precision: str | None, packed: bool) -> None:
    """Refuse options that a form does not have.

    Raises:
        ExportError: an unknown form, or a precision or packing that it does not have.
    """
    if form not in FORMS:
        raise ExportError(f"`form` must be one of {', '.join(FORMS)}. Received: form={form!r}.")
    if precision is not None and form in SAVED_FORMS:
        raise ExportError(f"`precision` is for form litert only. Received: precision={precision}, form={form}.")
    if packed and form not in SAVED_FORMS:
        raise ExportError(f"`packed` is for forms {' and '.join(SAVED_FORMS)}. Received: packed={packed}, form={form}.")


def export(
    network: Network,
    task: Task,
    out: str | os.PathLike,
    name: str,
    form: str = "shared",
    precision: str | None = None,
    packed: bool = False,
    **options: Any,
) -> pathlib.Path:
    """Write the next version of a model in one of `FORMS`.

    Args:
        network, task, out, name, options: see `export_savedmodel` and `export_litert`.
        form: which.
        precision: of form "litert", which alone has several; None for "float".
        packed: of the other forms.

    Returns:
        path of the version.

    Raises:
        ExportError: see `check_options`. Others: see the two.
    """
    check_options(form, precision, packed)
    if form in SAVED_FORMS:
        module, writer, own = "tfres.deploy.savedmodel", "export_savedmodel", {"form": form, "packed": packed}
    else:
        module, writer, own = "tfres.deploy.litert", "export_litert", {"precision": precision or "float"}
    return getattr(importlib.import_module(module), writer)(network, task, out, name, **own, **options)
