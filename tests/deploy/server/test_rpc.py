"""gRPC through the official stubs: answers bit for bit those of a call in the process, codes of what is refused."""

import concurrent.futures
import pathlib
import re

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from tests.data.pictures import declaring
from tfres.deploy.server import Limits, Server
from tfres.deploy.server.pictures import pixels

JPEG, PNG = (encode(np.zeros([8, 8, 3], np.uint8)).numpy() for encode in (tf.io.encode_jpeg, tf.io.encode_png))
PICTURES = np.random.default_rng(1).integers(0, 256, (3, 14, 14, 3)).astype(np.uint8)


@pytest.fixture(scope="module")
def stub(channel):
    return prediction_service_pb2_grpc.PredictionServiceStub(channel)


def request_of(signature="", **inputs):
    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = "net", signature
    for name, value in inputs.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    return request


def arrays(response):
    return {name: tf.make_ndarray(value) for name, value in response.outputs.items()}


def check_equal(found, expected):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name].dtype == value.numpy().dtype
        np.testing.assert_array_equal(found[name], value)


def refused(call, request):
    with pytest.raises(grpc.RpcError) as caught:
        call(request, timeout=20)
    assert "\n" not in caught.value.details()
    return caught.value.code().name, caught.value.details()


def test_every_signature_answers_as_in_process(stub, small_loaded):
    encoded = [tf.io.encode_png(picture).numpy() for picture in PICTURES]
    for name, signature in small_loaded.signatures.items():
        inputs = {"encoded": encoded} if name == "serve_encoded" else {"images": PICTURES}
        response = stub.Predict(request_of(name, **inputs), timeout=20)
        check_equal(arrays(response), signature(**{key: tf.constant(value) for key, value in inputs.items()}))
        assert (response.model_spec.name, response.model_spec.signature_name) == ("net", name)
        assert response.model_spec.version.value == 1


def test_every_signature_of_a_network_with_exits(exit_export, rng):
    """Also stages, which take states, and inputs with defaults."""
    loaded = tf.saved_model.load(str(exit_export))
    images = rng.integers(0, 256, (2, 16, 16, 3)).astype(np.uint8)
    with Server(exit_export, port=0, rest_port=0) as server, grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        for name, signature in loaded.signatures.items():
            specs = signature.structured_input_signature[1]
            inputs = {key: rng.random((2, *spec.shape[1:]), np.float32) for key, spec in specs.items() if "state" in key}
            inputs |= {"images": images} if "images" in specs else {}
            inputs |= {"encoded": [tf.io.encode_png(image).numpy() for image in images]} if "encoded" in specs else {}
            if name == "serve_adaptive":
                inputs |= {"thresholds": np.float32([0.1, 0.1, np.inf]), "temperatures": np.ones(4, np.float32)}
                inputs |= {"score": np.array("margin")}
            expected = signature(**{key: tf.constant(value) for key, value in inputs.items()})
            check_equal(arrays(stub.Predict(request_of(name, **inputs), timeout=20)), expected)
        found = arrays(stub.Predict(request_of("serve_adaptive", images=images), timeout=20))
        assert found["exit"].shape == (2,)  # by the best policy of the table
        states = {key: rng.random((2, *spec.shape[1:]), np.float32) for key, spec in _states(loaded).items()}
        states["state_0"] = states["state_0"][:1]
        code, text = refused(stub.Predict, request_of("serve_stage2", **states))
        assert code == "INVALID_ARGUMENT" and "equally many rows" in text
        code, text = refused(stub.Predict, request_of("serve_adaptive", images=images, thresholds=np.float32([1.0])))
        assert code == "INVALID_ARGUMENT" and "`thresholds` must be 3 numbers" in text


def _states(loaded):
    return loaded.signatures["serve_stage2"].structured_input_signature[1]


def test_one_value_stands_for_all(stub, small_loaded):
    request = request_of(images=np.uint8(7))
    request.inputs["images"].tensor_shape.CopyFrom(tf.TensorShape([2, 16, 16, 3]).as_proto())
    expected = small_loaded.signatures["serving_default"](images=tf.fill([2, 16, 16, 3], tf.constant(7, tf.uint8)))
    check_equal(arrays(stub.Predict(request, timeout=20)), expected)


def test_the_client_of_the_documentation(server, capsys):
    page = (pathlib.Path(__file__).parents[3] / "docs" / "serving.md").read_text(encoding="utf-8")
    (client,) = [code for code in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "PredictionServiceStub" in code]
    assert len(client.splitlines()) <= 15
    for documented, here in (("8500", str(server.port)), ("NAME", "net"), ("serve_r96", "serve_r12"), ("96", "12")):
        client = client.replace(documented, here)
    exec(client, {})
    assert re.fullmatch(r"\[\d( \d){7}\] 1\n", capsys.readouterr().out)


def test_pixels_by_headers():
    for encode in (tf.io.encode_jpeg, tf.io.encode_png):
        assert pixels(encode(np.zeros([7, 9, 3], np.uint8)).numpy()) == 63
    assert pixels(declaring(PNG, 2**32 - 1, 2**32 - 1)) == (2**32 - 1) ** 2
    for other in (b"", b"x", JPEG[:10], PNG[:16], b"GIF89a"):
        assert pixels(other) == 0


