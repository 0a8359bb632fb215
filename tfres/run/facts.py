"""`run.json`, the marker of a run with what was read off its data, and `network.json`: written, checked, compared."""

from __future__ import annotations

import datetime
import functools
import importlib.metadata
import math
import pathlib
import platform
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import tfres
from tfres.errors import RunError
from tfres.files import read_json, write_json
from tfres.run import guard

if TYPE_CHECKING:
    from collections.abc import Mapping

NAME = "run.json"
# Changes when runs of the version before cannot be read any more. (The first had none.)
FORMAT = 2
_PACKAGES = (
    "tensorflow", "tf-keras", "tensorpack", "tensorflow-model-optimization", "keras-cv", "numpy", "opencv-python"
)  # fmt: skip
_AGAIN = (
    "Put the data back as they were to go on; or begin another run from these weights with --run OTHER --load {}, or start "
    "over with --action delete."
)


def write(folder: pathlib.Path, known: Mapping[str, Any]) -> None:
    """Mark a folder as a run's, with these facts and the versions of what makes it."""
    created = datetime.datetime.now().isoformat(timespec="seconds")
    marker = {"format": FORMAT, "tfres": tfres.__version__}
    write_json(folder / NAME, {**marker, **known, **marker, "versions": versions(), "created": created})


def read(folder: pathlib.Path) -> dict[str, Any]:
    """The facts of a run.

    Raises:
        RunError: no run's folder (what is there is named), a run of another format, or a damaged file.
    """
    path = folder / NAME
    if not path.is_file():
        if (folder / "recipe.yaml").is_file():
            raise RunError(
                f"`run` must be the folder of a run. Received: run={folder}, which has a recipe.yaml but no {NAME}."
            )
        raise RunError(f"`run` must be the folder of a run. Received: run={folder}, {guard.described(folder)}.")
    known = read_json(path, RunError)
    number = known.get("format")
    if number is None and "versions" in known:
        raise RunError(f"{folder} is a run of an earlier version of tfres, which this one does not read: train it anew.")
    if not _is_whole(number) or not isinstance(known.get("tfres"), str):
        raise RunError(f"`run` must be the folder of a run. Received: run={folder}, whose {NAME} is not one of tfres.")
    if number != FORMAT:
        raise RunError(f"{folder} has format {number}, made by tfres {known['tfres'][:40]}; this version reads {FORMAT}.")
    classes = known.get("classes", [])
    if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
        raise RunError(f"`classes` in {path} must be a list of names. Received: {str(classes)[:80]}.")
    for name, least in (("steps_per_epoch", 1), ("pictures", 1), ("held_out", 0)):
        if name in known and not (_is_whole(known[name]) and known[name] >= least):
            allowed = f"a whole number of at least {least}" if least != 1 else "a positive whole number"
            raise RunError(f"`{name}` in {path} must be {allowed}. Received: {str(known[name])[:80]}.")
    return known


def compare(folder: pathlib.Path, known: Mapping[str, Any]) -> None:
    """Refuse facts that are not those the run began with.

    Raises:
        RunError: names the first difference and how to go on.
    """
    recorded = read(folder)
    for name, value in known.items():
        if name in recorded and recorded[name] != value:
            both_lists = isinstance(value, list) and isinstance(recorded[name], list)
            told = _listed(recorded[name], value) if both_lists else f"{recorded[name]} there, {value} now"
            raise RunError(f"The data changed since {folder} began: `{name}` is {told}. {_AGAIN.format(folder)}")


def difference(old: object, new: object, path: str = "") -> str | None:
    """The first entry in which two nested mappings differ, in words; None where they are the same."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*new, *(key for key in old if key not in new)]:
            if key not in old or key not in new:
                there, here = ("given" if key in part else "left out" for part in (old, new))
                return f"{path}{key} is {there} there, {here} here"
            found = difference(old[key], new[key], f"{path}{key}.")
            if found:
                return found
        return None
    same = old == new or isinstance(old, float) and isinstance(new, float) and math.isnan(old) and math.isnan(new)
    return None if same else f"{path[:-1]} is {old!r} there, {new!r} here"


def read_network(path: pathlib.Path) -> dict[str, Any]:
    """`network.json`, checked.

    Raises:
        RunError: damaged or none.
    """
    network = read_json(path, RunError)
    check_network(network, str(path), RunError)
    return network


def check_network(network: object, name: str, kind: type[Exception]) -> None:
    """Refuse what is no description of a network."""
    fits = isinstance(network, dict) and set(network) == {"family", "options"} and isinstance(network["options"], dict)
    if not fits or not isinstance(network["family"], str) or not network["family"]:
        raise kind(f"{name} must be a mapping with `family`, a name, and `options`, a mapping. Received: {str(network)[:80]}.")


def plain(value: object) -> Any:
    """Nested values as files hold them: tuples as lists, numpy's numbers as Python's, paths as texts.

    Raises:
        ValueError: of another type.
    """
    if isinstance(value, dict):
        return {plain(key): plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in value]
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, pathlib.PurePath):
        return str(value)
    if hasattr(value, "item") and getattr(value, "shape", None) == ():
        return value.item()
    raise ValueError(f"A file of a run must hold plain values. Received: {value!r}.")


@functools.cache
def versions() -> dict[str, str | None]:
    """Versions of Python, of the packages that matter, and the commit that this package runs from."""
    found = {name: _version(name) for name in _PACKAGES}
    return {"python": platform.python_version(), **found, "git": _revision()}


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _revision() -> str | None:
    """Commit of the working tree this package runs from, or None."""
    if shutil.which("git") is None:
        return None
    command = ["git", "rev-parse", "HEAD"]
    done = subprocess.run(command, check=False, cwd=pathlib.Path(__file__).parent, capture_output=True, text=True)
    return done.stdout.strip() or None


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _listed(old: list, new: list) -> str:
    """How two lists differ: what is missing, what is new, or where."""
    gone, come = [name for name in old if name not in new], [name for name in new if name not in old]
    if not gone and not come:
        place = next((i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
        return f"{len(old)} entries there, {len(new)} now, in another order from number {place} on"
    parts = [
        f"without {', '.join(map(str, gone[:5]))}" if gone else "",
        f"with {', '.join(map(str, come[:5]))}" if come else "",
    ]
    return f"{len(old)} entries there, {len(new)} now: now {' and '.join(part for part in parts if part)}"
