"""RS-Nets: private batch norms per resolution, distillation from their ensemble; float and low-bit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tfres.families.family import Family
from tfres.models.rsnet.options import RSNetOptions
from tfres.models.rsnet.presets import PRESETS
from tfres.objectives.options import EnsembleOptions

if TYPE_CHECKING:
    from tfres.objectives import Objective
    from tfres.recipe import Recipe

FLOAT = {
    "data": {
        "rules": "torchvision", "resize": "bilinear", "flip": "independent", "lighting": 0.0,
        "mean": [0.0] * 3, "std": [1.0] * 3, "channel_order": "rgb",
    },
    "training": {"engine": "keras", "learning_rate": 0.1, "nesterov": False, "weight_decay": 1e-4, "decay_on": "all"},
}  # fmt: skip
QUANTIZED = {
    "data": {
        "rules": "tensorpack", "resize": "nearest", "flip": "shared", "channel_order": "rgb"
    },
    "training": {"engine": "tensorpack", "learning_rate": 0.05, "nesterov": True, "weight_decay": 5e-5, "decay_on": "kernels"},
}  # fmt: skip


def defaults(options: RSNetOptions) -> dict[str, dict[str, Any]]:
    """As the float half of the reference in mode float, otherwise as its quantized half."""
    return FLOAT if options.mode == "float" else QUANTIZED


def objective(recipe: Recipe) -> Objective:
    """Ensemble distillation; in mode float the ensemble is always trained."""
    from tfres.objectives import EnsembleDistillation

    as_float = recipe.model.mode == "float"
    return EnsembleDistillation(
        kd=recipe.objective.kd,
        kd_type=recipe.objective.kd_type,
        temperature=recipe.objective.temperature,
        weight_decay=recipe.training.weight_decay,
        decay_on=recipe.training.decay_on,
        ensemble=as_float,
        divergence="kl" if as_float else "cross_entropy",
    )


FAMILY = Family(
    name="rsnet",
    network="tfres.models.rsnet.network:RSNet",
    presets=PRESETS,
    model_options=RSNetOptions,
    objective_options=EnsembleOptions,
    objective=objective,
    defaults=defaults,
    engines=("tensorpack", "keras"),
    pretrained={"keras_resnet50": "tfres.models.rsnet.pretrained"},
)
