"""The family: its line of the table, and its objective."""

from __future__ import annotations

import dataclasses

from tests.toy.options import ToyLearning, ToyOptions
from tfres.families import Family


def objective(recipe):
    """The largest resolution teaches all others."""
    from tfres.objectives import SwitchableObjective

    @dataclasses.dataclass(frozen=True)
    class FromLargest(SwitchableObjective):
        """A term `teaching`: the divergence of every resolution from the largest."""

        strength: float = 0.0

        def teaching(self, network, students, targets, task):
            if not self.strength:
                return {}, {}
            return {}, {"teaching": self.strength * sum(task.divergence(students[0], student) for student in students[1:])}

    training = recipe.training
    return FromLargest(weight_decay=training.weight_decay, decay_on=training.decay_on, strength=recipe.objective.strength)


def defaults(options):
    """What fields that are left out become."""
    training = {"engine": "keras", "learning_rate": 0.1, "nesterov": True, "weight_decay": 1e-4, "decay_on": "kernels"}
    data = {"rules": "torchvision", "resize": "bilinear", "flip": "shared", "lighting": 0.0, "channel_order": "rgb"}
    return {"data": data, "training": training}


FAMILY = Family(
    name="toy",
    network="tests.toy.network:ToyNet",
    presets={"toy8": {"channels": 8, "classes": 3, "resolutions": (16, 12)}},
    model_options=ToyOptions,
    objective_options=ToyLearning,
    objective=objective,
    defaults=defaults,
)
