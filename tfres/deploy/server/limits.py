"""What a server takes at most, and the refusal of anything else."""

from __future__ import annotations

import dataclasses

from tfres.errors import RecipeError

# Canonical codes of gRPC and TensorFlow by number, and the HTTP status of each, as TensorFlow Serving gives them.
CODES = {
    1: ("CANCELLED", 499),
    2: ("UNKNOWN", 500),
    3: ("INVALID_ARGUMENT", 400),
    4: ("DEADLINE_EXCEEDED", 504),
    5: ("NOT_FOUND", 404),
    6: ("ALREADY_EXISTS", 409),
    7: ("PERMISSION_DENIED", 403),
    8: ("RESOURCE_EXHAUSTED", 429),
    9: ("FAILED_PRECONDITION", 412),
    10: ("ABORTED", 409),
    11: ("OUT_OF_RANGE", 400),
    12: ("UNIMPLEMENTED", 501),
    13: ("INTERNAL", 500),
    14: ("UNAVAILABLE", 503),
    15: ("DATA_LOSS", 500),
    16: ("UNAUTHENTICATED", 401),
}
HTTP_STATUS = dict(CODES.values())


class Refused(Exception):
    """A request that is not answered.

    Args:
        code: name of a canonical code, such as "INVALID_ARGUMENT".
        message: one line: what is allowed, what was received.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


def invalid(message: str) -> Refused:
    """The refusal of a request that no server could answer."""
    return Refused("INVALID_ARGUMENT", message)


def shown(value: object) -> str:
    """A received value for a message, however long it is."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}..."


@dataclasses.dataclass(frozen=True)
class Limits:
    """What a server takes at most.

    Args:
        pictures: of a request, and of a batch that is made of several.
        batch_seconds: how long a request waits for others of its version, signature and shape, to be run with them; 0 for a
            server that runs each alone.
        message_bytes: of a request.
        pixels: of all encoded pictures of a request, by their headers: what few bytes may decode to.
        seconds: until a request is answered or refused; for REST also until it has arrived.
        waiting: requests that wait to be run; further ones are UNAVAILABLE.
        clients: requests (gRPC) and connections (REST) at a time; further ones are refused at once.
        poll_seconds: between looks for new versions.

    Raises:
        RecipeError: a size of messages that gRPC cannot count.
    """

    pictures: int = 64
    batch_seconds: float = 0.0
    message_bytes: int = 16 * 2**20
    pixels: int = 10**8
    seconds: float = 30.0
    waiting: int = 64
    clients: int = 32
    poll_seconds: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.message_bytes < 2**31:
            received = f"{self.message_bytes / 2**20:g}"
            raise RecipeError(f"`megabytes` must be above 0 and below 2048. Received: megabytes={received}.")
