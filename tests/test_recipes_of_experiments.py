"""Every committed recipe is resolved, and trains for two steps: narrow, shallow, at two small sizes, on small pictures."""

import pathlib

import pytest
import tensorflow as tf
import yaml

from tests.data.pictures import write_pictures
from tests.tasks.pose.people import write_folder
from tests.tasks.segmentation.scenes import own_folder
from tfres.engines.plan import Plan, train
from tfres.families.networks import describe_network
from tfres.families.recipes import family_of, network_options, read_recipe, resolve, resolve_network
from tfres.recipe import Recipe
from tfres.run import Run
from tfres.settings import Setting

ROOT = pathlib.Path(__file__).parent.parent
RECIPES = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "experiments").rglob("*.yaml"))
# They differ from a neighbour in the network alone, and their networks are trained in tests of the families.
_LIKE_OTHERS = {
    "experiments/mutualnet/imagenet_mobilenet_v1.yaml",
    "experiments/mutualnet/imagenet_resnet50.yaml",
    "experiments/ranet/cifar10_paper.yaml",
    "experiments/rsnet/imagenet_resnet50.yaml",
    "experiments/rsnet/imagenet_resnet50_w2a2.yaml",
    "experiments/rsnet/imagenet_resnet50_w2a32.yaml",
    "experiments/san/imagenet_resnet50.yaml",
}


@pytest.fixture(autouse=True)
def _eager():
    """The keras engine without graphs, which take longer to make than the steps."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Folders by the name of the task."""
    root = tmp_path_factory.mktemp("pictures")
    write_pictures(root / "classes", {"train": {"a": 4, "b": 4}, "val": {"a": 1, "b": 1}})
    folders = {"classification": root / "classes", "segmentation": own_folder(root / "pixels", train=4, val=1)}
    return {**folders, "pose": write_folder(root / "people")}


def _read(path) -> Recipe:
    return read_recipe(yaml.safe_load((ROOT / path).read_text(encoding="utf-8")))


def _shrunk(size):
    """A side, or height and width, of few pixels."""
    if isinstance(size, tuple):
        return tuple(side // 10 for side in size)
    return size if size <= 32 else size // 7


def _small(recipe, pictures) -> Recipe:
    """The recipe on small pictures, its network narrow and shallow; everything else as it is."""
    options, given = network_options(recipe), recipe.model
    settings = sorted(map(Setting.parse, options["resolutions"]))[:: max(1, len(options["resolutions"]) - 1)]
    sizes = {setting.resolution: _shrunk(setting.resolution) for setting in settings}
    model = {"resolutions": list(sizes.values())}
    if options.get("widths") and options.get("blocks"):
        model["widths"] = [8 * number for number, _ in enumerate(options["widths"], 1)]
        model["blocks"] = [1] * len(options["blocks"])
    elif "scales" in vars(given):
        model |= {"channels": 2, "growth": 4, "step": 1, "blocks": 1, "block_step": 1}
    elif "width_range" in vars(given):
        model["width_range"] = [width / 8 for width in options["width_range"]]
    elif "modules" in vars(given):
        model |= {
            "resolutions": ["32x32"],
            "width": 2,
            "stem_width": 4,
            "modules": [1, 1, 1],
            "blocks": 1,
            "least_blocks": 1,
            "subnets": ["full"],
        }
    else:
        model["width_mult"] = 0.125
    if "minimum" in vars(given):
        model["minimum"] = 8  # or the reference's rounding makes more channels of 0.25 x 8 than of 8
    if options.get("encodings"):
        model["encodings"] = {sizes[side]: number for side, number in options["encodings"].items() if side in sizes}
    data = {"source": str(pictures[recipe.task]), "batch_size": 2, "holdout": recipe.data.holdout and 0.25}
    return recipe.replace(
        model=model, data=data, training={"epochs": 1, "steps_per_epoch": 2, "saves_per_epoch": 1, "select": "last"}
    )


def test_there_are_recipes_of_every_family():
    assert len(RECIPES) > 15
    assert {path.split("/")[1] for path in RECIPES} >= {family_of(_read(path)).name for path in RECIPES}


@pytest.mark.parametrize("path", RECIPES)
def test_recipe_is_whole(path):
    """Its own fields go together, and it says how it is run."""
    recipe = resolve_network(_read(path))
    assert describe_network(recipe)["options"]["resolutions"] == sorted(recipe.model.resolutions, reverse=True)
    comment = [line for line in (ROOT / path).read_text(encoding="utf-8").splitlines() if line.startswith("#")]
    assert any(f"python -m tfres.train --recipe {path}" in line for line in comment)


@pytest.mark.filterwarnings("ignore:Even though the `tf.config.experimental_run_functions_eagerly`")
@pytest.mark.parametrize("path", sorted({*RECIPES} - _LIKE_OTHERS))
def test_recipe_trains(path, pictures, tmp_path, monkeypatch):
    monkeypatch.setattr(Plan, "evaluator", lambda plan, network: dict)  # validation is tested elsewhere
    recipe, task, source = resolve(_small(_read(path), pictures))
    run = Run(tmp_path / "run")
    run.create(recipe.to_dict(), {"classes": source.classes})
    plan = train(recipe, run, task, source)
    assert plan.total_steps == 2
    lines = run.path.joinpath("metrics.csv").read_text(encoding="utf-8").splitlines()
    assert len(lines) >= 2
