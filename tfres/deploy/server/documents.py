"""JSON documents of requests and answers: rows (`instances`, `predictions`) or columns (`inputs`, `outputs`)."""

from __future__ import annotations

import base64
import binascii
import json
from typing import TYPE_CHECKING, Any

import numpy as np

from tfres.deploy.server.limits import invalid, shown
from tfres.deploy.server.tensors import Arrays, Spec, from_values, known_input
from tfres.files import distinct

if TYPE_CHECKING:
    from collections.abc import Mapping

_KEYS = {"signature_name", "instances", "inputs"}


def read_document(content: bytes) -> dict[str, Any]:
    """The document of a request to predict: either `instances` or `inputs`, and maybe `signature_name`.

    Raises:
        Refused: INVALID_ARGUMENT.
    """
    try:
        found = json.loads(content.decode("utf-8"), object_pairs_hook=distinct)
    except (ValueError, RecursionError) as error:
        raise invalid(f"The body must be a JSON document in UTF-8. Received: {str(error)[:100]}.") from None
    if not isinstance(found, dict) or not found.keys() <= _KEYS or len(found.keys() & {"instances", "inputs"}) != 1:
        received = shown([*found]) if isinstance(found, dict) else type(found).__name__
        raise invalid(f"The body must have `instances` or `inputs`, and maybe `signature_name`. Received: {received}.")
    if not isinstance(found.get("signature_name", ""), str):
        raise invalid(f"`signature_name` must be a text. Received: {shown(found['signature_name'])}.")
    return found


def inputs_of(document: Mapping[str, Any], specs: Mapping[str, Spec], largest_bytes: int) -> Arrays:
    """The inputs of a signature that a document gives.

    Raises:
        Refused: INVALID_ARGUMENT.
    """
    columns = document["inputs"] if "inputs" in document else _columns(document["instances"])
    if not _names_inputs(columns):
        if len(specs) != 1:
            raise invalid(f"Inputs must be named: {', '.join(sorted(specs))}. Received: {type(columns).__name__}.")
        columns = {name: columns for name in specs}
    found = {}
    for name, value in columns.items():
        spec = known_input(name, specs)
        found[name] = from_values(_bytes(value) if spec.dtype == "string" else value, spec, largest_bytes)
    return found


def write_document(document: Mapping[str, Any], outputs: Arrays) -> bytes:
    """The answer to a document, in rows or in columns as it asked.

    Raises:
        Refused: INVALID_ARGUMENT where rows are asked for and the outputs have none.
    """
    values = {name: _listed(output) for name, output in outputs.items()}
    if "inputs" in document:
        answer = {"outputs": values if len(values) > 1 else next(iter(values.values()))}
    else:
        if len({output.shape[:1] for output in outputs.values()} | {()}) != 2:
            raise invalid("`instances` must be for a signature whose outputs have a row each; give `inputs`.")
        rows = zip(*values.values(), strict=True)
        answer = {"predictions": [dict(zip(values, row, strict=True)) if len(values) > 1 else row[0] for row in rows]}
    return json.dumps(answer).encode()


def _columns(rows: object) -> Any:
    """Rows as columns: one list per name, or one list where they have no names."""
    if not isinstance(rows, list) or not rows:
        raise invalid(f"`instances` must be a list, not an empty one. Received: {shown(rows)}.")
    named = [_names_inputs(row) for row in rows]
    if not any(named):
        return rows
    if not all(named) or any(row.keys() != rows[0].keys() for row in rows):
        raise invalid("`instances` must all have the same names. Received: others.")
    return {name: [row[name] for row in rows] for name in rows[0]}


def _names_inputs(value: object) -> bool:
    """Whether it is a mapping from names, not encoded bytes."""
    return isinstance(value, dict) and [*value] != ["b64"]


def _bytes(value: object) -> object:
    """Texts and `{"b64": ...}` in lists as bytes; anything else as it is."""
    if isinstance(value, list):
        return [_bytes(one) for one in value]
    try:
        if isinstance(value, str):
            return value.encode()
        if isinstance(value, dict) and [*value] == ["b64"] and isinstance(value["b64"], str):
            return base64.b64decode(value["b64"], validate=True)
    except (UnicodeEncodeError, binascii.Error, ValueError) as error:
        raise invalid(f"Bytes must be a text or {{'b64': TEXT}}. Received: {error}.") from None
    return value


def _listed(output: np.ndarray) -> Any:
    if output.dtype == object:
        texts = [{"b64": base64.b64encode(one).decode()} for one in output.ravel()]
        return np.array(texts, object).reshape(output.shape).tolist()
    return output.tolist()
