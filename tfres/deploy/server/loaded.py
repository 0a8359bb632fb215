"""A version of an export that is loaded: its signatures with what they take."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2

from tfres.deploy.runtime.files import GRAPH, WARMUP, open_export
from tfres.deploy.server.limits import CODES, Refused, shown
from tfres.deploy.server.tensors import Arrays, Spec, complete, known_input
from tfres.errors import first_line

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Callable, Iterator

DEFAULT = "serving_default"
_FAILED = "assertion failed: "


@dataclasses.dataclass(frozen=True, eq=False)
class Signature:
    """What can be called.

    Args:
        name: as requests give it.
        definition: as the SavedModel has it.
        call: takes tensors by name, gives tensors by name.
        inputs: by name.
        outputs: their names.
        defaults: of inputs that a request may leave out.
    """

    name: str
    definition: meta_graph_pb2.SignatureDef
    call: Callable[..., dict[str, tf.Tensor]]
    inputs: dict[str, Spec]
    outputs: list[str]
    defaults: Arrays

    @property
    def merges(self) -> bool:
        """Whether requests can be run together: one input, a row per picture, of a size that its shape tells."""
        return len(self.inputs) == 1 and all(spec.rows and not spec.encoded for spec in self.inputs.values())

    def run(self, inputs: Arrays) -> Arrays:
        """Outputs for checked inputs.

        Raises:
            Refused: what TensorFlow found wrong.
        """
        try:
            outputs = self.call(**{name: tf.constant(array, self.inputs[name].dtype) for name, array in inputs.items()})
            return {name: output.numpy() for name, output in outputs.items()}
        except tf.errors.OpError as error:
            raise _refusal_of(error) from None


class Loaded:
    """A version.

    Args:
        path: of its folder, whose name is its number.

    Raises:
        tfres.errors.ExportError: no export, or a damaged one.
    """

    def __init__(self, path: pathlib.Path) -> None:
        self.path, self.number = path, int(path.name)
        self._export = open_export(path)  # holds the variables: signatures alone lose them
        content = saved_model_pb2.SavedModel.FromString((path / GRAPH).read_bytes())
        definitions = content.meta_graphs[0].signature_def
        calls = self._export.backend.calls
        self.signatures = {name: _signature(name, definitions[name], call) for name, call in calls.items()}

    def signature(self, name: str) -> Signature:
        """By its name; none means the default.

        Raises:
            Refused: FAILED_PRECONDITION.
        """
        found = self.signatures.get(name or DEFAULT)
        if found is None:
            known = ", ".join(sorted(self.signatures))
            raise Refused("FAILED_PRECONDITION", f"`signature_name` must be one of {known}. Received: {shown(name)}.")
        return found

    def warm_up(self) -> int:
        """Run the export's warm-up records; returns how many they are.

        Raises:
            Refused: a record that is none, or that the version cannot answer.
        """
        count = 0
        for name, inputs in _records(self.path / WARMUP):
            signature = self.signature(name)
            for given in inputs:
                known_input(given, signature.inputs)
            rows = max((len(array) for array in inputs.values() if array.ndim), default=0)
            signature.run(complete(inputs, signature.inputs, signature.defaults, rows))
            count += 1
        return count


def _signature(name: str, definition: meta_graph_pb2.SignatureDef, call: Callable[..., dict]) -> Signature:
    inputs = {key: Spec.of(key, info) for key, info in definition.inputs.items()}
    defaults = {key: np.asarray(tf.make_ndarray(value)) for key, value in definition.defaults.items()}
    return Signature(name, definition, call, inputs, sorted(definition.outputs), defaults)


def _refusal_of(error: tf.errors.OpError) -> Refused:
    """What TensorFlow found wrong, in one line: what an export's own check says, where it was that."""
    lines = [line for line in error.message.splitlines() if line.strip()]
    said = [line.removeprefix(_FAILED) for line in lines if line.startswith(_FAILED)]
    others = [line for line in lines if not line.startswith(("Graph execution error", "Detected at", "<stack"))]
    code, _ = CODES.get(error.error_code, ("INTERNAL", 500))
    return Refused(code, (said or others or ["It could not be run."])[0][:300])


def _records(place: pathlib.Path) -> Iterator[tuple[str, Arrays]]:
    """Name of the signature and inputs of each record."""
    from tensorflow_serving.apis import prediction_log_pb2

    if not place.exists():
        return
    try:
        for record in tf.data.TFRecordDataset(str(place)):
            request = prediction_log_pb2.PredictionLog.FromString(record.numpy()).predict_log.request
            inputs = {name: np.asarray(tf.make_ndarray(value)) for name, value in request.inputs.items()}
            yield request.model_spec.signature_name, inputs
    except (tf.errors.OpError, DecodeError, TypeError, ValueError) as error:
        told = f"{WARMUP} must be warm-up records. Received: {first_line(error)}"
        raise Refused("FAILED_PRECONDITION", told) from None
