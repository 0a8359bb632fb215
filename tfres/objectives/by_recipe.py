"""The objective of a recipe's family."""

from tfres.models.presets import find
from tfres.objectives.ensemble_distillation import EnsembleDistillation
from tfres.objectives.mutual_learning import MutualLearning
from tfres.objectives.scale_distillation import ScaleDistillation


def make_objective(recipe):
    """The objective that a resolved `Recipe` trains with."""
    training = recipe.training
    common = {name: getattr(training, name) for name in ("kd", "weight_decay", "decay_on", "label_smoothing")}
    family = find(recipe.model.arch)[0]
    if family == "mutualnet":
        return MutualLearning(**common, random_widths=training.random_widths, random_sides=training.random_sides)
    if family == "san":
        return ScaleDistillation(**common, normalise=training.kd_type == "topdown_normalised")
    as_float = recipe.model.mode == "float"
    return EnsembleDistillation(
        **common,
        kd_type=training.kd_type,
        temperature=training.temperature,
        ensemble=as_float,
        divergence="kl" if as_float else "cross_entropy",
    )


def has_ensemble(recipe):
    """Whether a resolved recipe trains an ensemble of several resolutions, so that its accuracy means something."""
    as_float, several = recipe.model.mode == "float", len(recipe.model.resolutions) > 1
    return find(recipe.model.arch)[0] == "rsnet" and (recipe.training.kd or (as_float and several))
