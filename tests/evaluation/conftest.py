"""A small float run on files, with three resolutions, for all tests of evaluation."""

import pytest

from tests.data.pictures import write_pictures
from tfres import train
from tfres.run import Run


@pytest.fixture(scope="package")
def original(tmp_path_factory):
    """The run as it was trained; not to be changed."""
    folder = tmp_path_factory.mktemp("float")
    write_pictures(folder / "pictures", {"train": {"a": 6, "b": 6}, "val": {"a": 2, "b": 2}}, side=40)
    options = ["--arch", "resnet20", "--model.blocks", "[1, 1]", "--model.widths", "[8, 16]", "--sizes", "32", "24", "16"]
    options += ["--batch-size", "4", "--data", str(folder / "pictures"), "--kd", "--data.antialias", "none"]
    assert train.main([*options, "--run", str(folder / "run")]) == 0
    return Run(folder / "run")
