"""All forms that a network is exported in."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from tfres.errors import ExportError

if TYPE_CHECKING:
    import os
    import pathlib
    from collections.abc import Mapping

    from tfres.models.network import Network
    from tfres.tasks import Task

# Form -> what writes it, and the option that says which of its forms.
_WRITERS = {
    "shared": ("tfres.deploy.savedmodel", "export_savedmodel", {"form": "shared"}),
    "separate": ("tfres.deploy.savedmodel", "export_savedmodel", {"form": "separate"}),
    "litert": ("tfres.deploy.litert", "export_litert", {}),
}
FORMS = tuple(_WRITERS)


def export(
    network: Network,
    task: Task,
    out: str | os.PathLike,
    name: str,
    about: Mapping[str, str] | None = None,
    form: str = "shared",
    precision: str | None = None,
    packed: bool = False,
    **options: Any,
) -> pathlib.Path:
    """Write the next version of a model in one of `FORMS`.

    Args:
        network, task, out, name, options: see `export_savedmodel` and `export_litert`.
        form: which.
        precision: of form "litert", which alone has several.
        packed, about: of the other forms, see `export_savedmodel`; a `.tflite` file holds no model card.

    Returns:
        path of the version.

    Raises:
        ExportError: an unknown form, or a precision or packing that it does not have. Others: see the two.
    """
    if form not in _WRITERS:
        raise ExportError(f"`form` must be one of {', '.join(FORMS)}. Received: form={form!r}.")
    module, writer, own = _WRITERS[form]
    if precision is not None and form != "litert":
        raise ExportError(f"`precision` is for form litert only. Received: precision={precision}, form={form}.")
    if packed and form == "litert":
        raise ExportError(f"`packed` is for forms shared and separate. Received: packed={packed}, form={form}.")
    given = {"precision": precision or "float"} if form == "litert" else {"packed": packed, "about": about}
    return getattr(importlib.import_module(module), writer)(network, task, out, name, **own, **given, **options)
