"""Float networks on picture files in both engines; mixed and smoothed labels."""

import csv
import dataclasses

import numpy as np
import pytest

from tests.data.conftest import write_pictures
from tests.engines.plans import build_model, make_recipe
from tests.reference import relative
from tfres import session
from tfres.engines import latest_checkpoint, read_checkpoint, train
from tfres.recipe import DataRecipe, ModelRecipe, Recipe, TrainingRecipe
from tfres.run import Run


def _rows(run):
    with open(run.path / "metrics.csv") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("pictures")
    write_pictures(root, {"train": {"a": 6, "b": 6}, "val": {"a": 3, "b": 2}}, side=24)
    return root


def test_engines_agree_on_a_float_network(folder, tmp_path):
    """Training, and validation with pictures resized anew for each resolution."""
    finals, rows = [], []
    for engine in ("keras", "tensorpack"):
        recipe = Recipe(
            ModelRecipe(arch="vgg_small", mode="float", resolutions=[20, 16, 12], width_mult=0.0625),
            DataRecipe(source=str(folder), batch_size=4, side=20),
            TrainingRecipe(engine=engine, epochs=1, saves_per_epoch=1, learning_rate=0.01, kd=True),
        )
        recipe, source = session.resolve(recipe)
        run = Run(tmp_path / engine)
        run.create(recipe, {"classes": source.classes})
        train(recipe, run, source, lambda recipe=recipe: session.build_training_model(recipe))
        finals.append(read_checkpoint(latest_checkpoint(run.checkpoints)))
        rows.append(_rows(run)[-1])
    assert finals[0]["global_step"] == finals[1]["global_step"] == 3
    for name in set(finals[0]) & set(finals[1]) - {"global_step"}:
        assert relative(finals[0][name], finals[1][name]) < 1e-3 or np.abs(finals[0][name] - finals[1][name]).max() < 1e-4, (
            name
        )
    shared = [name for name in rows[0] if name.startswith(("train_", "validation_"))]
    assert "validation_top1_ensemble" in shared and len(shared) > 8
    for name in shared:
        assert float(rows[0][name]) == pytest.approx(float(rows[1][name]), rel=1e-3), name


@pytest.mark.parametrize("engine", ["keras", "tensorpack"])
def test_mixed_and_smoothed_labels(tmp_path, engine):
    """The cross entropy stays above the entropy of the smoothed labels."""
    recipe, source = make_recipe(engine, epochs=1, saves_per_epoch=1, label_smoothing=0.5)
    recipe = dataclasses.replace(recipe, data=dataclasses.replace(recipe.data, augment=[{"name": "MixUp"}]))
    run = Run(tmp_path / "run")
    run.create(recipe, {"classes": source.classes})
    train(recipe, run, source, build_model)
    target = np.array([0.6, 0.1, 0.1, 0.1, 0.1])
    assert float(_rows(run)[-1]["train_cross_entropy_r16"]) > -(target * np.log(target)).sum()
