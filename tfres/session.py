"""Recipe and run to objects: what the commands have in common."""

import dataclasses

from tfres.convert import pretrained
from tfres.data.sources import open_source
from tfres.engines import checkpoints
from tfres.engines.training import load_weights, make_crop
from tfres.layers import SwitchableBatchNorm
from tfres.models.rsnet import PRESETS, from_preset
from tfres.models.rsnet.network import check_mode
from tfres.recipe import RecipeError


def resolve(recipe):
    """Fill in what the recipe leaves to the preset and to the data.

    Args:
        recipe: `Recipe`.

    Returns:
        `(resolved recipe, source)`.

    Raises:
        RecipeError: unknown architecture, or a number of classes that the data contradicts.
        DataError: no usable data.
    """
    if recipe.model.arch not in PRESETS:
        raise RecipeError(f"`arch` must be one of {', '.join(PRESETS)}. Received: arch={recipe.model.arch!r}.")
    preset = PRESETS[recipe.model.arch]
    _check_model(recipe.model, preset)
    if recipe.training.init:
        recipe = pretrained.prepare(recipe)
    recipe = recipe.with_conventions()
    resolutions = sorted(recipe.model.resolutions or preset["resolutions"], reverse=True)
    side = recipe.data.side or max(*resolutions, *preset["resolutions"])
    source = open_source(dataclasses.replace(recipe.data, side=side), recipe.model.classes)
    classes = recipe.model.classes or len(source.classes)
    if classes < len(source.classes):
        raise RecipeError(f"`classes` must be at least the data's {len(source.classes)}. Received: classes={classes}.")
    data = dataclasses.replace(
        recipe.data,
        side=side,
        crop=recipe.data.crop or source.crop,
        lighting=source.lighting if recipe.data.lighting is None else recipe.data.lighting,
        mean=list(recipe.data.mean or source.mean),
        std=list(recipe.data.std or source.std),
    )
    model = dataclasses.replace(recipe.model, resolutions=resolutions, classes=classes)
    return dataclasses.replace(recipe, model=model, data=data), source


def _check_model(model, preset):
    bits = (None if b == 32 else b for b in (model.weight_bits, model.activation_bits))
    try:
        check_mode(preset["kind"], model.mode, *bits)
    except ValueError as error:
        raise RecipeError(str(error)) from error
    if model.calibrated:
        raise RecipeError(f"`calibrated` is filled in by tfres.calibrate. Received: calibrated={model.calibrated}.")


def build_model(recipe, synchronised=False, precision="float32"):
    """A new built network of a resolved `ModelRecipe`.

    Args:
        recipe: `ModelRecipe`.
        synchronised: see `RSNet`.
        precision: Keras' dtype policy.
    """
    fields = {name: value for name, value in dataclasses.asdict(recipe).items() if name != "arch"}
    model = from_preset(recipe.arch, synchronised=synchronised, dtype=precision, **fields)
    model.build()
    return model


def build_training_model(recipe):
    """A new built network of a resolved `Recipe`, as its training wants it."""
    return build_model(recipe.model, recipe.training.synchronised_norms, recipe.training.precision)


def load_run(run, checkpoint=None):
    """The network of a run with the weights of its newest checkpoint, and its crop layer.

    Args:
        run: `Run`.
        checkpoint: another checkpoint's prefix.

    Returns:
        `(model, MultiResolutionCrop)`.

    Raises:
        RecipeError: no run there. CheckpointError: no checkpoint, or of another network.
    """
    recipe = run.recipe()
    model = build_model(recipe.model)
    load_weights(model, checkpoint or run.checkpoints)
    return model, make_crop(recipe)


def checkpoint_of_step(run, step):
    """Prefix of the checkpoint of a step.

    Raises:
        CheckpointError: the run has none of that step (those it has are named).
    """
    prefix = run.checkpoints / f"{checkpoints.PREFIX}-{step}"
    if not prefix.with_name(prefix.name + ".index").exists():
        kept = sorted(int(path.stem.split("-")[1]) for path in run.checkpoints.glob("model-*.index"))
        raise checkpoints.CheckpointError(f"{run.path} has no checkpoint of step {step}; it has {kept}.")
    return str(prefix)


def borrow_statistics(model, resolution, other, other_resolution):
    """Overwrite the moving means and variances of one resolution's norms by another network's.

    Raises:
        CheckpointError: the networks differ.
    """
    norms, others = (
        [layer for layer in network._flatten_layers() if isinstance(layer, SwitchableBatchNorm)] for network in (model, other)
    )
    if len(norms) != len(others) or other_resolution not in [s.resolution for s in other.settings]:
        raise checkpoints.CheckpointError(
            f"The run that lends its statistics must have the same architecture and be trained at {other_resolution}."
        )
    for norm, lender in zip(norms, others, strict=True):
        for name in ("moving_mean", "moving_variance"):
            norm.branch(f"r{resolution}")[name].assign(lender.branch(f"r{other_resolution}")[name])
