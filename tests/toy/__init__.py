"""A family and a task that the package does not know, added from here: nothing else in the tree names them."""

from __future__ import annotations

import dataclasses

from tests.toy.family import FAMILY
from tfres.families import FAMILIES
from tfres.tasks import TASKS, Entry

TASK = "patches"


def install(monkeypatch) -> None:
    """Put the family and the task into the two tables, for one test; the package's families take up the task too."""
    monkeypatch.setitem(TASKS, TASK, Entry("tests.toy.task:Patches", "tests.toy.data:PatchesData"))
    for name, family in list(FAMILIES.items()):
        monkeypatch.setitem(FAMILIES, name, dataclasses.replace(family, tasks=(*family.tasks, TASK)))
    monkeypatch.setitem(FAMILIES, FAMILY.name, FAMILY)
