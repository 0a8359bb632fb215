"""SavedModels, run by TensorFlow. Nothing else here loads it."""

from __future__ import annotations

import functools
import pathlib
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from tfres.deploy.runtime.files import GRAPH
from tfres.deploy.runtime.times import tensorflow_host
from tfres.errors import ExportError, first_line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_VARIABLES = "variables/variables"
_CALLED = 10_000  # signatures and shapes that are remembered as ready


class SavedModelBackend:
    """See `Backend`; `calls` are the signatures as TensorFlow's functions.

    Args:
        folder: of the export's version.
        threads: that one operation may use; None for what TensorFlow was told.

    Raises:
        ExportError: a file in it cannot be used, or TensorFlow is already running with another number of threads.
    """

    def __init__(self, folder: pathlib.Path, threads: int | None = None) -> None:
        if threads is not None:
            _use_threads(threads)
        try:
            self._loaded = tf.saved_model.load(str(folder))  # signatures alone lose their variables
            self.calls = dict(self._loaded.signatures)
        except Exception as error:  # TensorFlow's loader has no error of its own: damage shows as any kind
            raise ExportError(f"{_culprit(folder)} must be a file of an export. Received: {first_line(error)}") from None
        self.signatures, self._called = [*self.calls], set()

    def takes_pictures(self, name: str) -> bool:
        """See `Backend`."""
        specs = self.calls[name].structured_input_signature[1]
        return [*specs] == ["images"] and specs["images"].dtype == tf.uint8

    def outputs(self, name: str) -> list[str]:
        """See `Backend`."""
        return [*self.calls[name].structured_outputs]

    def call(self, name: str, inputs: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """See `Backend`."""
        tensors = {key: tf.constant(value) if isinstance(value, np.ndarray) else _kept(value) for key, value in inputs.items()}
        found = {key: value.numpy() for key, value in self.calls[name](**tensors).items()}
        if len(self._called) >= _CALLED:
            self._called = set()
        self._called.add((name, tuple(next(iter(tensors.values())).shape)))
        return found

    def ready(self, name: str, shape: Sequence[int]) -> bool:
        """See `Backend`; TensorFlow optimizes a signature at its first call."""
        return (name, tuple(shape)) in self._called

    def host(self) -> dict[str, Any]:
        """See `Backend`."""
        return tensorflow_host()


def _use_threads(count: int) -> None:
    try:
        tf.config.threading.set_intra_op_parallelism_threads(count)
        tf.config.threading.set_inter_op_parallelism_threads(count)
    except RuntimeError:
        raise ExportError(f"`threads` must be given before TensorFlow runs. Received: threads={count}.") from None


@functools.lru_cache(256)
def _kept(value: str | tuple[float, ...]) -> tf.Tensor:
    """What a policy is made of: the same in many calls."""
    return tf.constant(value) if isinstance(value, str) else tf.constant(value, tf.float32)


def _culprit(folder: pathlib.Path) -> pathlib.Path:
    """Which file of an export keeps it from being loaded: the variables if they cannot be read, else the graph."""
    try:
        reader = tf.train.load_checkpoint(str(folder / _VARIABLES))
        for name in reader.get_variable_to_shape_map():
            reader.get_tensor(name)
    except Exception:  # see `open_export`
        from tensorflow.core.protobuf import saved_model_pb2

        try:
            saved_model_pb2.SavedModel.FromString((folder / GRAPH).read_bytes())
        except Exception:  # protobuf's errors differ between its implementations
            return folder / GRAPH
        return folder / _VARIABLES
    return folder / GRAPH
