"""The typed description of a run. Its fields come from the dataclasses of the family and the task; no TensorFlow here."""

from tfres.recipe.options import EvaluationOptions, PolicyOptions, TrainingOptions, learning_rate
from tfres.recipe.recipe import Recipe
from tfres.recipe.values import build, check, describe, partial, read_text, read_value

__all__ = [
    "EvaluationOptions",
    "PolicyOptions",
    "Recipe",
    "TrainingOptions",
    "build",
    "check",
    "describe",
    "learning_rate",
    "partial",
    "read_text",
    "read_value",
]
