"""A network that knows the people of a few pictures by heart, which shows that the whole chain is right.

Command: `make results-pose COCO=FOLDER` (half an hour on 2 cores for a hundred people). FOLDER has `train/` and
`annotations/person_keypoints_train.json`; the same pictures are trained with and validated on, see
`experiments/pose/overfit.yaml`. A finished run is not repeated. Writes `docs/results/pose_overfit.json`.
"""

import argparse
import json
import pathlib
import shutil

from experiments import comparison
from tfres.files import write_json
from tfres.machine import machine

FILE = "annotations/person_keypoints_{}.json"
KEPT = ("setting", "ap", "ap50", "ap75", "ap_medium", "ap_large", "ar", "macs", "params")


def main():
    parser = argparse.ArgumentParser(prog="python -m experiments.pose.results_overfit", description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, type=pathlib.Path, help="folder of pictures and annotations")
    comparison.add_folders(parser, "runs/results-pose")
    arguments = parser.parse_args()
    folder = same_twice(arguments.data, arguments.runs / "data")
    recipe = ["--recipe", "experiments/pose/overfit.yaml", "--data", str(folder)]
    comparison.trained_rows(arguments.runs / "overfit", recipe)
    rows = json.loads(comparison.command("evaluate", "--run", str(arguments.runs / "overfit"), "--json"))["rows"]
    (row,) = [{key: row[key] for key in KEPT} for row in rows if row["setting"] != "ensemble"]
    write_json(arguments.out / "pose_overfit.json", {"command": "make results-pose", "machine": machine(), **row})


def same_twice(data, folder):
    """A folder in which the training pictures are those of validation too."""
    (folder / "annotations").mkdir(parents=True, exist_ok=True)
    for split in ("train", "val"):
        shutil.copy(data / FILE.format("train"), folder / FILE.format(split))
        if not (folder / split).exists():
            (folder / split).symlink_to((data / "train").resolve())
    return folder


if __name__ == "__main__":
    main()
