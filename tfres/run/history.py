"""`metrics.csv` and TensorBoard logs of a run."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

from tfres.errors import RunError
from tfres.files import read_text, write_text

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Mapping

    from tfres.run.folder import Run


class History:
    """`metrics.csv` and TensorBoard logs of a run; the setting is part of each metric's name.

    The file is rewritten whole with every row, so a killed run leaves no half line. Rows after `first_step` (of a run that
    goes on from there) are dropped.

    Args:
        run: `Run`.
        first_step: last step whose row is kept.

    Raises:
        RunError: the file is damaged.
    """

    def __init__(self, run: Run, first_step: int = 0) -> None:
        from tensorboard.summary import Writer

        self._path = run.path / "metrics.csv"
        rows = read_metrics(self._path) if self._path.exists() else []
        self._rows = [row for row in rows if int(row["step"]) <= first_step]
        self._writer = Writer(str(run.path / "tensorboard"))

    def add(self, step: int, metrics: Mapping[str, float]) -> None:
        """Append one row of scalars, merged with an existing row of the same step."""
        values = {name: f"{value:.6g}" for name, value in metrics.items()}
        if self._rows and int(self._rows[-1]["step"]) == step:
            self._rows[-1].update(values)
        else:
            self._rows.append({"step": str(step), **values})
        columns = list(dict.fromkeys(name for row in self._rows for name in row))
        lines = [columns, *([row.get(name, "") for name in columns] for row in self._rows)]
        write_text(self._path, "".join(",".join(line) + "\n" for line in lines))
        for name, value in metrics.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()


def read_metrics(path: pathlib.Path) -> list[dict[str, str]]:
    """Rows of a `metrics.csv`, with what is empty left out.

    Raises:
        RunError: damaged; the line is named.
    """
    reader = csv.reader(io.StringIO(read_text(path, RunError), newline=""))
    try:
        columns, *lines = list(reader) or [[]]
    except csv.Error as error:
        raise RunError(f"{path}, line {reader.line_num} is damaged: {error}. Remove the file to go on without it.") from error
    rows = []
    for number, line in enumerate(lines, 2):
        row = dict(zip(columns, line, strict=False))
        fits = len(line) == len(columns) == len(row) and row.get("step", "").isdecimal() and len(row["step"]) < 16
        if not fits or not all(_is_number(value) for value in line if value):
            raise RunError(f"{path}, line {number} is damaged. Remove the file to go on without it.")
        rows.append({name: value for name, value in row.items() if value})
    if columns[:1] != ["step"]:
        raise RunError(f"{path} must have `step` as its first column. Remove the file to go on without it.")
    return rows


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
