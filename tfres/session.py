"""Recipe and run to objects: what the commands have in common."""

import dataclasses
import inspect
import itertools
import pathlib

from tfres.convert import pretrained
from tfres.data.pipeline import training_batches
from tfres.data.sources import open_source
from tfres.engines import checkpoints
from tfres.engines.training import load_weights, make_crop
from tfres.layers import SwitchableBatchNorm
from tfres.models.presets import find
from tfres.recipe import CONVENTIONS, Recipe, RecipeError, TrainingRecipe

# Kinds of distillation by family, the default first.
_KD_TYPES = {"rsnet": ("ens_topdown", "ens"), "san": ("topdown", "topdown_normalised"), "mutualnet": (None,)}


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
    family, _, preset, arguments = _network(recipe.model)
    if recipe.training.init:
        recipe = pretrained.prepare(recipe)
    recipe = recipe.with_conventions(convention(family))
    recipe = dataclasses.replace(recipe, training=_teaching(family, {**preset, **arguments}, recipe.training))
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


def convention(family):
    """Key of `CONVENTIONS` of a family; None for the mode's."""
    return family if family in CONVENTIONS else None


def _teaching(family, network, training):
    """The `TrainingRecipe` with the family's kind of distillation; `network` are the constructor's arguments.

    Raises:
        RecipeError: options that the family's distillation does not have.
    """
    kinds = _KD_TYPES[family]
    kind = training.kd_type or kinds[0]
    if kind not in kinds:
        known = ", ".join(map(str, kinds)).replace("None", "left out")
        raise RecipeError(f"`kd_type` must be one of {known} for {family}. Received: kd_type={kind!r}.")
    owners = {"temperature": ("rsnet", "RS-Nets"), "random_widths": ("mutualnet",) * 2, "random_sides": ("mutualnet",) * 2}
    for name, (owner, called) in owners.items():
        value = getattr(training, name)
        if family != owner and value != getattr(TrainingRecipe, name):
            raise RecipeError(f"`{name}` belongs to {called}. Received: {name}={value!r}.")
    for name, neutral in (("engine", "keras"), ("low_memory", False)):
        if family == "mutualnet" and getattr(training, name) != neutral:
            raise RecipeError(f"`{name}` must be {neutral} for mutualnet. Received: {name}={getattr(training, name)!r}.")
    training = dataclasses.replace(training, kd_type=kind)
    if family != "mutualnet":
        return training
    switches = bool(network.get("private") or network.get("channel_lists"))
    widths = (0 if switches else 2) if training.random_widths is None else training.random_widths
    if switches and widths:
        raise RecipeError(f"`random_widths` must be 0 where norms are private to the width. Received: random_widths={widths}.")
    sides = not switches if training.random_sides is None else training.random_sides
    return dataclasses.replace(training, random_widths=widths, random_sides=sides)


def _network(recipe):
    """Family, class, preset and constructor arguments of a `ModelRecipe`'s network.

    Raises:
        RecipeError: unknown architecture, fields that its family does not have, or an arrangement that does not exist.
    """
    try:
        family, kind, preset = find(recipe.arch)
        known = inspect.signature(kind.__init__).parameters
        arguments = {}
        for field in dataclasses.fields(recipe):
            value = getattr(recipe, field.name)
            if field.name in known:
                arguments |= {} if value is None else {field.name: value}
            elif field.name != "arch" and value != field.default:
                raise RecipeError(f"`{field.name}` is no option of {recipe.arch}. Received: {field.name}={value!r}.")
        kind.check({**preset, **arguments})
    except RecipeError:
        raise
    except ValueError as error:
        raise RecipeError(str(error)) from error
    return family, kind, preset, arguments


def build_architecture(recipe):
    """A network of a `ModelRecipe` that no data belong to, with the preset's resolutions and classes where it has none."""
    family, _, preset, _ = _network(recipe)
    whole = dataclasses.replace(
        recipe, resolutions=recipe.resolutions or list(preset["resolutions"]), classes=recipe.classes or preset["classes"]
    )
    return build_model(Recipe(whole).with_conventions(convention(family)).model)


def build_model(recipe, **overrides):
    """A new built network of a resolved `ModelRecipe`; `overrides` are further arguments of its class."""
    _, kind, preset, arguments = _network(recipe)
    model = kind(**{**preset, **arguments, **overrides})
    model.build()
    return model


def build_training_model(recipe):
    """A new built network of a resolved `Recipe`, as its training wants it."""
    return build_model(recipe.model, synchronised=recipe.training.synchronised_norms, dtype=recipe.training.precision)


def load_run(run, checkpoint=None, with_calibrated=True):
    """The network of a run with the weights of its newest checkpoint, and its crop layer.

    Args:
        run: `Run`.
        checkpoint: another checkpoint's prefix.
        with_calibrated: whether resolutions that `tfres.calibrate` added for that checkpoint are among its settings.

    Returns:
        `(model, MultiResolutionCrop)`.

    Raises:
        RecipeError: no run there. CheckpointError: no checkpoint, or of another network.
    """
    recipe = run.recipe()
    checkpoint = checkpoint or checkpoints.find_checkpoint(run.checkpoints)
    model = build_model(recipe.model)
    load_weights(model, checkpoint)
    branches = run.calibrated(pathlib.Path(checkpoint).name) if with_calibrated else {}
    return model.extended(branches) if branches else model, make_crop(recipe)


def calibration_pictures(recipe, source, batches, cut="training"):
    """Training pictures for calibration.

    Args:
        recipe: resolved `Recipe`.
        source: `Source`.
        batches: how many batches; the same pictures for every resolution.
        cut: "training" (random crops, flips and augmentations) or "evaluation".

    Returns:
        function of a resolution giving an iterator of batches as the network wants them.
    """
    kept, seed = [], recipe.training.seed

    def pictures(resolution):
        crop = make_crop(dataclasses.replace(recipe, model=dataclasses.replace(recipe.model, resolutions=[resolution])))
        if cut == "evaluation":
            anew = recipe.data.cuts_anew and recipe.data.crop == "area"
            side = resolution if anew else recipe.data.side
            data = dataclasses.replace(recipe.data, crop="none", side=side, augment=[])
            for images, _, _ in itertools.islice(training_batches(source, data, seed), batches):
                yield crop.at(images, resolution)
            return
        if not kept:
            kept.extend(itertools.islice(training_batches(source, recipe.data, seed, draws=crop.draws), batches))
        for images, _, draws in kept:
            yield crop(images, draws=draws, training=True)[resolution]

    return pictures


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
