"""Warm-up records: TensorFlow Serving's messages, one per signature, which every signature takes."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from tests.deploy import fakes
from tfres.deploy import export_savedmodel
from tfres.deploy.runtime.files import WARMUP, open_export
from tfres.errors import ExportError


def requests_of(path):
    """Name of the signature -> its request."""
    logs = [prediction_log_pb2.PredictionLog.FromString(one.numpy()) for one in tf.data.TFRecordDataset(str(path / WARMUP))]
    assert all(log.WhichOneof("log_type") == "predict_log" for log in logs)
    found = {log.predict_log.request.model_spec.signature_name: log.predict_log.request for log in logs}
    assert len(found) == len(logs) and {request.model_spec.name for request in found.values()} == {"net"}
    return found


def check_accepted(path):
    """Run every record as a call of its signature; returns the shapes of what they are given."""
    opened, shapes = open_export(path), {}
    signatures, requests = opened.backend.calls, requests_of(path)
    assert requests.keys() == {*signatures}
    for name, request in requests.items():
        inputs = {key: tf.make_ndarray(value) for key, value in request.inputs.items()}
        outputs = signatures[name](**{key: tf.constant(value) for key, value in inputs.items()})
        assert all(len(output) == 1 for output in outputs.values())
        shapes[name] = {key: np.shape(value) for key, value in inputs.items()}
    return shapes


def test_a_record_per_setting(tmp_path):
    path = export_savedmodel(fakes.AnySideNetwork(), fakes.Task(), tmp_path, "net")
    largest = {"images": (1, 16, 16, 3)}
    assert check_accepted(path) == {
        "serve_r16": largest,
        "serve_r12": {"images": (1, 12, 12, 3)},
        "serve_any": largest,
        "serving_default": largest,
        "serve_encoded": {"encoded": (1,)},
    }
    assert (path / WARMUP).stat().st_size < 4000  # one value stands for a picture


def test_a_record_per_exit_and_stage(exit_export):
    shapes = check_accepted(exit_export)
    assert shapes["serve_adaptive"] == {"images": (1, 16, 16, 3), "thresholds": (3,), "temperatures": (4,), "score": ()}
    assert all(shape[0] == 1 for shape in shapes["serve_stage3"].values())


def test_long_messages_parse(tmp_path):
    """Lengths of more than one byte."""
    name = "n" * 150
    path = export_savedmodel(fakes.Network(("r16-w1", "r16-w0.5")), fakes.Task(), tmp_path, name)
    for record in tf.data.TFRecordDataset(str(path / WARMUP)):
        request = prediction_log_pb2.PredictionLog.FromString(record.numpy()).predict_log.request
        assert request.model_spec.name == name and request.inputs


def test_records_are_sealed(tmp_path):
    path = export_savedmodel(fakes.Network(), fakes.Task(), tmp_path, "net")
    fingerprint = open_export(path).fingerprint
    content = (path / WARMUP).read_bytes()
    (path / WARMUP).write_bytes(content[:-1])
    with pytest.raises(ExportError, match="tf_serving_warmup_requests must be the file that was exported"):
        open_export(path)
    (path / WARMUP).unlink()
    with pytest.raises(ExportError, match="tf_serving_warmup_requests must be there"):
        open_export(path)
    (path / WARMUP).write_bytes(content)
    assert open_export(path).fingerprint == fingerprint
