"""A reference's checkpoint as a run of ours."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from tfres.convert import from_reference, load_family
from tfres.errors import CheckpointError, RecipeError
from tfres.models.weights import variable_name
from tfres.run import Run, checkpoints

if TYPE_CHECKING:
    import os

# What every Keras model has in its configuration; the rest are the network's options.
_OF_KERAS = ("name", "trainable", "dtype")


def convert_to_run(
    family: str,
    arch: str,
    checkpoint: str | os.PathLike,
    out: str | os.PathLike,
    data: str = "none",
    **options: Any,  # noqa: ANN401
) -> Run:
    """Write a run that evaluates, fine-tunes and exports.

    Args:
        family: one of `tfres.convert.FAMILIES`.
        arch: the reference's name of the network.
        checkpoint: the reference's file, or prefix of a TensorFlow checkpoint.
        out: folder of the new run, which must not hold one.
        data: pictures that the run is evaluated on by default.
        options: see the family's module; those in its `OPTIONS`.

    Returns:
        `Run`.

    Raises:
        RecipeError: a run is there; unknown family, architecture or option; tensors that do not fit the network.
        RunError: the folder holds something else. CheckpointError: unreadable. Nothing is written then.
    """
    from tfres.session import convention

    run = Run(out)
    if run.exists():
        raise RecipeError(f"`out` must not hold a run yet. Received: out={run.path}.")
    try:
        module = load_family(family)
        wrong = [name for name in options if name not in module.OPTIONS]
        if wrong:
            raise RecipeError(f"`{wrong[0]}` is no option of {family}. Received: {wrong[0]}={options[wrong[0]]}.")
        model = from_reference(family, arch, module.read(checkpoint, arch), **options)
        recipe = module.recipe(arch, model.get_config())
    except (CheckpointError, RecipeError):
        raise
    except ValueError as error:
        raise RecipeError(str(error)) from error
    recipe = dataclasses.replace(recipe, data=dataclasses.replace(recipe.data, source=data))
    recipe = recipe.with_conventions(convention(family))
    run.create(recipe.to_dict(), {"classes": [str(i) for i in range(recipe.model.classes)]})
    try:
        settings = {name: value for name, value in model.get_config().items() if name not in _OF_KERAS}
        run.write_network({"family": module.FAMILY, "options": settings})
        run.checkpoints.mkdir(exist_ok=True)
        saver = checkpoints.make_saver({variable_name(variable): variable for variable in model.weights}, run.checkpoints, 1)
        checkpoints.save(saver, None, run.checkpoints, 0)
    except BaseException:
        run.delete()
        raise
    return run
