"""The command."""

import os
import re
import signal
import subprocess
import sys
import time

import grpc
import numpy as np
import pytest

from experiments.benchmarks.broken_requests import PREDICT, request_of
from experiments.benchmarks.server_answers import call, send
from tfres import cli, serve


def test_it_serves_until_it_is_terminated(small_export):
    root = os.path.abspath(os.path.join(os.path.dirname(__file__), *[os.pardir] * 3))
    command = [
        sys.executable,
        "-m",
        "tfres.serve",
        str(small_export.parent),
        "--port",
        "0",
        "--rest-port",
        "0",
        "--name",
        "other",
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=root)
    try:
        line = process.stdout.readline()
        found = re.fullmatch(r"other: gRPC 127\.0\.0\.1:(\d+), REST http://127\.0\.0\.1:(\d+)\n", line)
        assert found, line + process.stderr.read()
        with grpc.insecure_channel(f"127.0.0.1:{found[1]}") as channel:
            request = request_of("other", np.zeros([1, 16, 16, 3], np.uint8))
            assert call(channel, PREDICT, request.SerializeToString())[0] == "OK"
        assert send(int(found[2]), b"GET /v1/models/other HTTP/1.1\r\n\r\n") == 200
        process.send_signal(signal.SIGTERM)
        start = time.monotonic()
        _, errors = process.communicate(timeout=30)
        assert process.returncode == 0 and time.monotonic() - start < 15
        assert "Version 1 is served" in errors and "Traceback" not in errors
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["missing"], "error: `path` must be the folder of a model with versions"),
        (["missing", "--port", "70000"], "must be from 0 (a free one) to 65535. Received: '70000'"),
        (["missing", "--port", "x"], "must be from 0"),
        (["missing", "--batch-ms", "-1"], "must be a positive number"),
        (["missing", "--pictures", "0"], "must be a positive whole number"),
        (["missing", "--megabytes", "nan"], "must be a positive number"),
        (["missing", "--name", "../x"], "`name` must be a name of letters"),
        ([], "the following arguments are required: model"),
    ],
)
def test_wrong_usage(words, text, capsys):
    with pytest.raises(SystemExit) as caught:
        cli.run_main(serve.main, words)
    assert caught.value.code == 2 and text in capsys.readouterr().err


def test_missing_packages(small_export, monkeypatch, capsys):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SystemExit) as caught:
        cli.run_main(serve.main, [str(small_export)])
    text = "error: The server needs optional packages (grpcio, tensorflow-serving-api): pip install 'tfres[serve]'.\n"
    assert caught.value.code == 2 and capsys.readouterr().err == text


def test_sizes_that_grpc_cannot_count(capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.run_main(serve.main, ["exported/NAME", "--megabytes", "4096"])
    assert stopped.value.code == 2
    assert "`megabytes` must be above 0 and below 2048. Received: megabytes=4096." in capsys.readouterr().err
