"""A family and a task that the package does not know, added from here: nothing else in the tree names them."""

from __future__ import annotations

from tests.toy.family import FAMILY
from tfres.families import FAMILIES
from tfres.tasks import TASKS, Entry

TASK = "patches"


def install(monkeypatch) -> None:
    """Put the family and the task into the two tables, for one test."""
    monkeypatch.setitem(TASKS, TASK, Entry("tests.toy.task:Patches", "tests.toy.data:PatchesData"))
    monkeypatch.setitem(FAMILIES, FAMILY.name, FAMILY)
