"""How families learn: `objective(model, images, labels) -> Outcome` with named loss terms."""

from tfres.objectives.ensemble_distillation import EnsembleDistillation, Outcome

__all__ = ["EnsembleDistillation", "Outcome"]
