"""What an error says in one line."""

import pytest

from tfres.errors import first_line


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ValueError("\n  first \nsecond"), "first "),
        (ValueError(""), "ValueError"),
        (MemoryError(), "MemoryError"),
        (OSError(28, "No space left"), "[Errno 28] No space left"),
        (ValueError("x" * 500), "x" * 200),
    ],
)
def test_first_line(error, told):
    assert first_line(error) == told
