"""gRPC requests that a server must refuse, each with the answers that are right; what they are made of comes from a seed.

They are for an export with `serving_default` of uint8 pictures and `serve_encoded` of picture files.
"""

from typing import NamedTuple

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2, predict_pb2

PREDICT = "/tensorflow.serving.PredictionService/Predict"
METADATA = "/tensorflow.serving.PredictionService/GetModelMetadata"
STATUS = "/tensorflow.serving.ModelService/GetModelStatus"
INVALID, MISSING, UNFIT = "INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION"
NAMES = ("", "x", "..", "/", "a" * 300, "net\0", "nét", "serve", "Images", "__saved_model_init_op")
_SHAPES = (
    (), (0,), (3,), (8, 8, 3), (1, 8, 8), (1, 8, 8, 1), (1, 8, 8, 4), (1, 1, 8, 8, 3), (0, 8, 8, 3), (1, 0, 8, 3),
    (1, 8, 0, 3), (-1, 8, 8, 3), (1, -8, -8, 3), (2**40, 8, 8, 3), (1, 2**31, 2**31, 3), (2**62, 4, 1, 3),
    (1, 10**6, 10**6, 3),
)  # fmt: skip


class Broken(NamedTuple):
    """A request: where it goes, what is sent, and which codes (gRPC) or statuses (REST) are right.

    `codes` None means: whatever it asks for now, but answers must be right.
    """

    kind: str
    path: str
    content: bytes
    codes: frozenset | None


def request_of(name, images, signature="", key="images"):
    """A good request."""
    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = name, signature
    request.inputs[key].CopyFrom(tf.make_tensor_proto(images))
    return request


