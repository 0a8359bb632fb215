"""A running server."""

from __future__ import annotations

import contextlib
import importlib.util
import time
from typing import TYPE_CHECKING

from tfres.deploy.server.limits import Limits
from tfres.errors import UsageError

if TYPE_CHECKING:
    import os

_NEEDED = {"grpc": "grpcio", "tensorflow_serving": "tensorflow-serving-api"}
_GRACE_SECONDS = 5.0


class Server:
    """TensorFlow Serving's protocol for one export, over gRPC and REST; it answers as soon as it is made.

    An example for trying out: it knows no encryption, no passwords, no several models. New versions in the model's folder are
    loaded, warmed up and take over within seconds; requests that run finish with the version that they began with.

    Args:
        path: folder of a model (`out/NAME`), or of one version of it, which is then never replaced.
        name: of the model in requests; default that of its folder.
        host: name or number to listen at, of IPv4 or IPv6 ("::1").
        port: of gRPC; 0 for a free one, as is then to be read from the attribute.
        rest_port: of REST, likewise.
        limits: what it takes at most.

    `address` and `rest_address` are the host with either port.

    Raises:
        ExportError: no export. UsageError: a port that is taken, or a package that is missing.

    Example:
        with Server("exported/NAME", port=0, rest_port=0) as server:
            channel = grpc.insecure_channel(f"127.0.0.1:{server.port}")
    """

    def __init__(
        self,
        path: str | os.PathLike,
        name: str | None = None,
        host: str = "127.0.0.1",
        port: int = 8500,
        rest_port: int = 8501,
        limits: Limits | None = None,
    ) -> None:
        _require_packages()
        from tfres.deploy.server import rest, rpc
        from tfres.deploy.server.queue import Queue
        from tfres.deploy.server.service import Service
        from tfres.deploy.server.sockets import address
        from tfres.deploy.server.watching import Versions

        limits = limits or Limits()
        with contextlib.ExitStack() as started:
            queue = Queue(limits)
            started.callback(queue.close)
            versions = Versions(path, limits.poll_seconds, queue.resting)
            started.callback(versions.close)
            self.name = versions.name if name is None else name
            service = Service(self.name, versions, queue, limits)
            rest_server = rest.start(service, host, rest_port)
            started.callback(rest_server.close)
            started.callback(rest_server.stop_accepting)
            rpc_server, self.port = rpc.start(service, host, port)
            started.callback(lambda: rpc_server.stop(_GRACE_SECONDS).wait())
            self.rest_port = rest_server.port
            self.address, self.rest_address = address(host, self.port), address(host, self.rest_port)
            self._started = started.pop_all()
        self._stopping = False

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def wait(self) -> None:
        """Until `stop` is called."""
        while not self._stopping:
            time.sleep(0.1)

    def stop(self) -> None:
        """End `wait`; may be called from anywhere, a signal's handler too."""
        self._stopping = True

    def close(self) -> None:
        """Take no further requests, answer those that were taken, and end."""
        self.stop()
        self._started.close()


def _require_packages() -> None:
    missing = [package for module, package in _NEEDED.items() if importlib.util.find_spec(module) is None]
    if missing:
        raise UsageError(f"The server needs optional packages ({', '.join(missing)}): pip install 'tfres[serve]'.")
