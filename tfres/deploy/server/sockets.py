"""Addresses, and both directions of a connection, each within a time."""

from __future__ import annotations

import io
import socket
import time
from typing import Any


def address(host: str, port: int) -> str:
    """A host and a port in one; numbers of IPv6 hosts stand in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def family(host: str) -> socket.AddressFamily:
    """How a host is reached: by IPv4 where it has such an address, else by IPv6.

    Raises:
        OSError: an unknown host.
    """
    known = {found[0] for found in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    return socket.AF_INET if socket.AF_INET in known else socket.AF_INET6


class Arriving(io.RawIOBase):
    """What a client sends, for so long: also from one that sends a byte now and then.

    Args:
        connection: to read.
        seconds: until reading ends with a TimeoutError.
    """

    def __init__(self, connection: socket.socket, seconds: float) -> None:
        self._connection, self._seconds = connection, seconds
        self.restart()

    def restart(self) -> None:
        """The time begins again."""
        self._end = time.monotonic() + self._seconds

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError("the request did not arrive in time")
        self._connection.settimeout(left)
        return self._connection.recv_into(buffer)


class Leaving(io.RawIOBase):
    """An answer, sent as a whole when it is flushed: many small writes would wait for each other.

    Args:
        connection: to write.
        seconds: for sending all of it.
    """

    def __init__(self, connection: socket.socket, seconds: float) -> None:
        self._connection, self._seconds, self._parts = connection, seconds, []

    def writable(self) -> bool:
        return True

    def write(self, part: Any) -> int:
        self._parts.append(bytes(part))
        return len(part)

    def flush(self) -> None:
        parts, self._parts = self._parts, []
        if parts:
            self._connection.settimeout(self._seconds)
            self._connection.sendall(b"".join(parts))