def test_outputs_can_be_chosen(stub):
    request = request_of(images=PICTURES)
    request.output_filter.append("class")
    assert [*stub.Predict(request, timeout=20).outputs] == ["class"]


def test_metadata_and_status(stub, channel):
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = "net"
    known = get_model_metadata_pb2.SignatureDefMap()
    assert stub.GetModelMetadata(request, timeout=20).metadata["signature_def"].Unpack(known)
    assert {*known.signature_def} == {"serve_r16", "serve_r12", "serve_any", "serve_encoded", "serving_default"}
    assert known.signature_def["serve_r12"].inputs["images"].dtype == tf.uint8.as_datatype_enum
    status = get_model_status_pb2.GetModelStatusRequest()
    status.model_spec.name = "net"
    (found,) = model_service_pb2_grpc.ModelServiceStub(channel).GetModelStatus(status, timeout=20).model_version_status
    assert (found.version, found.state, found.status.error_code) == (1, found.AVAILABLE, 0)


def _changed(name, value, signature=""):
    request = request_of(signature, images=PICTURES)
    place = request.model_spec
    *way, last = name.split(".")
    for step in way:
        place = getattr(place, step)
    setattr(place, last, value)
    return request


@pytest.mark.parametrize(
    ("request_", "code", "text"),
    [
        (_changed("name", "other"), "NOT_FOUND", "Model must be net. Received: 'other'."),
        (_changed("version.value", 2), "NOT_FOUND", "Version must be 1, the newest. Received: 2."),
        (_changed("signature_name", "x" * 500), "FAILED_PRECONDITION", "serve_any, serve_encoded.* Received: 'xxx"),
        (_changed("version_label", "stable"), "INVALID_ARGUMENT", "no labels"),
        (
            request_of(images=PICTURES.astype(np.float32)),
            "INVALID_ARGUMENT",
            "uint8 .any, any, any, 3.*Received: dtype float32",
        ),
        (request_of(images=PICTURES[0]), "INVALID_ARGUMENT", "Received: shape .14, 14, 3."),
        (request_of(images=PICTURES[:0]), "INVALID_ARGUMENT", "no side of them 0. Received: shape .0, 14"),
        (request_of(images=np.zeros([9, 2, 2, 3], np.uint8)), "INVALID_ARGUMENT", "at most 8 rows. Received: 9"),
        (request_of(pictures=PICTURES), "INVALID_ARGUMENT", "Inputs must be images. Received: 'pictures'"),
        (request_of(), "INVALID_ARGUMENT", "Inputs must be images. Received: no images"),
        (request_of("serve_any", images=PICTURES[:, 1:]), "INVALID_ARGUMENT", "square with a side from 12 to 16 pixels"),
        (request_of("serve_encoded", encoded=[b"x"]), "INVALID_ARGUMENT", "must be JPEG or PNG pictures"),
        (request_of("serve_encoded", encoded=[declaring(JPEG, 60000, 60000)]), "INVALID_ARGUMENT", "Received: 3600000000."),
        (
            request_of("serve_encoded", encoded=[declaring(JPEG, 9000, 9000), declaring(PNG, 9000, 9000)]),
            "INVALID_ARGUMENT",
            "`encoded` must be pictures of at most 100000000 pixels together, by their headers. Received: 162000000.",
        ),
        (request_of(images=np.zeros([1, 500, 500, 3], np.uint8)), "RESOURCE_EXHAUSTED", "larger than max"),
    ],
)
def test_what_is_refused(request_, code, text, stub):
    found = refused(stub.Predict, request_)
    assert found[0] == code
    assert re.search(text, found[1]), found[1]


def _ask_from_several(stub, loaded, limit):
    """Ask from eight threads for pictures of several shapes; each answer must be that of its own pictures."""

    def ask(number):
        images = np.random.default_rng(number).integers(0, 256, (1 + number % 3, 12 + number % 2, 13, 3)).astype(np.uint8)
        return images, arrays(stub.Predict(request_of("serve_r12", images=images), timeout=20))

    with concurrent.futures.ThreadPoolExecutor(8) as clients:
        for images, found in clients.map(ask, range(60)):
            expected = loaded.signatures["serve_r12"](images=images)["logits"]
            assert found["logits"].shape == expected.shape
            np.testing.assert_allclose(found["logits"], expected, rtol=0, atol=limit)


def test_several_clients(stub, small_loaded):
    _ask_from_several(stub, small_loaded, 0)


def test_several_clients_of_a_batching_server(small_export, small_loaded):
    """Values of a batch may differ in the last bits."""
    limits = Limits(pictures=8, batch_seconds=0.02)
    with Server(small_export, port=0, rest_port=0, limits=limits) as batching:
        channel = grpc.insecure_channel(f"127.0.0.1:{batching.port}")
        with channel:
            _ask_from_several(prediction_service_pb2_grpc.PredictionServiceStub(channel), small_loaded, 1e-6)
