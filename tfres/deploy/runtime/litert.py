"""`.tflite` files, run by LiteRT: needs `ai-edge-litert`, no TensorFlow."""

from __future__ import annotations

import importlib.metadata
import os
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter, SignatureRunner

from tfres.errors import ExportError, first_line
from tfres.machine import processor

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class LiteRTBackend:
    """See `Backend`. Every thread has an interpreter of its own.

    Args:
        model: content of the file, without what is behind the model.
        path: of the file, for messages.
        threads: that an interpreter may use; None for all cores that the process may.

    Raises:
        ExportError: it cannot be loaded.
    """

    def __init__(self, model: bytes, path: str | os.PathLike, threads: int | None = None) -> None:
        self._model, self._own = model, threading.local()
        self._threads = threads or len(os.sched_getaffinity(0))
        try:
            known = self._interpreter().get_signature_list()
        except (ValueError, RuntimeError) as error:
            told = first_line(error)
            raise ExportError(f"{path} must be a model that LiteRT {_version()} loads. Received: {told}") from None
        self._inputs = {name: known[name]["inputs"] for name in known}
        self._outputs = {name: known[name]["outputs"] for name in known}
        self.signatures = [*known]

    def takes_pictures(self, name: str) -> bool:
        """See `Backend`."""
        if [*self._inputs[name]] != ["images"]:
            return False
        return self._runner(name).get_input_details()["images"]["dtype"] == np.uint8

    def outputs(self, name: str) -> list[str]:
        """See `Backend`."""
        return [*self._outputs[name]]

    def call(self, name: str, inputs: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """See `Backend`."""
        found = self._runner(name)(**inputs)
        self._own.shapes[name] = next(iter(inputs.values())).shape
        return found

    def ready(self, name: str, shape: Sequence[int]) -> bool:
        """See `Backend`; LiteRT prepares a signature when its shape is not that of its last call in this thread."""
        self._interpreter()
        return self._own.shapes.get(name) == tuple(shape)

    def host(self) -> dict[str, Any]:
        """See `Backend`."""
        return {
            "machine": f"{processor()}, LiteRT {_version()}",
            "devices": ["CPU"],
            "threads": [self._threads, len(os.sched_getaffinity(0))],
        }

    def _interpreter(self) -> Interpreter:
        if getattr(self._own, "interpreter", None) is None:
            self._own.interpreter = Interpreter(model_content=self._model, num_threads=self._threads)
            self._own.runners, self._own.shapes = {}, {}
        return self._own.interpreter

    def _runner(self, name: str) -> SignatureRunner:
        interpreter = self._interpreter()
        if name not in self._own.runners:
            self._own.runners[name] = interpreter.get_signature_runner(name)
        return self._own.runners[name]


def _version() -> str:
    return importlib.metadata.version("ai-edge-litert")
