"""A reference's checkpoint as a run of ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tfres.convert import from_reference, load_family
from tfres.errors import CheckpointError, RecipeError
from tfres.families.recipes import read_recipe, resolve_network
from tfres.models.weights import variable_name
from tfres.run import Run, checkpoints

if TYPE_CHECKING:
    import os


def convert_to_run(
    family: str,
    arch: str,
    checkpoint: str | os.PathLike,
    out: str | os.PathLike,
    data: str = "none",
    **options: Any,
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
    run = Run(out)
    if run.exists():
        raise RecipeError(f"`out` must not hold a run yet. Received: out={run.path}.")
    try:
        module = load_family(family)
        wrong = [name for name in options if name not in module.OPTIONS]
        if wrong:
            raise RecipeError(f"`{wrong[0]}` is no option of {family}. Received: {wrong[0]}={options[wrong[0]]}.")
        model = from_reference(family, arch, module.read(checkpoint, arch), **options)
        values = module.recipe(arch, model.options.to_dict())
        values["data"]["source"] = data
        recipe = resolve_network(read_recipe(values))
    except (CheckpointError, RecipeError):
        raise
    except ValueError as error:
        raise RecipeError(str(error)) from error
    run.create(recipe.to_dict(), {"classes": [str(i) for i in range(recipe.model.classes)]})
    try:
        run.write_network({"family": module.FAMILY, "options": model.options.to_dict()})
        run.checkpoints.mkdir(exist_ok=True)
        saver = checkpoints.make_saver({variable_name(variable): variable for variable in model.weights}, run.checkpoints, 1)
        checkpoints.save(saver, None, run.checkpoints, 0)
    except BaseException:
        run.delete()
        raise
    return run
