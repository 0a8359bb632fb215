"""One server of a small export for the tests that only ask it."""

import grpc
import pytest
import tensorflow as tf

from tests.deploy import fakes
from tfres.deploy import export_savedmodel
from tfres.deploy.server import Limits, Server

LIMITS = Limits(pictures=8, message_bytes=2**18, seconds=20)


@pytest.fixture(scope="session")
def small_export(tmp_path_factory):
    """Of a network of one convolution, with `serve_any`."""
    return export_savedmodel(fakes.AnySideNetwork(), fakes.Task(), tmp_path_factory.mktemp("exports"), "net", list("abcde"))


@pytest.fixture(scope="session")
def small_loaded(small_export):
    return tf.saved_model.load(str(small_export))


@pytest.fixture(scope="session")
def server(small_export):
    with Server(small_export.parent, port=0, rest_port=0, limits=LIMITS) as running:
        yield running


@pytest.fixture(scope="session")
def channel(server):
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as opened:
        yield opened
