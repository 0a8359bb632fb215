"""How families learn: `objective(model, images, labels) -> Outcome` with named loss terms."""

from tfres.objectives.by_recipe import has_ensemble, make_objective
from tfres.objectives.classification import Outcome
from tfres.objectives.ensemble_distillation import EnsembleDistillation
from tfres.objectives.mutual_learning import MutualLearning
from tfres.objectives.scale_distillation import ScaleDistillation

__all__ = ["EnsembleDistillation", "MutualLearning", "Outcome", "ScaleDistillation", "has_ensemble", "make_objective"]
