"""The gRPC half: `PredictionService.Predict` and `GetModelMetadata`, `ModelService.GetModelStatus`."""

from __future__ import annotations

import concurrent.futures
import logging
from typing import TYPE_CHECKING, Any

import grpc
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2, predict_pb2

from tfres.deploy.server import messages, tensors
from tfres.deploy.server.limits import Refused, invalid, shown
from tfres.deploy.server.sockets import address
from tfres.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from google.protobuf.message import Message
    from tensorflow_serving.apis import model_pb2

    from tfres.deploy.server.loaded import Loaded
    from tfres.deploy.server.service import Service

_LOGGER = logging.getLogger(__name__)
_PACKAGE = "tensorflow.serving"


def start(service: Service, host: str, port: int) -> tuple[grpc.Server, int]:
    """Answer gRPC requests; returns the server and its port.

    Args:
        service: that answers.
        host: address to listen at.
        port: 0 for a free one.

    Raises:
        UsageError: the port cannot be used.
    """
    limits = service.limits
    options = [
        ("grpc.max_receive_message_length", limits.message_bytes),
        ("grpc.max_send_message_length", -1),
        ("grpc.so_reuseport", 0),  # two servers at one port would share its requests
    ]
    threads = concurrent.futures.ThreadPoolExecutor(limits.clients, "grpc")
    server = grpc.server(threads, options=options, maximum_concurrent_rpcs=limits.clients)
    server.add_generic_rpc_handlers(_handlers(service))
    try:
        bound = server.add_insecure_port(address(host, port))
    except RuntimeError:
        bound = 0
    if not bound:
        raise UsageError(f"`host` and `port` must be an address that is free. Received: {address(host, port)}.")
    server.start()
    return server, bound


def _handlers(service: Service) -> list[grpc.GenericRpcHandler]:
    calls = _Calls(service)
    prediction = {
        "Predict": _method(predict_pb2.PredictRequest, calls.predict),
        "GetModelMetadata": _method(get_model_metadata_pb2.GetModelMetadataRequest, calls.metadata),
    }
    model = {"GetModelStatus": _method(get_model_status_pb2.GetModelStatusRequest, calls.status)}
    return [
        grpc.method_handlers_generic_handler(f"{_PACKAGE}.PredictionService", prediction),
        grpc.method_handlers_generic_handler(f"{_PACKAGE}.ModelService", model),
    ]


def _method(kind: type[Message], answer: Callable[[Any, float | None], Message]) -> grpc.RpcMethodHandler:
    """A method whose request is read here, so that bytes that are none get an answer like any other fault."""

    def call(content: bytes, context: grpc.ServicerContext) -> bytes:
        try:
            return answer(_read(kind, content), context.time_remaining()).SerializeToString()
        except Refused as refused:
            code, message = refused.code, refused.message
        except Exception:
            _LOGGER.exception("A request failed.")
            code, message = "INTERNAL", "The request failed; the server's log says why."
        context.abort(grpc.StatusCode[code], message)
        return b""

    return grpc.unary_unary_rpc_method_handler(call)


def _read(kind: type[Message], content: bytes) -> Message:
    try:
        return kind.FromString(content)
    except DecodeError:
        raise invalid(f"The message must be a {kind.DESCRIPTOR.full_name}. Received: {len(content)} other bytes.") from None


class _Calls:
    """The methods.

    Args:
        service: that answers.
    """

    def __init__(self, service: Service) -> None:
        self._service = service

    def predict(self, request: predict_pb2.PredictRequest, seconds: float | None) -> predict_pb2.PredictResponse:
        spec = request.model_spec
        loaded = self._loaded(spec)
        signature = loaded.signature(spec.signature_name)
        given = {
            name: tensors.from_proto(value, tensors.known_input(name, signature.inputs), self._service.limits.message_bytes)
            for name, value in request.inputs.items()
        }
        outputs = self._service.predict(signature, given, request.output_filter, seconds)
        response = predict_pb2.PredictResponse()
        response.model_spec.name, response.model_spec.signature_name = spec.name, signature.name
        response.model_spec.version.value = loaded.number
        for name, output in outputs.items():
            response.outputs[name].CopyFrom(tf.make_tensor_proto(output))
        return response

    def metadata(
        self, request: get_model_metadata_pb2.GetModelMetadataRequest, _: float | None
    ) -> get_model_metadata_pb2.GetModelMetadataResponse:
        loaded, fields = self._loaded(request.model_spec), [*request.metadata_field]
        if not fields or {*fields} != {messages.SIGNATURES}:
            raise invalid(f"`metadata_field` must be {messages.SIGNATURES}. Received: {shown(fields)}.")
        return messages.metadata(request.model_spec.name, loaded)

    def status(
        self, request: get_model_status_pb2.GetModelStatusRequest, _: float | None
    ) -> get_model_status_pb2.GetModelStatusResponse:
        spec = request.model_spec
        return messages.status(self._service.states(spec.name, self._number(spec)))

    def _loaded(self, spec: model_pb2.ModelSpec) -> Loaded:
        return self._service.find(spec.name, self._number(spec))

    @staticmethod
    def _number(spec: model_pb2.ModelSpec) -> int | None:
        if not spec.name:
            raise invalid("`model_spec` must have a `name`. Received: none.")
        if spec.HasField("version_label"):
            raise invalid(f"Versions have no labels here, give `version`. Received: {shown(spec.version_label)}.")
        return spec.version.value if spec.HasField("version") else None
