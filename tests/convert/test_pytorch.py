"""Files of PyTorch: kinds of tensors, containers, damage. Every answer is a network's tensors or one line."""

import io
import pickle
import warnings
import zipfile

import numpy as np
import pytest

from tfres.convert import from_reference
from tfres.convert.pytorch import read_checkpoint_of, read_torch
from tfres.errors import CheckpointError

torch = pytest.importorskip("torch")


@pytest.fixture
def saved(tmp_path):
    def save(content, **options):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.save(content, tmp_path / "net.pth.tar", **options)
        return tmp_path / "net.pth.tar"

    return save


def _refused(path, told):
    with pytest.raises(CheckpointError, match=told) as error:
        read_torch(path)
    assert "\n" not in str(error.value) and len(str(error.value)) < 600


@pytest.mark.parametrize("legacy", [False, True])
def test_kinds_that_are_read(saved, legacy):
    """Defect 16: numbers of 16 bits, tensors that carry gradients, views."""
    weight = torch.nn.Parameter(torch.arange(6.0).reshape(2, 3))
    (weight.sum() * 2).backward()
    state = {
        "parameter": weight,
        "gradient": (weight * 2),
        "half": torch.tensor([1.5, -2], dtype=torch.float16),
        "brain": torch.tensor([1.5, -2], dtype=torch.bfloat16),
        "double": torch.tensor([1 / 3], dtype=torch.float64),
        "count": torch.tensor(7),
        "view": torch.arange(12.0).reshape(3, 4).t()[::2],
        "none": torch.zeros(0),
        "shared": weight.detach()[0],
    }
    state["gradient"] = state["gradient"].detach().requires_grad_(True)
    tensors, facts = read_torch(saved({"state_dict": state, "arch": "a", 3: "x"}, _use_new_zipfile_serialization=not legacy))
    assert {name: array.dtype.name for name, array in tensors.items()} == {
        "parameter": "float32", "gradient": "float32", "half": "float32", "brain": "float32", "double": "float64",
        "count": "int64", "view": "float32", "none": "float32", "shared": "float32",
    }  # fmt: skip
    np.testing.assert_array_equal(tensors["brain"], [1.5, -2])
    np.testing.assert_array_equal(tensors["view"], np.arange(12.0).reshape(3, 4).T[::2])
    assert facts == {"arch": "a"}


def test_where_the_state_dict_is(saved):
    state = {"a": torch.ones(2)}
    for content in (state, {"state_dict": state}, {"model": state, "epoch": 3}, {"state_dict": state, "model": "resnet"}):
        assert list(read_torch(saved(content))[0]) == ["a"]


def _quantized():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8)


def _sparse_rows():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.eye(2).to_sparse_csr()


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: torch.eye(3).to_sparse(), "the tensor bad is sparse; save it as an ordinary dense tensor"),
        (_sparse_rows, "the tensor bad is sparse"),
        (_quantized, "the tensor bad is quantized|refused"),
        (lambda: torch.ones(2, dtype=torch.complex64), "the tensor bad is complex"),
        (lambda: torch.ones(2, device="meta"), "the tensor bad is without values|is not a checkpoint"),
        (lambda: torch.ones(1).expand(10**9), "the tensor bad is larger than the file"),
        (lambda: torch.tensor([1.0, float("nan")]), "the tensor bad holds values that are not finite"),
        (lambda: torch.tensor([float("inf")], dtype=torch.bfloat16), "the tensor bad holds values that are not finite"),
        (lambda: {"kernel": torch.ones(1)}, "'bad' is of type dict"),
        (lambda: [torch.ones(1)], "'bad' is of type list"),
        (lambda: 3.0, "'bad' is of type float"),
        (lambda: None, "'bad' is of type NoneType"),
    ],
)
def test_kinds_that_are_refused(saved, make, told):
    _refused(saved({"state_dict": {"good": torch.ones(2), "bad": make()}}), told)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({}, "must hold a state dict of tensors. Received: an empty one"),
        ({"state_dict": {}}, "Received: an empty one"),
        ({"state_dict": [1]}, "alone or as `state_dict` or `model`. Received: list"),
        ({"state_dict": {3: torch.ones(1)}}, "keys are names of tensors. Received: 3"),
        ({"state_dict": {("a", 1): torch.ones(1)}}, r"keys are names of tensors. Received: \('a', 1\)"),
        ({"state_dict": {"x" * 10_000: torch.ones(1)}}, "keys are names of tensors. Received: 'xxx"),
        ([torch.ones(1)], "Received: list"),
        (torch.ones(3), "Received: Tensor"),
        ("text", "Received: str"),
        (None, "Received: NoneType"),
        ({"epoch": 3, "optimizer": {"lr": 0.1}}, "'epoch' is of type int"),
        ({"state_dict": {"a": {"b": {"c": torch.ones(1)}}}}, "'a' is of type dict"),
        ({f"t{i}": i for i in range(60_000)}, "at most 50000 tensors. Received: 60000"),
    ],
)
def test_containers_that_are_refused(saved, content, told):
    _refused(saved(content), told)


