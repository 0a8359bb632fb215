"""Average precision of the truth with noise, which other programs can be compared by.

Command: `python -m experiments.pose.perturbed val=person_keypoints_val.json more=OTHER.json.gz`. Every coordinate of everybody
with keypoints who is no crowd gets normal noise of s times the square root of the person's area; numpy's RandomState(0) gives,
in the order of the file, 17 x 2 numbers and then a score. Writes `docs/results/pose_perturbed.json`.
"""

import argparse
import gzip
import json
import pathlib
import tempfile

import numpy as np

from tfres.files import write_json
from tfres.machine import machine
from tfres.tasks.pose.annotations import read_people
from tfres.tasks.pose.metrics import average_precision

NOISE = (0.0, 0.02, 0.05, 0.1)


def main():
    parser = argparse.ArgumentParser(prog="python -m experiments.pose.perturbed", description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", help="NAME=FILE of COCO's keypoint annotations, .json or .json.gz")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("docs/results"), help="folder of the results")
    arguments = parser.parse_args()
    results = {"machine": machine()}
    for given in arguments.files:
        name, _, path = given.partition("=")
        truth = read(path)
        results[name] = {str(noise): average_precision(truth, perturbed(truth, noise)) for noise in NOISE}
    write_json(arguments.out / "pose_perturbed.json", results)
    print(json.dumps(results, indent=1))


def read(path):
    """The truth of a file, which may be compressed."""
    if not path.endswith(".gz"):
        return read_people(path, [], [])[0]
    with tempfile.NamedTemporaryFile(suffix=".json") as plain:
        plain.write(gzip.decompress(pathlib.Path(path).read_bytes()))
        plain.flush()
        return read_people(plain.name, [], [])[0]


def perturbed(truth, noise):
    """Answers: the truth with noise."""
    rng, found = np.random.RandomState(0), []
    for row in truth["annotations"]:
        if row["iscrowd"] or not row["num_keypoints"]:
            continue
        joints = np.array(row["keypoints"], float).reshape(17, 3)
        joints[:, :2] += noise * np.sqrt(row["area"]) * rng.randn(17, 2)
        joints[:, 2] = 1
        answer = {"image_id": row["image_id"], "category_id": 1, "keypoints": joints.ravel().tolist()}
        found.append({**answer, "score": rng.rand()})
    return found


if __name__ == "__main__":
    main()
