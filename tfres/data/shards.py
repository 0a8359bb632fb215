"""Examples as TFRecord shards, written one after another; interrupted, it goes on after the last whole one."""

from __future__ import annotations

import concurrent.futures
import hashlib
import json
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf
import tqdm

from tfres.data import records
from tfres.data.decoding import decode, fault_of
from tfres.data.faults import read_file
from tfres.errors import DataError
from tfres.files import atomic_path, write_text

PER_SHARD = 1024
_STATE = "prepare.json"

Item = tuple[Any, ...]  # of an example: the path of its picture, and JSON-able values


def write_shards(
    folder: str | pathlib.Path,
    out: str | pathlib.Path,
    splits: Mapping[str, Sequence[Item]],
    per_shard: int,
    encode: Callable[[Item], tuple[bytes | None, str]],
    classes: Any,
) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Write the shards `<split>-<number>-of-<total>` that are not there yet, or not whole.

    Examples are shuffled by a hash of their pictures' names. `classes.json` holds `classes`, `prepare.json` the records and
    what was skipped of every finished shard.

    Args:
        folder: of the pictures, for messages.
        out: folder of the shards.
        splits: items of every split.
        per_shard: examples per shard.
        encode: function of an item giving `(serialized example, "")`, or `(None, reason)` for one that is skipped.
        classes: JSON-able.

    Returns:
        `(split -> number of records, list of (path, reason) of what was skipped)`.

    Raises:
        DataError: `out` belongs to other pictures, or a split without a record.
    """
    if per_shard < 1:
        raise ValueError(f"`per_shard` must be positive. Received: per_shard={per_shard}.")
    out = pathlib.Path(out)
    plans = {name: _plan(items, name, per_shard) for name, items in splits.items()}
    shards = [shard for plan in plans.values() for shard in plan]
    digest = hashlib.sha256(json.dumps(shards).encode()).hexdigest()
    state = _read_state(out / _STATE, digest)
    write_text(out / "classes.json", json.dumps(classes, indent=1) + "\n")
    with (
        concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool,
        tqdm.tqdm(total=sum(len(items) for _, items in shards), unit=" pictures") as bar,
    ):
        for name, items in shards:
            if not _is_done(out / name, state["shards"].get(name), len(items)):
                state["shards"][name] = _write(out / name, items, encode, pool)
                write_text(out / _STATE, json.dumps(state, indent=1) + "\n")
            bar.update(len(items))
    counts = {split: sum(state["shards"][name]["records"] for name, _ in plan) for split, plan in plans.items()}
    for split, count in counts.items():
        if not count:
            raise DataError(f"{folder} has no picture for {split} that can be read.")
    return counts, [tuple(one) for name, _ in shards for one in state["shards"][name]["skipped"]]


def serialized(values: Mapping[str, int | str | bytes | Sequence[float]]) -> bytes:
    """An example from whole numbers, texts, bytes and lists of numbers by the names of their features."""

    def feature(value: int | str | bytes | Sequence[float]) -> tf.train.Feature:
        if isinstance(value, (list, tuple)):
            return tf.train.Feature(float_list=tf.train.FloatList(value=value))
        if isinstance(value, int):
            return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value if isinstance(value, bytes) else value.encode()]))

    features = tf.train.Features(feature={name: feature(value) for name, value in values.items()})
    return tf.train.Example(features=features).SerializeToString()


def picture_features(path: str, encoded: bytes, height: int, width: int) -> dict[str, int | str | bytes]:
    """What every task's examples say of a picture: the classic ImageNet schema."""
    return {
        "image/encoded": encoded,
        "image/format": "JPEG" if encoded[:2] == b"\xff\xd8" else pathlib.Path(path).suffix[1:].upper(),
        "image/filename": pathlib.Path(path).name,
        "image/height": height,
        "image/width": width,
        "image/channels": 3,
        "image/colorspace": "RGB",
    }


def read_picture(path: str) -> tuple[dict[str, int | str | bytes] | None, str]:
    """`picture_features` of a file and "", or None and why it cannot be read or decoded."""
    encoded, fault = read_file(path)
    fault = fault or fault_of(encoded)
    if fault:
        return None, fault
    height, width, _ = decode(tf.constant(encoded)).shape
    return picture_features(path, encoded, height, width), ""


def _read_state(path: pathlib.Path, digest: str) -> dict[str, Any]:
    """What is done already.

    Raises:
        DataError: for other pictures.
    """
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(state["shards"], dict) and state["pictures"] == digest:
            return state
    except FileNotFoundError:
        return {"pictures": digest, "shards": {}}
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(f"{path} is damaged ({error}). Delete it to write all shards again.") from None
    raise DataError(f"{path.parent} holds shards of other pictures or another --per-shard. Name another folder.")


def _is_done(path: pathlib.Path, done: Any, items: int) -> bool:
    """Whether a shard is there with as many records as were written."""
    try:
        written, skipped = done["records"], len(done["skipped"])
        return written + skipped == items and path.is_file() and (records.count(path) if written else 0) == written
    except (DataError, KeyError, TypeError):
        return False


def _plan(items: Sequence[Item], name: str, per_shard: int) -> list[tuple[str, list[Item]]]:
    """`(file name, items)` of every shard."""
    items = sorted(items, key=lambda item: hashlib.sha256("/".join(pathlib.Path(item[0]).parts[-2:]).encode()).digest())
    total = -(-len(items) // per_shard)
    parts = [items[i * per_shard : (i + 1) * per_shard] for i in range(total)]
    return [(f"{name}-{i:05d}-of-{total:05d}", part) for i, part in enumerate(parts)]


def _write(
    path: pathlib.Path,
    items: Sequence[Item],
    encode: Callable[[Item], tuple[bytes | None, str]],
    pool: concurrent.futures.Executor,
) -> dict[str, Any]:
    """One shard; returns its number of records and what was skipped."""
    skipped, written = [], 0
    with atomic_path(path) as temporary, tf.io.TFRecordWriter(str(temporary)) as writer:
        for item, (example, reason) in zip(items, pool.map(encode, items), strict=True):
            if example is None:
                skipped.append([item[0], reason])
                continue
            writer.write(example)
            written += 1
    return {"records": written, "skipped": skipped}
