"""The REST half: status, metadata and predictions as TensorFlow Serving's HTTP API has them."""

from __future__ import annotations

import contextlib
import http.server
import io
import json
import logging
import re
import socket
import socketserver
import threading
import urllib.parse
from typing import TYPE_CHECKING, Any

from google.protobuf import json_format

from tfres.deploy.server import documents, messages
from tfres.deploy.server.limits import HTTP_STATUS, Refused, shown
from tfres.deploy.server.sockets import Arriving, Leaving, address, family
from tfres.errors import UsageError

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from tfres.deploy.server.service import Service

_LOGGER = logging.getLogger(__name__)
_PATH = re.compile(r"/v1/models/([^/:]+)(?:/versions/([0-9]{1,19}))?(/metadata|:predict)?")
_BLOCK = 2**16


def start(service: Service, host: str, port: int) -> RestServer:
    """Answer REST requests.

    Args:
        service: that answers.
        host: address to listen at.
        port: 0 for a free one.

    Raises:
        UsageError: the port cannot be used.
    """
    try:
        server = RestServer(service, host, port)
    except (OSError, OverflowError):
        raise UsageError(f"`host` and `rest_port` must be an address that is free. Received: {address(host, port)}.") from None
    threading.Thread(target=server.serve_forever, args=(0.05,), name="rest", daemon=True).start()
    return server


class RestServer(socketserver.ThreadingTCPServer):
    """A thread per connection, of which there are few; see `start`."""

    allow_reuse_address, request_queue_size = True, 128

    def __init__(self, service: Service, host: str, port: int) -> None:
        self.service = service
        self._room, self._open = threading.Semaphore(service.limits.clients), set()
        self.address_family = family(host)
        super().__init__((host, port), _Handler)

    @property
    def port(self) -> int:
        """That it listens at."""
        return self.server_address[1]

    def stop_accepting(self) -> None:
        """No further connections."""
        self.shutdown()

    def close(self) -> None:
        """Let requests that were taken be answered, and end the connections."""
        for connection in [*self._open]:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RD)
        self.server_close()

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: D102
        if not self._room.acquire(blocking=False):
            with contextlib.suppress(OSError):
                request.settimeout(1)
                request.sendall(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            self._end(request)
            return
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:  # noqa: D102
        self._open.discard(request)
        self._room.release()
        self._end(request)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: D102
        _LOGGER.debug("A connection failed.", exc_info=True)

    def _end(self, request: Any) -> None:
        super().shutdown_request(request)


class _Handler(http.server.BaseHTTPRequestHandler):
    """One connection."""

    protocol_version, server_version, sys_version = "HTTP/1.1", "tfres", ""
    disable_nagle_algorithm = True
    server: RestServer

    def setup(self) -> None:
        super().setup()
        seconds = self.server.service.limits.seconds
        for made in (self.rfile, self.wfile):
            made.close()
        self._arriving = Arriving(self.connection, seconds)
        self.rfile, self.wfile = io.BufferedReader(self._arriving, _BLOCK), Leaving(self.connection, seconds)

    def handle_one_request(self) -> None:
        self._arriving.restart()
        super().handle_one_request()

    def handle_expect_100(self) -> bool:
        go_on = super().handle_expect_100()
        self.wfile.flush()
        return go_on

    def do_GET(self) -> None:  # noqa: N802
        self._answer(predicts=False)

    def do_POST(self) -> None:  # noqa: N802
        self._answer(predicts=True)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        self.close_connection = True
        self._send(code, json.dumps({"error": message or http.HTTPStatus(code).phrase}).encode())

    def log_message(self, format: str, *arguments: Any) -> None:
        _LOGGER.debug(format, *arguments)

    def _answer(self, predicts: bool) -> None:
        service = self.server.service
        try:
            content = self._content()
            if content is None:
                return
            match = _PATH.fullmatch(self.path.partition("?")[0])
            if match is None:
                raise Refused("NOT_FOUND", f"The path must be /v1/models/{service.name}... Received: {shown(self.path)}.")
            if predicts != (match[3] == ":predict"):
                self._send(405, b'{"error": "GET is for status and metadata, POST for :predict."}', Allow="GET, POST")
                return
            name, number = urllib.parse.unquote(match[1]), int(match[2]) if match[2] else None
            if predicts:
                self._send(200, self._predicted(name, number, content))
            elif match[3]:
                self._send(200, self._metadata(name, number))
            else:
                self._send(200, _json(messages.status(service.states(name, number))))
        except Refused as refused:
            self._send(HTTP_STATUS[refused.code], json.dumps({"error": refused.message}).encode())
        except OSError:  # the client's: gone, or too slow
            raise
        except Exception:
            _LOGGER.exception("A request failed.")
            self.send_error(500, "The request failed; the server's log says why.")

    def _predicted(self, name: str, number: int | None, content: bytes) -> bytes:
        service = self.server.service
        loaded = service.find(name, number)
        document = documents.read_document(content)
        signature = loaded.signature(document.get("signature_name", ""))
        given = documents.inputs_of(document, signature.inputs, service.limits.message_bytes)
        return documents.write_document(document, service.predict(signature, given))

    def _metadata(self, name: str, number: int | None) -> bytes:
        loaded = self.server.service.find(name, number)
        known = json_format.MessageToDict(messages.signatures(loaded), preserving_proto_field_name=True)
        spec = {"name": name, "signature_name": "", "version": str(loaded.number)}
        return json.dumps({"model_spec": spec, "metadata": {messages.SIGNATURES: known}}).encode()

    def _content(self) -> bytes | None:
        """The body; None where it was refused and the connection ends."""
        largest = self.server.service.limits.message_bytes
        if self.headers.get("Transfer-Encoding"):
            self.send_error(411, "The body must come with a Content-Length.")
            return None
        lengths = {*self.headers.get_all("Content-Length", ["0" if self.command == "GET" else ""])}
        text = lengths.pop() if len(lengths) == 1 else ""
        if not re.fullmatch(r"[0-9]{1,19}", text):
            self.send_error(
                400 if text or lengths else 411, f"Content-Length must be one whole number. Received: {shown(text)}."
            )
            return None
        length = int(text)
        if length > largest:
            if length <= 4 * largest:  # so that the client gets to read the answer
                for start in range(0, length, _BLOCK):
                    self.rfile.read(min(_BLOCK, length - start))
            self.send_error(413, f"The body must be of at most {largest} bytes. Received: {length}.")
            return None
        content = self.rfile.read(length)
        if len(content) < length:  # the client went away
            self.close_connection = True
            return None
        return content

    def _send(self, code: int, content: bytes, **headers: str) -> None:
        self.send_response(code)
        fixed = {"Content-Type": "application/json", "Content-Length": str(len(content))}
        for name, value in {**fixed, **headers, **({"Connection": "close"} if self.close_connection else {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)


def _json(message: Message) -> bytes:
    options = {"preserving_proto_field_name": True, "always_print_fields_with_no_presence": True}
    return json_format.MessageToJson(message, indent=1, **options).encode()