def test_pickles_that_want_more(tmp_path, saved):
    import collections
    import datetime

    for content, name in (({"a": datetime.date(2026, 1, 1)}, "datetime"), ({"a": collections.deque()}, "collections")):
        _refused(saved(content), f"is refused: its pickle wants to run code \\({name}")
    for name, data in (
        ("protocol.pth", pickle.dumps({"a": 1}, protocol=4)),
        ("list.pth", pickle.dumps([1] * 100)),
        ("cut.pth", pickle.dumps({"a": [1, 2, 3]})[:-3]),
        ("empty.pth", b""),
        ("zeros.pth", bytes(1000)),
        ("bytes.pth", bytes(range(256)) * 20),
        ("text.pth", "grüße".encode("latin-1")),
        ("deep.pth", b"\x80\x02" + b"(" * 100_000 + b"l" * 100_000 + b"."),
    ):
        (tmp_path / name).write_bytes(data)
        _refused(tmp_path / name, "is refused|is not a checkpoint of PyTorch|must hold a state dict")
    for path in (tmp_path, tmp_path / "none", ""):
        _refused(path, "`checkpoint` must be a file that PyTorch wrote")


@pytest.mark.parametrize("legacy", [False, True])
def test_cut_and_changed_anywhere(saved, legacy, rng):
    path = saved({"state_dict": {"a": torch.arange(50.0), "b": torch.ones(3, 3)}}, _use_new_zipfile_serialization=not legacy)
    whole = path.read_bytes()
    for size in range(0, len(whole) - 1, 23):
        path.write_bytes(whole[:size])
        _refused(path, "is not a checkpoint of PyTorch|is refused|must hold|cannot be used")
    for _ in range(150):
        data = bytearray(whole)
        data[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
        path.write_bytes(bytes(data))
        try:
            read_torch(path)
        except CheckpointError as error:
            assert "\n" not in str(error)


def test_archives_that_grow(tmp_path):
    """A few bytes that become many, and many entries."""
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(10**7))
    (tmp_path / "bomb.pth").write_bytes(bomb.getvalue())
    _refused(tmp_path / "bomb.pth", "its entries are compressed or larger than the file")
    with zipfile.ZipFile(tmp_path / "other.pth", "w") as archive:
        archive.writestr("hello.txt", "hi")
    _refused(tmp_path / "other.pth", "is not a checkpoint of PyTorch")


def test_architecture_that_is_no_text(saved):
    path = saved({"state_dict": {"a": torch.ones(1)}, "arch": 18})
    with pytest.raises(CheckpointError, match="is a checkpoint of 18. Received: arch=resnet18"):
        read_checkpoint_of(path, "resnet18")


@pytest.mark.parametrize("family", ["rsnet", "san", "mutualnet", "rsnet_quant"])
@pytest.mark.parametrize(
    "tensors",
    [
        {}, {3: np.ones(1)}, {"a": np.ones(1)}, {"fc.module.bias": np.float32(1)}, {"classifier.0.weight": np.float32(1)},
        {"imagenet/linear/b": np.float32(1), "imagenet/conv0/bn064/gamma": np.ones(3)},
        {"a.weight_quant/basis": np.float32(2)}, {"block1.x": np.ones(1), "block1.layer.0.conv1.weight": np.float32(1)},
    ],
)  # fmt: skip
def test_tensors_of_something_else(family, tensors):
    arch = {"rsnet": "parallel_resnet18", "san": "meta_resnet18", "mutualnet": "resnet50", "rsnet_quant": "resnet18"}[family]
    with pytest.raises(ValueError, match="`tensors` must be|`sizes` must be|`widths` must be|another network") as told:
        from_reference(family, arch, tensors)
    assert "\n" not in str(told.value)
