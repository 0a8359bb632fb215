"""Networks of recipes and of runs."""

from __future__ import annotations

import pathlib
from typing import TYPE_CHECKING, Any

from tfres.errors import RecipeError, RunError
from tfres.families import FAMILIES
from tfres.families.recipes import family_of, network_options, read_recipe
from tfres.recipe import Recipe
from tfres.run import Run

if TYPE_CHECKING:
    from tfres.models.network import Network


def describe_network(recipe: Recipe) -> dict[str, Any]:
    """What `network.json` of a run holds: the family and the constructor's arguments."""
    from tfres.models.options import read_options

    family = family_of(recipe)
    return {"family": family.name, "options": read_options(family.model_options, network_options(recipe)).to_dict()}


def make_network(description: dict[str, Any], dtype: Any = None) -> Network:
    """A built network with random weights from what `describe_network` gave.

    Raises:
        RunError: an unknown family, or arguments that its networks do not have.
    """
    family = FAMILIES.get(description.get("family"))
    if family is None:
        known = ", ".join(FAMILIES)
        raise RunError(f"`family` of network.json must be one of {known}. Received: family={description.get('family')!r}.")
    try:
        network = family.network_class()(dtype=dtype, **description["options"])
    except (KeyError, TypeError, ValueError) as error:
        raise RunError(f"network.json does not describe a network of {family.name}: {error}") from error
    network.build()
    return network


def build_network(recipe: Recipe, dtype: Any = None) -> Network:
    """A new built network of a resolved recipe.

    Raises:
        RecipeError: arguments that its networks do not have.
    """
    options = describe_network(recipe)["options"]
    try:
        network = family_of(recipe).network_class()(dtype=dtype, **options)
    except ValueError as error:
        raise RecipeError(str(error)) from error
    network.build()
    return network


def read_run_recipe(run: Run) -> Recipe:
    """The resolved recipe of a run.

    Raises:
        RunError: no run there, or a damaged recipe.
    """
    try:
        return read_recipe(run.recipe())
    except RunError:
        raise
    except ValueError as error:
        raise RunError(f"{run.path / 'recipe.yaml'} is damaged: {error}") from error


def load_network(run: Run, checkpoint: str | None = None, with_calibrated: bool = True) -> Network:
    """The network of a run as its own `network.json` describes it, with the weights of its newest checkpoint.

    Args:
        run: `Run`.
        checkpoint: another checkpoint's prefix.
        with_calibrated: whether settings that calibration added for that checkpoint are among its settings.

    Raises:
        RunError: no run there, or a damaged file. CheckpointError: no checkpoint, or of another network.
    """
    from tfres.models.weights import load_weights

    network = make_network(run.network())
    checkpoint = checkpoint or run.checkpoint()
    load_weights(network, checkpoint)
    return network.extended(run.calibrated(pathlib.Path(checkpoint).name)) if with_calibrated else network


def load_run(path: Any) -> Network:
    """The network of a run's folder with the weights of its newest checkpoint; see `load_network`."""
    return load_network(Run(path))
