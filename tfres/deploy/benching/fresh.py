"""What a process pays that runs an export and nothing else: memory, and the time until it can answer."""

from __future__ import annotations

import concurrent.futures
import importlib
import multiprocessing
import pathlib
import re
import time
from typing import TYPE_CHECKING

import numpy as np

from tfres.deploy.runtime.attached import is_attached
from tfres.deploy.runtime.files import PREFIX, open_export
from tfres.errors import ExportError

if TYPE_CHECKING:
    from collections.abc import Mapping


def in_fresh_process(path: str, threads: int | None, shapes: Mapping[str, tuple[int, int, int]]) -> dict[str, float]:
    """Load an export in a new process and call every setting once.

    Args:
        path, threads: of `open_export`.
        shapes: setting -> `(batch, height, width)`.

    Returns:
        `import_s` of the runtime, `load_s` of the export (its files checked), `memory_bytes`: by how much resident memory has
        grown over that of Python with numpy, the runtime included, when every setting was called.

    Raises:
        ExportError: see `open_export`, a setting fails, or the process dies.
    """
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, context) as pool:
        try:
            return pool.submit(_paid, path, threads, dict(shapes)).result()
        except concurrent.futures.process.BrokenProcessPool:
            raise ExportError(f"{path} must be an export that a process of its own can run. Received: it died.") from None


def _paid(path: str, threads: int | None, shapes: dict[str, tuple[int, int, int]]) -> dict[str, float]:
    before, start = _resident(), time.perf_counter()
    importlib.import_module(f"tfres.deploy.runtime.{'litert' if is_attached(path) else 'savedmodel'}")
    imported = time.perf_counter()
    export = open_export(path, threads)
    loaded = time.perf_counter()
    for setting, shape in shapes.items():
        try:
            export.backend.call(f"{PREFIX}{setting}", {"images": np.zeros([*shape, 3], np.uint8)})
        except Exception as error:  # those of the runtimes are of many kinds, and cannot all be sent to another process
            text = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
            raise ExportError(f"{path} must answer at {setting}. Received: {text}") from None
    return {"import_s": imported - start, "load_s": loaded - imported, "memory_bytes": _resident() - before}


def _resident() -> int:
    """Bytes of this process in memory."""
    status = pathlib.Path("/proc/self/status").read_text(encoding="utf-8")
    return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) * 1024
