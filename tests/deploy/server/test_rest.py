"""REST: rows and columns, bytes, status, and clients that are slow, many or gone."""

import base64
import http.client
import json
import socket
import time

import numpy as np
import pytest
import tensorflow as tf

from tfres.deploy.server import Limits, Server

PICTURES = np.random.default_rng(2).integers(0, 256, (2, 14, 14, 3)).astype(np.uint8)


@pytest.fixture
def connection(server):
    opened = http.client.HTTPConnection("127.0.0.1", server.rest_port, timeout=20)
    yield opened
    opened.close()


def ask(connection, path, document=None):
    """Status and document of the answer; the connection is used again."""
    body = None if document is None else json.dumps(document).encode()
    connection.request("GET" if document is None else "POST", f"/v1/models/{path}", body)
    response = connection.getresponse()
    return response.status, json.loads(response.read())


@pytest.mark.parametrize("signature", ["", "serve_r12", "serve_any"])
def test_rows_and_columns_are_bit_for_bit_the_network(signature, connection, small_loaded):
    expected = small_loaded.signatures[signature or "serving_default"](images=PICTURES)
    named = {"signature_name": signature} if signature else {}
    rows = [{"images": picture} for picture in PICTURES.tolist()]
    for instances in (PICTURES.tolist(), rows):
        status, found = ask(connection, "net:predict", {"instances": instances, **named})
        assert status == 200 and len(found["predictions"]) == 2
        for name, value in expected.items():
            np.testing.assert_array_equal(np.array([row[name] for row in found["predictions"]], value.numpy().dtype), value)
    for inputs in (PICTURES.tolist(), {"images": PICTURES.tolist()}):
        status, found = ask(connection, "net/versions/1:predict", {"inputs": inputs, **named})
        assert status == 200
        for name, value in expected.items():
            np.testing.assert_array_equal(np.array(found["outputs"][name], value.numpy().dtype), value)


def test_bytes(connection, small_loaded):
    encoded = [tf.io.encode_png(picture).numpy() for picture in PICTURES]
    values = [{"b64": base64.b64encode(one).decode()} for one in encoded]
    expected = small_loaded.signatures["serve_encoded"](encoded=tf.constant(encoded))["logits"].numpy()
    for given in ({"instances": values}, {"instances": [{"encoded": one} for one in values]}, {"inputs": values}):
        status, found = ask(connection, "net:predict", {**given, "signature_name": "serve_encoded"})
        rows = found["predictions"] if "instances" in given else found["outputs"]["logits"]
        assert status == 200
        np.testing.assert_array_equal(np.float32([row["logits"] if "instances" in given else row for row in rows]), expected)


def test_status_and_metadata(connection):
    available = {"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    for path in ("net", "net/versions/1"):
        assert ask(connection, path) == (200, {"model_version_status": [available]})
    status, found = ask(connection, "net/metadata")
    assert status == 200 and found["model_spec"] == {"name": "net", "signature_name": "", "version": "1"}
    known = found["metadata"]["signature_def"]["signature_def"]["serve_r12"]
    assert known["inputs"]["images"]["dtype"] == "DT_UINT8" and "logits" in known["outputs"]


@pytest.mark.parametrize(
    ("path", "document", "status", "text"),
    [
        ("other", None, 404, "Model must be net. Received: 'other'."),
        ("net/versions/7/metadata", None, 404, "Version must be 1, the newest. Received: 7."),
        ("net/labels/stable", None, 404, "The path must be /v1/models/net"),
        ("net:predict", None, 405, "POST for :predict"),
        ("net:predict", {"instances": [], "signature_name": "x"}, 412, "`signature_name` must be one of serve_any"),
        ("net:predict", {"instances": []}, 400, "`instances` must be a list, not an empty one"),
        ("net:predict", {"inputs": []}, 400, "no side of them 0. Received: shape (0,)."),
        ("net:predict", {"instances": [[[[256, 0, 0]]]]}, 400, "uint8 (any, any, any, 3). Received: values from 0 to 256."),
        ("net:predict", {"instances": [[[[0.5, 0, 0]]]]}, 400, "Received: float64."),
        ("net:predict", {"rows": []}, 400, "The body must have `instances` or `inputs`"),
        ("net:predict", {"instances": [[[[0, 0, 0]]]] * 9}, 400, "at most 8 rows. Received: 9."),
    ],
)
def test_what_is_refused(path, document, status, text, connection):
    found, answer = ask(connection, path, document)
    assert found == status and text in answer["error"]


def _raw(port, content, seconds=20):
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as connection:
        connection.sendall(content)
        answer = b""
        while part := connection.recv(65536):
            answer += part
    return answer


def test_expectations_are_answered(server):
    with socket.create_connection(("127.0.0.1", server.rest_port), timeout=20) as connection:
        head = (
            b"POST /v1/models/net:predict HTTP/1.1\r\nConnection: close\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
        )
        connection.sendall(head)
        assert connection.recv(100).startswith(b"HTTP/1.1 100")
        connection.sendall(b"{}")
        assert connection.recv(100).startswith(b"HTTP/1.1 400")


def test_slow_and_many_clients_end(small_export):
    with Server(small_export, port=0, rest_port=0, limits=Limits(seconds=1, clients=2)) as server:
        start = time.monotonic()
        assert _raw(server.rest_port, b"POST /v1/models/net:predict HTTP/1.1\r\nContent-Length: 9\r\n\r\n") == b""
        assert 0.5 < time.monotonic() - start < 10
        waiting = [socket.create_connection(("127.0.0.1", server.rest_port), timeout=20) for _ in range(2)]
        time.sleep(0.3)
        assert _raw(server.rest_port, b"").startswith(b"HTTP/1.1 503")
        for one in waiting:  # a byte now and then does not keep a connection
            one.sendall(b"G")
            assert one.recv(1) == b""
            one.close()
        assert b'"AVAILABLE"' in _raw(server.rest_port, b"GET /v1/models/net HTTP/1.1\r\nConnection: close\r\n\r\n")
