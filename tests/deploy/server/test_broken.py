"""Hundreds of broken requests: the right code for each, right answers in between, a server that lives on."""

import logging

import numpy as np
import pytest

from experiments.benchmarks.broken_requests import PREDICT, Breaker
from experiments.benchmarks.broken_rest import RestBreaker
from experiments.benchmarks.server_answers import Judge, call, send
from tests.deploy.server.conftest import LIMITS


def _made(kind):
    """Enough requests that every kind of fault is there several times."""
    breaker = kind(np.random.default_rng(5), "net", (14, 14), LIMITS.message_bytes, LIMITS.pictures)
    return breaker, [breaker.next() for _ in range(20 * len(breaker.kinds))]


def test_broken_requests(channel, small_loaded, caplog):
    judge, (breaker, requests) = Judge({1: small_loaded}), _made(Breaker)
    faults = []
    for number, broken in enumerate(requests):
        faults.append(judge.fault(broken, *call(channel, broken.path, broken.content)))
        if number % 20 == 0:
            good = breaker.good()
            code, answer = call(channel, PREDICT, good.SerializeToString())
            faults.append(code if code != "OK" else judge.difference(good, answer))
    assert len(requests) > 300 and {broken.kind for broken in requests} == {_kind(made, breaker) for made in breaker.kinds}
    assert [fault for fault in faults if fault] == []
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


@pytest.mark.usefixtures("channel")
def test_broken_rest_requests(server, small_loaded, caplog):
    judge, (breaker, requests) = Judge({1: small_loaded}), _made(RestBreaker)
    faults = [judge.fault(broken, send(server.rest_port, broken.content)) for broken in requests]
    assert len(requests) > 200 and {broken.kind for broken in requests} == {_kind(made, breaker) for made in breaker.kinds}
    assert [fault for fault in faults if fault] == []
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []
    assert send(server.rest_port, b"GET /v1/models/net HTTP/1.1\r\n\r\n") == 200


def _kind(made, breaker):
    return made.__name__.removeprefix(breaker.prefix)
