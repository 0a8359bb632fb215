"""New versions: they take over without an error, broken ones do not, and all are warmed up."""

import concurrent.futures
import os
import shutil
import socket
import time
import urllib.request

import grpc
import numpy as np
import pytest
import tensorflow as tf

from experiments.benchmarks.broken_requests import PREDICT, request_of
from experiments.benchmarks.server_answers import Judge, call
from tests.deploy import fakes
from tfres.deploy import export_savedmodel
from tfres.deploy.runtime.files import WARMUP, seal
from tfres.deploy.server import Limits, Server
from tfres.deploy.server.watching import Versions
from tfres.errors import ExportError, UsageError


def _export(folder, *scales):
    return export_savedmodel(fakes.Network(scales=[*map(float, scales)]), fakes.Task(), folder, "net")


def test_a_new_version_under_load(tmp_path):
    first, second = _export(tmp_path / "served", 1, 2), _export(tmp_path / "other", 3, 4)
    judge = Judge({number: tf.saved_model.load(str(path)) for number, path in ((1, first), (2, second))})
    request = request_of("net", np.random.default_rng(0).integers(0, 256, (1, 16, 16, 3)).astype(np.uint8))
    with Server(first.parent, port=0, rest_port=0, limits=Limits(poll_seconds=0.2)) as server:
        end = time.monotonic() + 20

        def ask(_):
            """Ask until the second version has answered; the time of that, and all faults."""
            faults = []
            with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
                while time.monotonic() < end:
                    code, answer = call(channel, PREDICT, request.SerializeToString())
                    faults.append(code if code != "OK" else judge.difference(request, answer))
                    if code == "OK" and judge.version(answer) == 2:
                        return time.monotonic(), [fault for fault in faults if fault]
            return end, ["no second version"]

        with concurrent.futures.ThreadPoolExecutor(4) as clients:
            asked = [clients.submit(ask, number) for number in range(4)]
            time.sleep(0.3)
            renamed = time.monotonic()
            os.rename(second, first.parent / "2")
            for one in asked:
                answered, faults = one.result()
                assert faults == [] and answered - renamed < 10


@pytest.fixture
def versions(tmp_path):
    _export(tmp_path, 1, 2)
    made = Versions(tmp_path / "net", 1000.0)
    yield made
    made.close()


def test_versions_come_and_go(versions, tmp_path, caplog):
    assert versions.get().number == 1 and versions.look() is None and versions.name == "net"
    path = _export(tmp_path, 3, 4)
    graph = (path / "saved_model.pb").read_bytes()
    (path / "saved_model.pb").write_bytes(graph[:-9])
    assert "saved_model.pb must be the file that was exported" in str(versions.look())
    assert versions.get().number == 1 and versions.look() is None  # it is not tried again
    states = versions.states()
    assert [*states] == [2, 1] and states[2].name == "END" and "saved_model.pb" in states[2].message
    assert states[1].name == "AVAILABLE" and "Version 2 is not served" in caplog.text
    (path / "saved_model.pb").write_bytes(graph)
    assert versions.look() is None and versions.get().number == 2
    assert [state.name for state in versions.states().values()] == ["AVAILABLE", "END"]
    (tmp_path / "net" / "007").mkdir()
    (tmp_path / "net" / ".export-x").mkdir()
    (tmp_path / "net" / "8").write_text("a file")
    shutil.rmtree(path)
    assert versions.look() is None and versions.get().number == 1  # back
    shutil.rmtree(tmp_path / "net")
    assert versions.look() is None and versions.get().number == 1  # what is loaded stays
    assert "cannot be read" in caplog.text


def test_a_version_that_cannot_be_warmed_up(versions, tmp_path):
    path = _export(tmp_path, 3, 4)
    with tf.io.TFRecordWriter(str(path / WARMUP)) as records:
        records.write(b"\xff\xff")
    seal(path)
    assert "must be warm-up records" in str(versions.look())
    (path / WARMUP).write_bytes(b"junk" * 30)
    seal(path)
    assert "must be warm-up records" in str(versions.look())
    (path / WARMUP).unlink()
    seal(path)
    assert versions.look() is None and versions.get().warm_up() == 0 and versions.get().number == 2


def test_what_is_no_model(tmp_path, small_export):
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "empty", tmp_path / "missing", small_export / "assets"):
        with pytest.raises(ExportError, match="must be the folder of a model with versions.*Received: path="):
            Server(path, port=0, rest_port=0)
    shutil.copytree(small_export, tmp_path / "renamed")
    with pytest.raises(ExportError, match="must be a model's folder"):
        Server(tmp_path / "renamed", port=0, rest_port=0)
    shutil.copytree(small_export, tmp_path / "broken" / "1")
    (tmp_path / "broken" / "1" / "saved_model.pb").write_bytes(b"x")
    with pytest.raises(ExportError, match="saved_model.pb must be the file that was exported"):
        Server(tmp_path / "broken", port=0, rest_port=0)


def test_ipv6(small_export):
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError as error:
        pytest.skip(f"this machine has no ::1: {error}")
    request = request_of("net", np.zeros([1, 16, 16, 3], np.uint8)).SerializeToString()
    with Server(small_export, host="::1", port=0, rest_port=0) as server:
        assert (server.address, server.rest_address) == (f"[::1]:{server.port}", f"[::1]:{server.rest_port}")
        with grpc.insecure_channel(server.address) as channel:
            assert call(channel, PREDICT, request)[0] == "OK"
        with urllib.request.urlopen(f"http://{server.rest_address}/v1/models/net", timeout=20) as answer:
            assert answer.status == 200
        with pytest.raises(UsageError, match=r"must be an address that is free. Received: \[::1\]:"):
            Server(small_export, host="::1", port=server.port, rest_port=0)


def test_ports_that_are_taken(server, small_export):
    with pytest.raises(UsageError, match="`host` and `port` must be an address that is free. Received: 127.0.0.1:"):
        Server(small_export, port=server.port, rest_port=0)
    with pytest.raises(UsageError, match="`host` and `rest_port` must be an address that is free"):
        Server(small_export, port=0, rest_port=server.rest_port)
    with pytest.raises(UsageError, match="Received: no.such.host:0"):
        Server(small_export, host="no.such.host", port=0, rest_port=0)
