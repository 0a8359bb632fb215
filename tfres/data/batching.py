"""Order, spreading and serving of endless batches, whatever is in them."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from tfres.data.seeds import numbered, stream
from tfres.errors import DataError

_SHUFFLE_BLOCK = 4096
_OPEN_FILES = 8
_SETTINGS = 4  # type of the HTTP/2 frame that every server sends first
# How an HTTP/2 client begins: the preface, then an empty frame of settings (length, type, flags, stream).
_GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + bytes([_SETTINGS]) + bytes(5)


def steps_in(size: int, batch_size: int) -> int:
    """Full batches in one pass.

    Raises:
        DataError: less than one.
    """
    if size < batch_size:
        raise DataError(
            f"`batch_size` must be at most the number of training pictures, {size}. Received: batch_size={batch_size}."
        )
    return size // batch_size


def shuffled_indices(size: int, seed: int, number: tf.Tensor | int) -> tf.data.Dataset:
    """The numbers below `size`, int64, in the order of a pass."""
    draws = tf.random.stateless_uniform([size], numbered(stream(seed, "order"), number))
    return tf.data.Dataset.from_tensor_slices(tf.argsort(draws)).map(lambda index: tf.cast(index, tf.int64))


def shuffled_records(paths: Sequence[str], seed: int, number: tf.Tensor | int) -> tf.data.Dataset:
    """Serialized records of TFRecord files in the order of a pass: files are shuffled, then records in blocks of 4,096."""
    draws = tf.random.stateless_uniform([len(paths)], numbered(stream(seed, "files"), number))
    files = tf.data.Dataset.from_tensor_slices(tf.gather(list(paths), tf.argsort(draws)))
    serialized = files.interleave(tf.data.TFRecordDataset, cycle_length=_OPEN_FILES)
    blocks = serialized.batch(_SHUFFLE_BLOCK).enumerate(tf.cast(number, tf.int64) * 2**20)
    key = stream(seed, "blocks")

    def shuffle(block: tf.Tensor, items: tf.Tensor) -> tf.Tensor:
        return tf.gather(items, tf.argsort(tf.random.stateless_uniform(tf.shape(items), numbered(key, block))))

    return blocks.map(shuffle).unbatch()


def endless(
    one_pass: Callable[[tf.Tensor], tf.data.Dataset],
    steps: int,
    batch: int,
    first_step: int = 0,
    replicas: int = 1,
    pipeline: tuple[int, int] = (0, 1),
) -> tf.data.Dataset:
    """`(position, example)` from step `first_step` on, pass after pass; what a pipeline feeds to its replicas.

    Args:
        one_pass: makes the examples of a numbered pass.
        steps: of a pass; examples beyond its full batches are dropped.
        batch: examples per step over all replicas.
        first_step: steps already made; what they saw is read but not decoded.
        replicas: that share a step.
        pipeline: `(number, count)`: this one gets the part `number` of `count` of every step.

    Raises:
        DataError: a batch that cannot be spread so.
    """
    number, count = pipeline
    if batch % replicas or replicas % count:
        raise DataError(f"`batch_size` must be a multiple of the {replicas} replicas. Received: batch_size={batch}.")
    first_pass, skip = divmod(first_step, steps)
    passes = tf.data.Dataset.range(first_pass, np.iinfo(np.int64).max)
    examples = passes.flat_map(lambda pass_number: one_pass(pass_number).take(steps * batch)).skip(skip * batch)
    examples = examples.enumerate(first_step * batch)
    if count > 1:
        examples = examples.filter(lambda position, *_: tf.equal(position % batch // (batch // count), number))
    return examples


def step_draws(seed: int, position: tf.Tensor, batch: int, part: int, width: int) -> tf.Tensor:
    """Random numbers in [0, 1) of the pictures of one replica, float32 `(part, width)`: its part of one table for the step.

    Args:
        seed: of the run.
        position: of the replica's first picture, counted from the start of the run.
        batch: pictures of the whole step.
        part: pictures of the replica.
        width: numbers per picture.
    """
    table = tf.random.stateless_uniform([batch, width], numbered(stream(seed, "draws"), position // batch))
    first = tf.cast(position % batch, tf.int32)
    return tf.ensure_shape(table[first : first + part], [part, width])


def shared_draws(seed: int, position: tf.Tensor, batch: int, count: int) -> tf.Tensor:
    """Random numbers in [0, 1) that all replicas of a step have in common, float32 `(count,)`; see `step_draws`."""
    return tf.random.stateless_uniform([count], numbered(stream(seed, "shared"), position // batch))


def over_service(batches: tf.data.Dataset, address: str) -> tf.data.Dataset:
    """The batches prepared by the workers of a tf.data service.

    Raises:
        DataError: nobody answers there.
    """
    check_service(address)
    policy = tf.data.experimental.service.ShardingPolicy.DYNAMIC
    return batches.apply(tf.data.experimental.service.distribute(policy, address))


def check_service(address: str, seconds: float = 10.0) -> None:
    """Greets the dispatcher at `grpc://host:port` and waits for its answer, so that nothing waits for ever afterwards.

    Raises:
        DataError: no answer in time, or not that of a dispatcher.
    """
    host, port = address.removeprefix("grpc://").rsplit(":", 1)
    try:
        with socket.create_connection((host, int(port)), timeout=seconds) as connection:
            connection.sendall(_GREETING)
            answer = b""
            while len(answer) < 4:
                received = connection.recv(64)
                if not received:
                    raise ConnectionError("the connection was closed")
                answer += received
    except OSError as error:
        why = f"no answer within {seconds:g} seconds" if isinstance(error, TimeoutError) else (error.strerror or error)
    else:
        if answer[3] == _SETTINGS:
            return
        why = "what answers speaks another protocol"
    raise DataError(
        f"`service` must be the address of a running tf.data service dispatcher. Received: service={address} ({why})."
    )
