"""Two worker processes on loopback."""

import csv
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import numpy as np

from tests.reference import relative
from tfres import train
from tfres.run.checkpoints import latest_checkpoint, read_checkpoint

OPTIONS = ["--arch", "resnet20", "--model.blocks", "[1]", "--model.widths", "[4]", "--sizes", "16", "12", "--fake"]
OPTIONS += ["--batch-size", "8", "--lr", "0.02", "--training.schedule", "constant", "--model.synchronised_norms", "true"]


def _start(run, *options):
    """Processes of `tfres.train`, one per worker."""
    ports = []
    sockets = [socket.socket() for _ in range(2)]
    for listener in sockets:
        listener.bind(("localhost", 0))
        ports.append(listener.getsockname()[1])
    for listener in sockets:
        listener.close()
    command = [sys.executable, "-m", "tfres.train", *OPTIONS, "--run", str(run), "--strategy", "multiworker", *options]
    processes = []
    for index in range(2):
        environment = {**os.environ, "PYTHONPATH": str(pathlib.Path(__file__).parents[2])}
        cluster = {"worker": [f"localhost:{port}" for port in ports]}
        environment["TF_CONFIG"] = json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}})
        pipe = subprocess.PIPE
        processes.append(subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, text=True))
    return processes


def _finish(processes):
    outputs = [process.communicate(timeout=300) for process in processes]
    for process, (_, errors) in zip(processes, outputs, strict=True):
        assert process.returncode == 0, errors[-2000:]
    return [out for out, _ in outputs]


def _final(run):
    return read_checkpoint(latest_checkpoint(run / "checkpoints"))


def _losses(run):
    with open(run / "metrics.csv") as file:
        return [float(row["train_loss"]) for row in csv.DictReader(file)]


def test_two_workers_with_half_the_batch_are_one_with_the_whole(tmp_path):
    options = ["--data.fake_size", "16", "--epochs", "2"]
    assert train.main([*OPTIONS, "--run", str(tmp_path / "one"), *options]) == 0
    chief, other = _finish(_start(tmp_path / "two", *options))
    assert "checkpoint" in chief and other == ""
    one, two = _final(tmp_path / "one"), _final(tmp_path / "two")
    assert set(one) == set(two) and one["global_step"] == 4
    for name, value in one.items():
        assert relative(two[name], value) < 1e-3 or np.abs(two[name] - value).max() < 1e-5, name
    np.testing.assert_allclose(_losses(tmp_path / "two"), _losses(tmp_path / "one"), rtol=1e-4)


def test_a_killed_worker_ends_the_other_and_both_go_on(tmp_path):
    """The survivor ends with exit code 1 and says what to do; the same commands resume from the last checkpoint."""
    options = ["--data.fake_size", "64", "--epochs", "4"]
    survivor, victim = _start(tmp_path / "run", *options)
    deadline = time.time() + 240
    while not latest_checkpoint(tmp_path / "run" / "checkpoints") and time.time() < deadline:
        time.sleep(0.05)
    os.kill(victim.pid, signal.SIGKILL)
    victim.communicate()
    _, errors = survivor.communicate(timeout=240)
    assert survivor.returncode == 1
    assert "error: Another worker cannot be reached any more after step" in errors
    stopped = int(_final(tmp_path / "run")["global_step"])
    assert 0 < stopped < 40
    _finish(_start(tmp_path / "run", *options))
    assert int(_final(tmp_path / "run")["global_step"]) == 40
