"""Answers as TensorFlow Serving's messages; REST prints them as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2

from tfres.deploy.server.limits import CODES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tfres.deploy.server.loaded import Loaded
    from tfres.deploy.server.watching import State

_NUMBERS = {"OK": 0, **{name: number for number, (name, _) in CODES.items()}}
SIGNATURES = "signature_def"  # the one field of metadata there is


def status(states: Mapping[int, State]) -> get_model_status_pb2.GetModelStatusResponse:
    """The states of versions."""
    response = get_model_status_pb2.GetModelStatusResponse()
    for number, state in states.items():
        one = response.model_version_status.add(version=number, state=state.name)
        one.status.error_code = _NUMBERS[state.code]
        one.status.error_message = state.message
    return response


def signatures(loaded: Loaded) -> get_model_metadata_pb2.SignatureDefMap:
    """What a version's signatures take and give."""
    known = get_model_metadata_pb2.SignatureDefMap()
    for name, signature in loaded.signatures.items():
        known.signature_def[name].CopyFrom(signature.definition)
    return known


def metadata(name: str, loaded: Loaded) -> get_model_metadata_pb2.GetModelMetadataResponse:
    """The signatures of a version of the model `name`."""
    response = get_model_metadata_pb2.GetModelMetadataResponse()
    response.model_spec.name = name
    response.model_spec.version.value = loaded.number
    response.metadata[SIGNATURES].Pack(signatures(loaded))
    return response