class Breaker:
    """Makes broken gRPC requests.

    Args:
        rng: numpy generator.
        name: of the model.
        sides: of pictures that it takes.
        largest: bytes of a request that the server takes.
        rows: of a request that it takes.
    """

    prefix = "_of_"

    def __init__(self, rng, name, sides, largest, rows=64):
        self.rng, self.name, self.sides, self.largest, self.rows = rng, name, sides, largest, rows
        self.kinds = [getattr(self, name) for name in sorted(dir(self)) if name.startswith(self.prefix)]

    def next(self):
        """The next request."""
        kind = self.kinds[self.rng.integers(len(self.kinds))]
        path, content, codes = kind()
        return Broken(kind.__name__.removeprefix(self.prefix), path, content, codes and frozenset(codes.split()))

    def good(self, signature="", count=1):
        """A request that must be answered."""
        pictures = self.rng.integers(0, 256, (count, *self.sides, 3)).astype(np.uint8)
        return request_of(self.name, pictures, signature)

    def _of_junk(self):
        return self._any_path(), self.junk(300), f"{INVALID} {MISSING}"

    def _of_cut(self):
        content = self.good().SerializeToString()
        return PREDICT, content[: self.rng.integers(len(content))], INVALID

    def _of_flipped(self):
        content = bytearray(self.good().SerializeToString())
        for place in self.rng.integers(min(len(content), 120), size=self.rng.integers(1, 4)):
            content[place] = self.rng.integers(256)
        return PREDICT, bytes(content), None

    def _of_model(self):
        return self._changed("model_spec.name", self.pick([name for name in NAMES if name]), MISSING)

    def _of_no_model(self):
        return self._changed("model_spec.name", "", INVALID)

    def _of_version(self):
        return self._changed("model_spec.version.value", self.pick([-1, 0, 999, 2**63 - 1, -(2**63)]), MISSING)

    def _of_label(self):
        return self._changed("model_spec.version_label", self.pick(NAMES[1:]), INVALID)

    def _of_signature(self):
        return self._changed("model_spec.signature_name", self.pick(NAMES[1:]), UNFIT)

    def _of_filter(self):
        request = self.good()
        request.output_filter.extend([self.pick(NAMES), "logits"])
        return PREDICT, request.SerializeToString(), INVALID

    def _of_input_name(self):
        request = request_of(self.name, np.zeros([1, *self.sides, 3], np.uint8), key=self.pick(NAMES))
        if self.rng.random() < 0.5:
            request.inputs["images"].CopyFrom(self.good().inputs["images"])
        return PREDICT, request.SerializeToString(), INVALID

    def _of_no_inputs(self):
        request = self.good()
        del request.inputs["images"]
        return PREDICT, request.SerializeToString(), INVALID

    def _of_dtype(self):
        request = self.good()
        request.inputs["images"].dtype = int(self.pick([n for n in [*range(30), 104, 120, 9999, 2**31 - 1] if n != 4]))
        return PREDICT, request.SerializeToString(), INVALID

    def _of_shape(self):
        request, shape = self.good(), self.pick(_SHAPES)
        tensor = request.inputs["images"]
        del tensor.tensor_shape.dim[:]
        for side in shape:
            tensor.tensor_shape.dim.add(size=side)
        elements = int(np.prod([float(side) for side in shape]))
        tensor.tensor_content = self.pick([b"", b"\0", bytes(elements if 0 <= elements < 1000 else 7)])
        tensor.int_val.extend(self.pick([[], [0]]))
        return PREDICT, request.SerializeToString(), INVALID

    def _of_unknown_rank(self):
        return self._changed("inputs.tensor_shape.unknown_rank", True, INVALID)

    def _of_bytes(self):
        content = self.good().inputs["images"].tensor_content
        return self._changed("inputs.tensor_content", self.pick([content[:-1], content + b"\0", content * 2, b"\0"]), INVALID)

    def _of_values(self):
        request, count = self.good(), 3 * self.sides[0] * self.sides[1]
        tensor = request.inputs["images"]
        tensor.tensor_content = b""
        tensor.int_val.extend(self.pick([[], [256], [-1], [2**31 - 1], [0] * (count + 1)]))
        tensor.float_val.extend(self.pick([[], [1.0] * count]))
        return PREDICT, request.SerializeToString(), INVALID

    def _of_rows(self):
        pictures = np.zeros([self.rows + int(self.rng.integers(1, 9)), 1, 1, 3], np.uint8)
        return PREDICT, request_of(self.name, pictures).SerializeToString(), INVALID

    def _of_encoded(self):
        header = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + self.pick([b"\0\1\0\0" * 2, b"\xff" * 8, b"\0" * 8]) + b"\x08\2\0\0\0"
        files = self.pick([[self.junk(100)], [b""], [header + self.junk(40)], [b"\xff\xd8\xff" + self.junk(60)], []])
        request = request_of(self.name, np.array(files, object) if files else np.zeros([0], "S1"), "serve_encoded", "encoded")
        return PREDICT, request.SerializeToString(), INVALID

    def _of_encoded_count(self):
        request = request_of(self.name, np.array([b"x"] * 3, object), "serve_encoded", "encoded")
        request.inputs["encoded"].tensor_shape.dim[0].size = int(self.pick([1, 2, 4, 10**12, -1]))
        return PREDICT, request.SerializeToString(), INVALID

    def _of_too_large(self):
        return PREDICT, bytes(self.largest + int(self.rng.integers(1, 1000))), "RESOURCE_EXHAUSTED"

    def _of_method(self):
        service = self.pick(["PredictionService", "ModelService", "Other", ""])
        return f"/tensorflow.serving.{service}/{self.pick(['Classify', 'Regress', 'x', 'predict'])}", b"", "UNIMPLEMENTED"

    def _of_metadata(self):
        request = get_model_metadata_pb2.GetModelMetadataRequest()
        request.model_spec.name = self.name
        request.metadata_field.extend(self.pick([[], ["x"], ["signature_def", "x"], [""]]))
        return METADATA, request.SerializeToString(), INVALID

    def _of_status(self):
        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = self.pick([self.name, *NAMES[1:]])
        request.model_spec.version.value = int(self.pick([0, -5, 77, 10**15]))
        return STATUS, request.SerializeToString(), MISSING

    def pick(self, values):
        """One of some values."""
        return values[self.rng.integers(len(values))]

    def junk(self, most):
        """Bytes without a meaning."""
        return self.rng.bytes(self.rng.integers(most + 1))

    def _any_path(self):
        return self.pick([PREDICT, METADATA, STATUS])

    def _changed(self, field, value, codes):
        """A good request with one field changed."""
        request = self.good()
        *way, last = field.split(".")
        place = request
        for step in way:
            place = place.inputs["images"] if step == "inputs" else getattr(place, step)
        setattr(place, last, value)
        return PREDICT, request.SerializeToString(), codes
