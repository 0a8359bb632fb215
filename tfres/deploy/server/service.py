"""What both protocols ask: versions, metadata, answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tfres.deploy.server.limits import Limits, Refused, shown
from tfres.deploy.server.pictures import check_pixels
from tfres.deploy.server.tensors import Arrays, check_outputs, chosen, complete

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tfres.deploy.server.loaded import Loaded, Signature
    from tfres.deploy.server.queue import Queue
    from tfres.deploy.server.watching import State, Versions


class Service:
    """One model.

    Args:
        name: of the model.
        versions: that are served.
        queue: that runs requests.
        limits: of the server.
    """

    def __init__(self, name: str, versions: Versions, queue: Queue, limits: Limits) -> None:
        self.name, self.limits = name, limits
        self._versions, self._queue = versions, queue

    def find(self, name: str, number: int | None = None) -> Loaded:
        """The version that a request names.

        Raises:
            Refused: NOT_FOUND.
        """
        self._check_name(name)
        return self._versions.get(number)

    def states(self, name: str, number: int | None = None) -> dict[int, State]:
        """The states of versions, or of one.

        Raises:
            Refused: NOT_FOUND.
        """
        self._check_name(name)
        return self._versions.states(number)

    def predict(self, signature: Signature, given: Arrays, wanted: Sequence[str] = (), seconds: float | None = None) -> Arrays:
        """Outputs of a signature.

        Args:
            signature: of the version that was found.
            given: name -> array, each checked against its spec.
            wanted: names of outputs; none for all.
            seconds: that the client waits, if it says so.

        Raises:
            Refused: see `complete`, `check_pixels`, `check_outputs`, `Queue.run`.
        """
        check_outputs(wanted, signature.outputs)
        inputs = complete(given, signature.inputs, signature.defaults, self.limits.pictures)
        check_pixels(inputs, signature.inputs, self.limits.pixels)
        seconds = self.limits.seconds if seconds is None else seconds
        return chosen(self._queue.run(signature, inputs, seconds), wanted)

    def _check_name(self, name: str) -> None:
        if name != self.name:
            raise Refused("NOT_FOUND", f"Model must be {self.name}. Received: {shown(name)}.")
