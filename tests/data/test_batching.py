"""Seeds, order and the tf.data service."""

import itertools
import socket
import threading
import time

import numpy as np
import pytest
import tensorflow as tf

from tfres.data import batching, seeds
from tfres.data.options import DataOptions
from tfres.errors import DataError, RecipeError


def test_streams_of_neighbouring_seeds_do_not_overlap():
    purposes = ("order", "files", "blocks", "crops", "draws", "shared")
    keys = [seeds.stream(seed, purpose) for seed in range(-50, 50) for purpose in purposes]
    assert len(set(keys)) == len(keys)
    drawn = {
        (seed, purpose, number): tuple(
            tf.random.stateless_uniform([4], seeds.numbered(seeds.stream(seed, purpose), number)).numpy().tolist()
        )
        for seed, purpose, number in itertools.product((0, 1, 2), purposes, (0, 1, 2))
    }
    assert len(set(drawn.values())) == len(drawn)


def test_order_of_neighbouring_seeds_and_passes():
    orders = [list(batching.shuffled_indices(50, seed, number)) for seed in (0, 1) for number in (0, 1)]
    assert all(sorted(map(int, order)) == list(range(50)) for order in orders)
    assert len({tuple(map(int, order)) for order in orders}) == 4


@pytest.mark.parametrize("seed", [0, -1, 2**31, 2**63, 10**30])
def test_any_whole_number_is_a_seed(seed):
    assert len(list(batching.shuffled_indices(3, seed, 0))) == 3
    assert batching.step_draws(seed, tf.constant(8, tf.int64), 4, 4, 2).shape == (4, 2)


def test_shared_draws_are_the_same_for_all_replicas():
    """Also for the part of a step that begins later."""
    parts = [batching.shared_draws(3, tf.constant(8 + first, tf.int64), 8, 2).numpy() for first in (0, 4)]
    np.testing.assert_array_equal(*parts)
    whole = batching.step_draws(3, tf.constant(8, tf.int64), 8, 8, 2).numpy()
    np.testing.assert_array_equal(batching.step_draws(3, tf.constant(12, tf.int64), 8, 4, 2).numpy(), whole[4:])


def test_fewer_pictures_than_a_batch():
    with pytest.raises(DataError, match="`batch_size` must be at most the number of training pictures, 3. Received"):
        batching.steps_in(3, 4)


@pytest.fixture
def listener():
    """Something that listens and does what `answer` says."""
    server = socket.create_server(("127.0.0.1", 0))
    connections = []

    def start(answer):
        def serve():
            connection, _ = server.accept()
            connections.append(connection)
            answer(connection)

        threading.Thread(target=serve, daemon=True).start()
        return f"grpc://127.0.0.1:{server.getsockname()[1]}"

    yield start
    server.close()
    for connection in connections:
        connection.close()


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda connection: None, "no answer within 0.5 seconds"),
        (lambda connection: connection.close(), "closed|reset"),
        (lambda connection: connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "speaks another protocol"),
    ],
    ids=["silent", "closes", "other protocol"],
)
def test_service_that_is_none(listener, answer, words):
    address, start = listener(answer), time.monotonic()
    with pytest.raises(DataError, match=f"`service` must be the address .*{address} .*({words})"):
        batching.check_service(address, seconds=0.5)
    assert time.monotonic() - start < 5


def test_service_where_nobody_listens():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(DataError, match="`service` must be the address .*refused"):
        batching.over_service(tf.data.Dataset.range(3), f"grpc://127.0.0.1:{port}")


_OPTIONS = [
    ({"batch_size": 0}, "`batch_size` must be a whole number from 1 to 65536. Received: batch_size=0."),
    ({"batch_size": True}, "`batch_size` must be a whole number"),
    ({"batch_size": 1.5}, "`batch_size` must be a whole number"),
    ({"batch_size": 10**12}, "`batch_size` must be a whole number from 1 to 65536"),
    ({"limit": 0}, "`limit` must be a whole number that is positive. Received: limit=0."),
    ({"fake_size": -1}, "`fake_size` must be a whole number that is positive"),
    ({"source": ""}, "`source` must be the name of a source"),
    ({"source": " "}, "`source` must be the name of a source"),
    ({"source": "a\0b"}, "`source` must be the name of a source"),
    ({"source": 3}, "`source` must be the name of a source"),
    ({"in_memory": 1}, "`in_memory` must be true or false"),
    ({"service": "host:1"}, "`service` must be an address of the form grpc://host:port"),
    ({"service": "grpc://host"}, "`service` must be an address of the form"),
    ({"service": "grpc://host:0"}, "`service` must be an address of the form"),
    ({"service": "grpc://host:99999"}, "`service` must be an address of the form"),
    ({"cache": ""}, "`cache` must be a folder"),
]


@pytest.mark.parametrize(("fields", "message"), _OPTIONS)
def test_options_out_of_range(fields, message):
    with pytest.raises(RecipeError) as caught:
        DataOptions(**fields)
    assert message in str(caught.value)
