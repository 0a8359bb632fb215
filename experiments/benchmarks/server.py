"""The example server: broken requests, a new version under load, and what it adds to a call.

Command: `make bench-server` (about three minutes; nothing else should run on the machine). A ResNet-18 with random weights is
exported twice, as two versions, and served by `python -m tfres.serve` in a process of its own on 127.0.0.1. Requests come
from four clients of this process, which also has both versions loaded: every answer is compared with its own, bit for bit.

Broken requests are those of `broken_requests` and `broken_rest`, one good one for every ten of them; a wrong answer is a code
that does not fit the fault, or values that differ. The server's memory is looked at after each tenth of them; the first one
warms up.
"""

import argparse
import base64
import concurrent.futures
import contextlib
import functools
import http.client
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import threading
import time

import grpc
import numpy as np
import tensorflow as tf

from experiments.benchmarks.broken_requests import PREDICT, Breaker, request_of
from experiments.benchmarks.broken_rest import RestBreaker
from experiments.benchmarks.server_answers import Judge, call, send
from experiments.benchmarks.timing import interleaved, report
from tests.tasks.fakes import classification
from tfres.deploy import export_savedmodel
from tfres.families import from_preset

CLIENTS, REQUESTS, REST_SHARE, SIDE = 4, 10_000, 0.2, 96
CALLS, SECONDS, LARGEST = 60, 5.0, 2**20


def main():
    parser = argparse.ArgumentParser(prog="python -m experiments.benchmarks.server", description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=REQUESTS, help="broken ones (default %(default)s)")
    count = parser.parse_args().requests
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        first, second = exported(folder / "served", 0), exported(folder / "other", 1)
        judge = Judge({number: tf.saved_model.load(str(path)) for number, path in ((1, first), (2, second))})
        with served(first.parent, "--megabytes", str(LARGEST / 2**20)) as server:
            figures = {"broken requests": broken(server, judge, count)}
        with served(first.parent) as server:
            figures["new version"] = reloaded(server, judge, second, first.parent / "2")
            figures["ms per call"] = latencies(server, judge.loaded[2])
            figures["calls per second"] = {**in_process(judge.loaded[2]), **rates(server, "gRPC", (1, CLIENTS))}
        with served(first.parent, "--batch-ms", "2", "--pictures", "8") as server:
            figures["calls per second"] |= rates(server, "gRPC, batches of 8, 2 ms", (1, CLIENTS, 16))
    report("bench_server", "make bench-server", figures)


def exported(folder, seed):
    """A version of the network."""
    tf.keras.utils.set_random_seed(seed)
    network = from_preset("resnet18", resolutions=[224, SIDE])
    return export_savedmodel(network, classification(1000), folder, "net")


@contextlib.contextmanager
def served(path, *options):
    """A server: its process, port and REST port."""
    command = [sys.executable, "-m", "tfres.serve", str(path), "--port", "0", "--rest-port", "0", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            line = process.stdout.readline()
            ports = re.search(r"gRPC 127\.0\.0\.1:(\d+), REST http://127\.0\.0\.1:(\d+)", line)
            yield process, int(ports[1]), int(ports[2])
        finally:
            process.terminate()


def memory(process):
    """Resident bytes of the server."""
    status = pathlib.Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
    return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) * 1024


