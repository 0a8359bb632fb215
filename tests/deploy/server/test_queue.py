"""What waits: batches of equal shapes, bounds, times."""

import concurrent.futures
import threading
import time

import numpy as np
import pytest
import tensorflow as tf

from tfres.deploy.server.limits import Limits, Refused
from tfres.deploy.server.queue import Queue
from tfres.deploy.server.tensors import Spec


class Signature:
    """Doubles numbers and remembers the shapes that it ran; a negative one is refused."""

    name = "double"

    def __init__(self, merges=True):
        self.merges, self.ran, self.go, self.begun = merges, [], threading.Event(), threading.Event()
        self.inputs = {"x": Spec("x", tf.int32, (None, None))}
        self.go.set()

    def run(self, inputs):
        self.begun.set()
        self.go.wait(20)
        self.ran.append(inputs["x"].shape)
        if inputs["x"].min() < 0:
            raise Refused("INVALID_ARGUMENT", "negative")
        return {"y": inputs["x"] * 2}


@pytest.fixture
def queue_of():
    made = []

    def make(**limits):
        made.append(Queue(Limits(**limits)))
        return made[-1]

    yield make
    for queue in made:
        queue.close()


def rows(value, count=1, width=3):
    return {"x": np.full([count, width], value, np.int32)}


def _all(queue, signature, requests, seconds=20):
    """The outcome of each: its output, or the code of its refusal."""

    def ask(inputs):
        try:
            return queue.run(signature, inputs, seconds)["y"]
        except Refused as refused:
            return refused.code

    with concurrent.futures.ThreadPoolExecutor(len(requests)) as clients:
        return list(clients.map(ask, requests))


def test_batches_form_among_equal_shapes(queue_of):
    queue, signature = queue_of(pictures=4, batch_seconds=0.2), Signature()
    requests = [rows(i, width=3 + i % 2) for i in range(8)]
    for given, found in zip(requests, _all(queue, signature, requests), strict=True):
        np.testing.assert_array_equal(found, given["x"] * 2)
    assert sorted(signature.ran) == [(4, 3), (4, 4)]


def test_a_batch_is_no_larger_than_allowed(queue_of):
    queue, signature = queue_of(pictures=4, batch_seconds=0.05), Signature()
    requests = [rows(i, count=3) for i in range(5)]
    for given, found in zip(requests, _all(queue, signature, requests), strict=True):
        np.testing.assert_array_equal(found, given["x"] * 2)
    assert signature.ran == [(3, 3)] * 5


def test_a_bad_request_spoils_no_other(queue_of):
    queue, signature = queue_of(pictures=4, batch_seconds=0.2), Signature()
    found = _all(queue, signature, [rows(1), rows(-1), rows(2)])
    assert found[1] == "INVALID_ARGUMENT"
    np.testing.assert_array_equal(np.concatenate(found[::2]), [[2] * 3, [4] * 3])


@pytest.mark.parametrize(("seconds", "merges"), [(0.0, True), (0.2, False)])
def test_requests_run_alone(seconds, merges, queue_of):
    queue, signature = queue_of(batch_seconds=seconds), Signature(merges)
    _all(queue, signature, [rows(i) for i in range(6)])
    assert signature.ran == [(1, 3)] * 6


def test_too_many_and_too_late(queue_of, monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0})
    queue, signature = queue_of(waiting=2), Signature()
    signature.go.clear()
    with concurrent.futures.ThreadPoolExecutor(1) as client:
        running = client.submit(queue.run, signature, rows(1), 20)
        assert signature.begun.wait(20)
        start = time.monotonic()
        found = _all(queue, signature, [rows(i) for i in range(6)], seconds=0.5)
        assert time.monotonic() - start < 10
        assert sorted(found) == ["DEADLINE_EXCEEDED"] * 2 + ["UNAVAILABLE"] * 4
        signature.go.set()
        assert running.result()["y"].max() == 2
    np.testing.assert_array_equal(queue.run(signature, rows(3), 20)["y"], [[6] * 3])
    assert len(signature.ran) == 2  # what nobody waits for any more is not run


def test_a_thread_rests(queue_of, monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1})
    queue, signature = queue_of(), Signature()
    signature.go.clear()
    with concurrent.futures.ThreadPoolExecutor(2) as clients:
        with queue.resting():
            asked = [clients.submit(queue.run, signature, rows(i), 20) for i in range(2)]
            assert signature.begun.wait(20)
            time.sleep(0.2)
            assert queue.running == 1
        for _ in range(200):
            time.sleep(0.05 if queue.running < 2 else 0)
        assert queue.running == 2
        signature.go.set()
        assert [one.result()["y"].max() for one in asked] == [0, 2]


def test_what_was_taken_is_answered_at_the_end(queue_of):
    queue, signature = queue_of(batch_seconds=100.0, pictures=99), Signature()
    with concurrent.futures.ThreadPoolExecutor(3) as clients:
        found = [clients.submit(queue.run, signature, rows(i), 20) for i in range(3)]
        time.sleep(0.2)
        queue.close()
        assert [one.result()["y"][0, 0] for one in found] == [0, 2, 4]
    with pytest.raises(Refused, match="The server stops"):
        queue.run(signature, rows(1), 20)


def test_a_fault_of_ours_is_internal(queue_of, caplog):
    queue, signature = queue_of(), Signature()
    signature.run = lambda inputs: inputs["nothing"]
    with pytest.raises(Refused, match="the server's log says why") as caught:
        queue.run(signature, rows(1), 20)
    assert caught.value.code == "INTERNAL" and "KeyError" in caplog.text
