"""Data options of classification, and the table of tasks."""

import math
import subprocess
import sys

import pytest

from tests.tasks.helpers import options
from tfres.data.options import DataOptions
from tfres.errors import RecipeError
from tfres.tasks import TASKS, find_task
from tfres.tasks.classification.options import ClassificationData
from tfres.tasks.classification.task import Classification

_NAN, _INF = math.nan, math.inf
_BAD = [
    *(({"std": value}, "`std` must be three positive finite numbers") for value in (
        [0, 1, 1], [-1, 1, 1], [_NAN, 1, 1], [_INF, 1, 1], [1, 1], "111", [True, 1, 1], [1, 1, "1"],
    )),
    *(({"mean": value}, "`mean` must be three finite numbers") for value in ([_NAN, 0, 0], [_INF, 0, 0], [0], 0, [None] * 3)),
    *(({"lighting": value}, "`lighting` must be zero or positive, and finite") for value in (-0.1, _INF, _NAN, "0")),
    *(({"smallest_area": value}, "`smallest_area` must be in (0, 1]") for value in (0, -1, 1.1, _NAN, None)),
    *(({"label_smoothing": value}, "`label_smoothing` must be in [0, 1)") for value in (1, -0.1, _NAN, "x")),
    *(({"holdout": value}, "`holdout` must be in [0, 0.9]") for value in (-0.1, 0.91, 1.0, 1, _NAN, _INF, "x", True, [0.1])),
    *(({"side": value}, "`side` must be a whole number from 1 to 4096") for value in (0, -1, 4097, 32.0, True)),
    ({"crop": "random"}, "`crop` must be one of pad, reflect, area, none. Received: crop='random'."),
    ({"rules": "opencv"}, "`rules` must be one of torchvision, tensorpack"),
    ({"antialias": True}, "`antialias` must be one of exact, fast, none. Received: antialias=True."),
    ({"antialias": "none", "rules": "tensorpack"}, "`antialias` must be left out with rules tensorpack"),
    ({"resize": "cubic"}, "`resize` must be one of nearest, bilinear, align_corners"),
    ({"flip": []}, "`flip` must be one of"),
    ({"evaluation_cut": "twice"}, "`evaluation_cut` must be one of each, once"),
    ({"channel_order": "RGB"}, "`channel_order` must be one of rgb, bgr"),
    ({"label_offset": 2**31}, "`label_offset` must be a whole number from"),
    ({"augment": [{}]}, "`augment` must be a list of mappings with a `name`"),
    ({"augment": {"name": "x"}}, "`augment` must be a list of mappings with a `name`"),
    ({"augment": ["MixUp"]}, "`augment` must be a list of mappings with a `name`"),
    ({"source": "fake", "fake_size": 10**12}, "`fake_size` must be so small that the pictures fit into 4 GiB"),
    ({"source": "fake", "fake_size": 100_000, "side": 224}, "`fake_size` must be so small"),
    ({"batch_size": 1024, "side": 4096}, "`batch_size` must be so small that the pictures of a step fit into 4 GiB"),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "message"), _BAD)
def test_out_of_range(fields, message):
    with pytest.raises(RecipeError) as caught:
        ClassificationData(**fields)
    assert message in str(caught.value) and "Received: " in str(caught.value)


@pytest.mark.parametrize(("given", "resolved"), [(None, 0.0), (0, 0.0), (0.25, 0.25), (0.9, 0.9)])
def test_holdout_ends_as_a_number_and_is_not_for_other_pictures(given, resolved):
    data, found = options("fake", holdout=given, side=16), Classification.open(options("fake"), 10)
    assert data.resolved(found).holdout == resolved
    assert DataOptions(holdout=given).resolved(None).holdout == resolved
    other = data.elsewhere("pictures")
    assert (other.holdout, other.source, other.label_offset, other.side) == (0.0, "pictures", None, 16)


def test_tables_and_options_load_without_tensorflow():
    code = (
        "import sys; from tfres.tasks import TASKS; TASKS['classification'].options(); sys.exit('tensorflow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_table_of_tasks():
    assert find_task("classification") is TASKS["classification"]
    assert TASKS["classification"].options is ClassificationData
    assert TASKS["classification"].task.score == "top1"
    with pytest.raises(RecipeError, match="one of classification, segmentation, pose. Received: task='nothing'"):
        find_task("nothing")
