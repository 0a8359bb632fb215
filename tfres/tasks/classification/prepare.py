"""Class folders as TFRecord shards in the classic ImageNet schema."""

from __future__ import annotations

import concurrent.futures
import hashlib
import json
import os
import pathlib
from typing import Any

import tensorflow as tf
import tqdm

from tfres.data import records
from tfres.data.decoding import decode, fault_of
from tfres.errors import DataError
from tfres.files import atomic_path, write_text
from tfres.tasks.classification.source import open_folder
from tfres.tasks.classification.splits import FileSplit

PICTURES_PER_SHARD = 1024
_STATE = "prepare.json"

Pictures = list[tuple[str, int]]  # path, label from 1


def prepare(
    folder: str | pathlib.Path, out: str | pathlib.Path, per_shard: int = PICTURES_PER_SHARD
) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Write the shards that are not there yet, or not whole.

    Pictures are shuffled by a hash of their names, kept as they are encoded, and labelled from 1. Unreadable ones are left
    out. `classes.json` holds the names, `prepare.json` the records and skipped pictures of every finished shard.

    Args:
        folder: with `train/` and `val/`.
        out: folder of the shards.
        per_shard: pictures per shard.

    Returns:
        `(split -> number of records, list of (path, reason) of skipped pictures)`.

    Raises:
        SourceError: no pictures. DataError: `out` belongs to other pictures, or a split without any that can be read.
    """
    if per_shard < 1:
        raise ValueError(f"`per_shard` must be positive. Received: per_shard={per_shard}.")
    out, unreadable = pathlib.Path(out), []
    source = open_folder(pathlib.Path(folder), unreadable, calibration=True)
    plans = {name: _plan(split, name, per_shard) for name, split in source.splits.items()}
    shards = [shard for plan in plans.values() for shard in plan]
    digest = hashlib.sha256(json.dumps(shards).encode()).hexdigest()
    state = _read_state(out / _STATE, digest)
    write_text(out / "classes.json", json.dumps(source.classes, indent=1) + "\n")
    with (
        concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool,
        tqdm.tqdm(total=sum(len(pictures) for _, pictures in shards), unit=" pictures") as bar,
    ):
        for name, pictures in shards:
            if not _is_done(out / name, state["shards"].get(name), len(pictures)):
                state["shards"][name] = _write(out / name, pictures, source.classes, pool)
                write_text(out / _STATE, json.dumps(state, indent=1) + "\n")
            bar.update(len(pictures))
    counts = {split: sum(state["shards"][name]["records"] for name, _ in plan) for split, plan in plans.items()}
    for split, count in counts.items():
        if not count:
            raise DataError(f"{folder} has no picture for {split} that can be read.")
    skipped = [tuple(one) for name, _ in shards for one in state["shards"][name]["skipped"]]
    return counts, unreadable + skipped


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


def _is_done(path: pathlib.Path, done: Any, pictures: int) -> bool:
    """Whether a shard is there with as many records as were written."""
    try:
        written, skipped = done["records"], len(done["skipped"])
        return written + skipped == pictures and path.is_file() and (records.count(path) if written else 0) == written
    except (DataError, KeyError, TypeError):
        return False


def _plan(split: FileSplit, name: str, per_shard: int) -> list[tuple[str, Pictures]]:
    """`(file name, pictures)` of every shard."""
    pictures = sorted(
        ((path, int(label) + 1) for path, label in zip(split.paths, split.labels, strict=True)),
        key=lambda picture: hashlib.sha256("/".join(pathlib.Path(picture[0]).parts[-2:]).encode()).digest(),
    )
    total = -(-len(pictures) // per_shard)
    parts = [pictures[i * per_shard : (i + 1) * per_shard] for i in range(total)]
    return [(f"{name}-{i:05d}-of-{total:05d}", part) for i, part in enumerate(parts)]


def _write(path: pathlib.Path, pictures: Pictures, classes: list[str], pool: concurrent.futures.Executor) -> dict[str, Any]:
    """One shard; returns its number of records and the skipped pictures."""
    skipped, written = [], 0
    with atomic_path(path) as temporary, tf.io.TFRecordWriter(str(temporary)) as writer:
        for (name, label), (encoded, fact) in zip(pictures, pool.map(_read, [p for p, _ in pictures]), strict=True):
            if encoded is None:
                skipped.append([name, fact])
                continue
            writer.write(_example(name, label, classes[label - 1], encoded, fact))
            written += 1
    return {"records": written, "skipped": skipped}


def _read(path: str) -> tuple[bytes, tuple[int, ...]] | tuple[None, str]:
    """`(bytes, shape)` of a picture, or `(None, reason)`."""
    try:
        encoded = pathlib.Path(path).read_bytes()
    except OSError as error:
        return None, error.strerror or str(error)
    fault = fault_of(encoded)
    return (None, fault) if fault else (encoded, tuple(decode(tf.constant(encoded)).shape))


def _example(path: str, label: int, text: str, encoded: bytes, shape: tuple[int, ...]) -> bytes:
    def feature(value: int | str | bytes) -> tf.train.Feature:
        if isinstance(value, int):
            return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value if isinstance(value, bytes) else value.encode()]))

    features = {
        "image/encoded": encoded,
        "image/format": "JPEG" if encoded[:2] == b"\xff\xd8" else pathlib.Path(path).suffix[1:].upper(),
        "image/filename": pathlib.Path(path).name,
        "image/height": shape[0],
        "image/width": shape[1],
        "image/channels": 3,
        "image/colorspace": "RGB",
        "image/class/label": label,
        "image/class/text": text,
    }
    example = tf.train.Features(feature={name: feature(value) for name, value in features.items()})
    return tf.train.Example(features=example).SerializeToString()
