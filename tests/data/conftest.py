"""A folder of small pictures."""

import pytest

from tests.data.pictures import write_pictures


@pytest.fixture
def pictures(tmp_path):
    root = tmp_path / "pictures"
    write_pictures(root, {"train": {"a": 6, "b": 4}, "val": {"a": 2, "b": 3}})
    return root
