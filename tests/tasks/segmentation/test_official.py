"""Saved answers through the official Cityscapes script."""

import itertools

import numpy as np
import tensorflow as tf
from cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling import args, evaluateImgLists

from tests.tasks.segmentation.scenes import cityscapes_folder, opened


def test_overlaps_are_those_of_the_official_script(tmp_path, monkeypatch):
    task, source = opened(cityscapes_folder(tmp_path / "data"), batch_size=1)
    drawing, metrics, rng = task.drawing(source), task.metrics(), np.random.default_rng(0)
    truths, answers = sorted(source.validation.labels), []
    for number, batch in enumerate(itertools.islice(task.evaluation_batches(source, [(24, 32)]), len(truths))):
        outputs = rng.normal(size=(1, 6, 8, 19)).astype("f") + 2 * np.eye(19, dtype="f")[rng.choice([0, 13, 18], (1, 6, 8))]
        metrics.update(outputs, batch["targets"])
        answers.append(str(tmp_path / f"{number}.png"))
        tf.io.write_file(answers[-1], drawing.encode(outputs, batch["targets"]))
    monkeypatch.setattr(args, "quiet", True)
    monkeypatch.setattr(args, "evalInstLevelScore", False)
    found, ours = evaluateImgLists(answers, truths, args), metrics.result()
    assert abs(found["averageScoreClasses"] - ours["miou_present"]) < 1e-6
    for name, value in ours["iou"].items():
        assert np.isnan(found["classScores"][name]) if value is None else abs(found["classScores"][name] - value) < 1e-6
