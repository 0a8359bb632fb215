"""`python -m tfres.data.prepare`: class folders as TFRecord shards in the classic ImageNet schema."""

import concurrent.futures
import hashlib
import json
import pathlib
import sys

import tqdm

from tfres.cli import Parser, run_main

PICTURES_PER_SHARD = 1024
_STATE = "prepare.json"


def make_parser():
    parser = Parser(
        prog="python -m tfres.data.prepare",
        description="Write shards OUT/train-*-of-* and OUT/validation-*-of-*. Run again, it goes on after the last shard.",
        epilog="Example: python -m tfres.data.prepare pictures/ records/",
    )
    parser.add_argument("folder", type=str, help="holds train/ and val/ with one folder per class")
    parser.add_argument("out", type=str, help="folder of the shards")
    parser.add_argument("--per-shard", type=int, default=PICTURES_PER_SHARD, help="pictures per shard")
    return parser


def main(argv=None):
    arguments = make_parser().parse_args(argv)
    from tfres.recipe import RecipeError

    if arguments.per_shard < 1:
        raise RecipeError(f"`per-shard` must be positive. Received: per-shard={arguments.per_shard}.")
    counts, skipped = prepare(arguments.folder, arguments.out, arguments.per_shard)
    for path, reason in skipped:
        print(f"skipped {path}: {reason}", file=sys.stderr)
    for split, count in counts.items():
        print(f"{split} {count}")
    print(f"skipped {len(skipped)}")
    return 0


def prepare(folder, out, per_shard=PICTURES_PER_SHARD):
    """Write the shards that are not there yet.

    Pictures are shuffled by a hash of their names, kept as they are encoded, and labelled from 1. Unreadable ones are left
    out. `classes.json` holds the names, `prepare.json` the records and skipped pictures of every finished shard.

    Args:
        folder: with `train/` and `val/`.
        out: folder of the shards.
        per_shard: pictures per shard.

    Returns:
        `(split -> number of records, list of (path, reason) of skipped pictures)`.

    Raises:
        DataError: no pictures; `out` belongs to other pictures; records and skipped do not add up to the pictures.
    """
    from tfres.data import records
    from tfres.data.errors import DataError
    from tfres.data.sources import open_folder
    from tfres.files import write_text

    out = pathlib.Path(out)
    source = open_folder(pathlib.Path(folder))
    shards = [
        s
        for split, name in ((source.train, "train"), (source.validation, "validation"))
        for s in _plan(split, name, per_shard)
    ]
    digest = hashlib.sha256(json.dumps(shards).encode()).hexdigest()
    state = json.loads((out / _STATE).read_text()) if (out / _STATE).exists() else {"pictures": digest, "shards": {}}
    if state["pictures"] != digest:
        raise DataError(f"{out} holds shards of other pictures or another --per-shard. Name another folder.")
    write_text(out / "classes.json", json.dumps(source.classes, indent=1) + "\n")
    with (
        concurrent.futures.ThreadPoolExecutor() as pool,
        tqdm.tqdm(total=sum(len(p) for _, p in shards), unit=" pictures") as bar,
    ):
        for name, pictures in shards:
            if name not in state["shards"] or not (out / name).exists():
                state["shards"][name] = _write(out / name, pictures, source.classes, pool)
                write_text(out / _STATE, json.dumps(state, indent=1) + "\n")
            bar.update(len(pictures))
    counts, skipped = {"train": 0, "validation": 0}, []
    for name, pictures in shards:
        done = state["shards"][name]
        found = records.count(out / name) if done["records"] else 0
        if found != done["records"] or found + len(done["skipped"]) != len(pictures):
            raise DataError(f"{out / name} has {found} records, must have {len(pictures) - len(done['skipped'])}.")
        counts[name.split("-")[0]] += found
        skipped += done["skipped"]
    return counts, skipped


def _plan(split, name, per_shard):
    """`(file name, [(path, label from 1)])` of every shard."""
    pictures = sorted(
        ((path, int(label) + 1) for path, label in zip(split.paths, split.labels, strict=True)),
        key=lambda picture: hashlib.sha256("/".join(pathlib.Path(picture[0]).parts[-2:]).encode()).digest(),
    )
    total = -(-len(pictures) // per_shard)
    parts = [pictures[i * per_shard : (i + 1) * per_shard] for i in range(total)]
    return [(f"{name}-{i:05d}-of-{total:05d}", part) for i, part in enumerate(parts)]


def _write(path, pictures, classes, pool):
    """One shard; returns its number of records and the skipped pictures."""
    import tensorflow as tf

    from tfres.files import atomic_path

    skipped, written = [], 0
    with atomic_path(path) as temporary, tf.io.TFRecordWriter(str(temporary)) as writer:
        for (name, label), (encoded, fact) in zip(pictures, pool.map(_read, [p for p, _ in pictures]), strict=True):
            if encoded is None:
                skipped.append([name, fact])
                continue
            writer.write(_example(name, label, classes[label - 1], encoded, fact))
            written += 1
    return {"records": written, "skipped": skipped}


def _read(path):
    """`(bytes, shape)` of a picture, or `(None, reason)`."""
    import tensorflow as tf

    from tfres.data.errors import reason
    from tfres.data.transforms import decode

    try:
        encoded = pathlib.Path(path).read_bytes()
        return encoded, tuple(decode(tf.constant(encoded)).shape)
    except (tf.errors.InvalidArgumentError, OSError) as error:
        return None, reason(error)


def _example(path, label, text, encoded, shape):
    import tensorflow as tf

    def feature(value):
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


if __name__ == "__main__":
    run_main(main, sys.argv[1:])