def broken(server, judge, count):
    """Wrong answers among so many broken requests, and the server's memory."""
    process, port, rest_port = server
    seen, before = [], time.perf_counter()

    def ask(seed, requests):
        rng, faults, kinds = np.random.default_rng(seed), [], set()
        rpc, rest = (kind(rng, "net", (12, 12), LARGEST) for kind in (Breaker, RestBreaker))
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            for number in range(requests):
                if rng.random() < REST_SHARE:
                    request = rest.next()
                    faults.append(judge.fault(request, send(rest_port, request.content)))
                else:
                    request = rpc.next()
                    faults.append(judge.fault(request, *call(channel, request.path, request.content)))
                kinds.add((request.path == "", request.kind))
                if number % 10 == 0:
                    good = rpc.good(f"serve_r{SIDE}")
                    code, answer = call(channel, PREDICT, good.SerializeToString())
                    faults.append(code if code != "OK" else judge.difference(good, answer))
        return [fault for fault in faults if fault], kinds

    faults, kinds = [], set()
    with concurrent.futures.ThreadPoolExecutor(CLIENTS) as clients:
        for tenth in range(10):
            asked = [clients.submit(ask, (tenth, one), count // 10 // CLIENTS) for one in range(CLIENTS)]
            for one in asked:
                found, of = one.result()
                faults, kinds = faults + found, kinds | of
            seen.append(memory(process))
    print(*faults[:20], sep="\n", file=sys.stderr)
    return {
        "requests": count // 10 // CLIENTS * 10 * CLIENTS,
        "kinds": len(kinds),
        "clients": CLIENTS,
        "seconds": time.perf_counter() - before,
        "wrong answers": len(faults),
        "server lives": process.poll() is None,
        "megabytes of the server after a tenth": seen[0] / 1e6,
        "most megabytes after that": max(seen[1:]) / 1e6,
        "memory grows by": max(seen[1:]) / seen[0] - 1,
    }


def reloaded(server, judge, version, place):
    """Seconds from a new version's rename to its first answer, while clients ask without a break, and their errors."""
    _, port, _ = server
    request = request_of("net", pictures(0), f"serve_r{SIDE}")
    times, faults, answers, renamed = [], [], {}, threading.Event()

    def ask():
        late = 0
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            while late < 20:  # answers of the second version
                code, answer = call(channel, PREDICT, request.SerializeToString())
                times.append((time.perf_counter(), judge.version(answer) if code == "OK" else 0))
                if code == "OK":
                    answers[answer] = None
                else:
                    faults.append(code)
                late += times[-1][1] == 2 or (renamed.is_set() and times[-1][0] > start + 30)

    with concurrent.futures.ThreadPoolExecutor(CLIENTS) as clients:
        start = time.perf_counter()
        asked = [clients.submit(ask) for _ in range(CLIENTS)]
        time.sleep(3)
        start = time.perf_counter()
        version.rename(place)
        renamed.set()
        for one in asked:
            one.result()
    faults += [fault for fault in (judge.difference(request, answer) for answer in answers) if fault]
    first = min((at for at, number in times if number == 2), default=float("inf"))
    last = max(at for at, number in times if number == 1)
    gaps = np.diff(sorted(at for at, _ in times))
    return {
        "clients": CLIENTS,
        "answers": len(times),
        "errors": len(faults),
        "seconds to the first answer": first - start,
        "seconds to the last of the old one": last - start,
        "longest time without an answer": float(max(gaps)),
    }


def pictures(seed, count=1):
    return np.random.default_rng(seed).integers(0, 256, (count, SIDE, SIDE, 3)).astype(np.uint8)


def latencies(server, loaded):
    """Medians of calls in turn, one client."""
    _, port, rest_port = server
    images, name = pictures(1), f"serve_r{SIDE}"
    encoded = tf.io.encode_jpeg(pictures(1)[0]).numpy()
    rows = json.dumps({"instances": images.tolist(), "signature_name": name}).encode()
    text = {"instances": [{"b64": base64.b64encode(encoded).decode()}], "signature_name": "serve_encoded"}
    bodies = {"rows": rows, "JPEG": json.dumps(text).encode()}
    requests = {
        "pictures": request_of("net", images, name),
        "JPEG": request_of("net", np.array([encoded], object), "serve_encoded", "encoded"),
    }
    connection = http.client.HTTPConnection("127.0.0.1", rest_port)

    def here(signature, **inputs):
        outputs = loaded.signatures[signature](**{key: tf.constant(value) for key, value in inputs.items()})
        return {key: value.numpy() for key, value in outputs.items()}

    def rest(body):
        connection.request("POST", "/v1/models/net:predict", body)
        return json.loads(connection.getresponse().read())

    def rpc(channel, request):
        code, answer = call(channel, PREDICT, request.SerializeToString())
        assert code == "OK" and answer

    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel, contextlib.closing(connection):
        calls = {
            "in process": functools.partial(here, name, images=images),
            "gRPC": functools.partial(rpc, channel, requests["pictures"]),
            "REST, lists": functools.partial(rest, bodies["rows"]),
            "in process, JPEG at r224": functools.partial(here, "serve_encoded", encoded=[encoded]),
            "gRPC, JPEG at r224": functools.partial(rpc, channel, requests["JPEG"]),
            "REST, JPEG at r224": functools.partial(rest, bodies["JPEG"]),
        }
        found = {key: 1e3 * value for key, value in interleaved(calls, CALLS).items()}
    return {**found, "added by gRPC": found["gRPC"] - found["in process"]}


def in_process(loaded):
    """Calls per second without a server."""
    images, signature = tf.constant(pictures(2)), loaded.signatures[f"serve_r{SIDE}"]

    def ask(_):
        signature(images=images)

    return {f"in process, {n} threads": rate(ask, n) for n in (1, CLIENTS)}


def rates(server, form, clients):
    """Calls per second of so many clients, each with a channel of its own."""
    _, port, _ = server
    content = request_of("net", pictures(2), f"serve_r{SIDE}").SerializeToString()
    with contextlib.ExitStack() as opened:
        # A channel of its own: equal arguments would share one connection.
        options = [[("grpc.use_local_subchannel_pool", 1)]] * max(clients)
        made = [opened.enter_context(grpc.insecure_channel(f"127.0.0.1:{port}", options=option)) for option in options]
        return {f"{form}, {n} clients": rate(lambda one: call(made[one], PREDICT, content), n) for n in clients}


def rate(ask, threads):
    """Calls per second of `ask(thread)` by so many threads, after one second to warm up."""
    start = time.perf_counter() + 1

    def work(thread):
        count = 0
        while (now := time.perf_counter()) < start + SECONDS:
            ask(thread)
            count += now >= start
        return count

    with concurrent.futures.ThreadPoolExecutor(threads) as clients:
        return sum(clients.map(work, range(threads))) / SECONDS


if __name__ == "__main__":
    main()
