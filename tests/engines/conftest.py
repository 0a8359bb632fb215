"""Small plans for engine tests."""

import pytest

from tests.engines.plans import make_plan


@pytest.fixture
def plan(tmp_path):
    return make_plan(tmp_path)
