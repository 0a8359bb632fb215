"""Small pictures with label pictures in the layouts that are known, and the task on them in few words."""

import json

import numpy as np
import tensorflow as tf

from tfres.files import write_json
from tfres.tasks.segmentation.options import SegmentationData
from tfres.tasks.segmentation.splits import drawn
from tfres.tasks.segmentation.task import Segmentation

CLASSES = ["sky", "road", "tree"]


def png(values):
    """A label picture (or a picture, of three channels) as bytes."""
    values = np.asarray(values)
    return tf.io.encode_png(values[..., None] if values.ndim == 2 else values).numpy()


def write_pairs(pictures, labels, count, seed=0, sides=(24, 32), names="{}.png"):
    """Generated pairs in two folders; returns the names of the pictures."""
    split, written = drawn(count, *sides, len(CLASSES), seed), []
    for number, (picture, label) in enumerate(zip(split.pictures, split.labels, strict=True)):
        place = pictures / names.format(f"p{number}")
        target = labels / names.format(f"p{number}").replace("_leftImg8bit", "_gtFine_labelIds")
        for path, content in ((place, picture), (target, label)):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        written.append(place.name)
    return written


def own_folder(root, train=8, val=3):
    """images/, labels/ and classes.json."""
    for split, count, seed in (("train", train, 0), ("val", val, 1)):
        write_pairs(root / "images" / split, root / "labels" / split, count, seed)
    write_json(root / "classes.json", {"classes": CLASSES, "ignore": 255})
    return root


def camvid_folder(root, lists=True):
    """Folders of a split and of its labels, lists and meta.json; the last class is what is ignored."""
    for split, count, seed in (("train", 4, 0), ("val", 2, 1)):
        names = write_pairs(root / split, root / f"{split}annot", count, seed)
        if lists:
            (root / f"{split}.txt").write_text("".join(f"{split}/{name} {split}annot/{name}\n" for name in names[:-1]))
    meta = {"classes": [*CLASSES, "Unlabelled"], "ignore_label": 3, "palette_rgb": [[0, 0, 9]] * 4, "size_hw": [24, 32]}
    (root / "meta.json").write_text(json.dumps(meta))
    return root


def cityscapes_folder(root):
    """leftImg8bit/ and gtFine/; the values 0, 1, 2 are all ignored, so some become roads and cars."""
    for split, count, seed in (("train", 3, 0), ("val", 2, 1)):
        folders = (root / "leftImg8bit" / split / "town", root / "gtFine" / split / "town")
        write_pairs(*folders, count, seed, names="town_{}_leftImg8bit.png")
        for path in folders[1].iterdir():
            values = tf.io.decode_png(path.read_bytes()).numpy()[..., 0]
            path.write_bytes(png(np.array([7, 26, 0], np.uint8)[values]))
    return root


def opened(source, classes=None, **fields):
    """`(task, source)` of a small pipeline."""
    data = SegmentationData(**{"source": str(source), "batch_size": 2, "fake_size": 4, "crop": "16x24", **fields})
    found = Segmentation.open(data, classes)
    return Segmentation(data.resolved(found), found.classes), found
