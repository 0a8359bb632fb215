"""The recipe: groups of options, by name."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from tfres.errors import RecipeError
from tfres.recipe.options import TrainingOptions
from tfres.recipe.values import build, check, fields_of

GROUPS = ("model", "objective", "data", "training")


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Everything that determines a run.

    Args:
        task: name of the task.
        model: `arch`, the name of a preset, and the options of its family's networks; None is left to the preset.
        objective: the family's options of how it learns.
        data: the task's options of pictures and targets.
        training: `TrainingOptions`.
    """

    task: str
    model: Any
    objective: Any
    data: Any
    training: TrainingOptions

    def __post_init__(self) -> None:
        parts, batch = max(1, len(self.training.devices)) * self.training.accumulate, self.data.batch_size
        check(batch % parts == 0, "batch_size", f"a multiple of the {parts} parts it is cut into", batch)
        marks, schedule = self.training.milestones, self.training.schedule
        check(marks is None or schedule == "schedule", "milestones", "left out unless `schedule` is schedule", marks)
        epochs, usual = self.training.step_epochs, TrainingOptions.step_epochs
        check(epochs == usual or schedule == "step", "step_epochs", "left out unless `schedule` is step", epochs)

    @classmethod
    def build(cls, task: str, kinds: Mapping[str, type], values: Mapping[str, Any]) -> Recipe:
        """A recipe from nested mappings.

        Args:
            task: name of the task.
            kinds: the dataclass of every group.
            values: group -> field -> value; groups and fields may be left out.

        Raises:
            RecipeError: an unknown name (the nearest is named) or a value that is not allowed.
        """
        for group in GROUPS:
            for name in values.get(group) or {}:
                homes = [other for other in GROUPS if name in fields_of(kinds[other])]
                if homes and group not in homes:
                    raise RecipeError(f"Unknown recipe key `{group}.{name}`. Did you mean `{homes[0]}.{name}`?")
        return cls(task, **{group: build(kinds[group], values.get(group) or {}, f"{group}.") for group in GROUPS})

    def replace(self, **groups: Mapping[str, Any]) -> Recipe:
        """The recipe with some fields changed: `recipe.replace(training={"epochs": 2})`."""
        return dataclasses.replace(
            self, **{name: dataclasses.replace(getattr(self, name), **fields) for name, fields in groups.items()}
        )

    def filled(self, **groups: Mapping[str, Any]) -> Recipe:
        """The recipe with fields that are left out (None) filled in; what a group does not have is nobody's concern, such as
        a family's wishes for data of another task.
        """
        missing = {}
        for name, fields in groups.items():
            group = getattr(self, name)
            left_out = {field.name for field in dataclasses.fields(group) if getattr(group, field.name) is None}
            missing[name] = {field: value for field, value in fields.items() if field in left_out}
        return self.replace(**missing)

    def to_dict(self) -> dict[str, Any]:
        """As nested mappings of plain values, for `build` and for YAML."""
        return {"task": self.task, **{name: _plain(dataclasses.asdict(getattr(self, name))) for name in GROUPS}}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value
