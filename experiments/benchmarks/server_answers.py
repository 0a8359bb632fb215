"""Sends requests to a server and finds wrong answers."""

import socket

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2

from experiments.benchmarks.broken_requests import INVALID, MISSING, UNFIT

SECONDS = 20  # after which no answer counts as none


def call(channel, path, content):
    """Send bytes to a gRPC method; returns the code's name and the answer's bytes."""
    try:
        return "OK", channel.unary_unary(path)(content, timeout=SECONDS)
    except grpc.RpcError as error:
        return error.code().name, b""


def send(port, content):
    """Send bytes to the REST port, and no more; returns the status of the answer, 0 for none."""
    with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as connection:
        answer = b""
        try:
            connection.sendall(content)
            connection.shutdown(socket.SHUT_WR)
            while part := connection.recv(65536):
                answer += part
        except ConnectionError:  # the server ended it
            pass
    line = answer.split(b"\r\n", 1)[0].split()
    return int(line[1]) if len(line) > 1 and line[0].startswith(b"HTTP/") and line[1].isdigit() else 0


class Judge:
    """Finds wrong answers.

    Args:
        loaded: the export's versions, as TensorFlow loads them, by number.
    """

    def __init__(self, loaded):
        self.loaded = loaded

    def fault(self, broken, code, answer=b""):
        """What is wrong with an answer, or None."""
        if broken.codes is not None:
            return None if code in broken.codes else f"{broken.kind}: {code}, not {sorted(map(str, broken.codes))}"
        if code == "OK":
            return self.difference(predict_pb2.PredictRequest.FromString(broken.content), answer)
        return None if code in (INVALID, MISSING, UNFIT) else f"{broken.kind}: {code}"

    @staticmethod
    def version(answer):
        """That gave it."""
        return predict_pb2.PredictResponse.FromString(answer).model_spec.version.value

    def difference(self, request, answer):
        """Where an answer differs from a call in this process, bit for bit, or None."""
        response = predict_pb2.PredictResponse.FromString(answer)
        loaded, called = self.loaded[response.model_spec.version.value], request.model_spec.signature_name or "serving_default"
        inputs = {name: tf.constant(tf.make_ndarray(value)) for name, value in request.inputs.items()}
        expected = loaded.signatures[called](**inputs)
        found = {name: tf.make_ndarray(value) for name, value in response.outputs.items()}
        wrong = [name for name in expected if not np.array_equal(found.get(name), expected[name])]
        return f"{', '.join(wrong)} differ" if wrong or found.keys() != expected.keys() else None
