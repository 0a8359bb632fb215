"""How families learn: which settings run in a step and who teaches whom. Loaded on first use."""

from tfres.lazy import lazily

_PLACES = {
    "EnsembleDistillation": "tfres.objectives.ensemble_distillation",
    "ExitsObjective": "tfres.objectives.exits",
    "MutualLearning": "tfres.objectives.mutual_learning",
    "Objective": "tfres.objectives.base",
    "OneShot": "tfres.objectives.one_shot",
    "Outcome": "tfres.objectives.base",
    "ScaleDistillation": "tfres.objectives.scale_distillation",
    "SwitchableObjective": "tfres.objectives.base",
}
__all__ = list(_PLACES)
__getattr__ = lazily(__name__, _PLACES)
