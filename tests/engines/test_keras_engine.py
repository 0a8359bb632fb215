"""What only the keras engine offers: precision, averages, accumulation, low memory, replicas."""

import numpy as np
import pytest
from tfres.engines.checkpoints import AVERAGE
from tfres.engines.training import load_weights

from tests.engines.plans import make_recipe
from tests.engines.test_training import _final
from tests.models.test_rsnet import tiny
from tests.reference import relative
from tfres import session
from tfres.engines import latest_checkpoint, read_checkpoint, train
from tfres.recipe import DataRecipe, ModelRecipe, Recipe, RecipeError, TrainingRecipe
from tfres.run import Run


def _float_recipe(**training):
    recipe = Recipe(
        ModelRecipe(arch="vgg_small", mode="float", resolutions=[16, 12], classes=5, width_mult=0.0625),
        DataRecipe(source="fake", batch_size=8, fake_size=16, side=16),
        TrainingRecipe(**{"epochs": 2, "saves_per_epoch": 1, "learning_rate": 0.02, **training}),
    )
    return session.resolve(recipe)


def _train(folder, **training):
    recipe, source = _float_recipe(**training)
    run = Run(folder)
    run.create(recipe, {"classes": source.classes})
    train(recipe, run, source, lambda: session.build_training_model(recipe))
    return run


def _assert_alike(one, other, bound=1e-4):
    assert set(one) == set(other)
    for name, value in one.items():
        assert relative(other[name], value) < bound or np.abs(other[name] - value).max() < 0.01 * bound, name


def test_low_memory_ends_alike(tmp_path):
    _assert_alike(_final(_train(tmp_path / "plain", kd=True)), _final(_train(tmp_path / "low", kd=True, low_memory=True)))


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision(tmp_path, precision):
    """Variables stay float32, values are near those of float32, runs resume with their loss scale."""
    plain, mixed = _final(_train(tmp_path / "plain")), _final(run := _train(tmp_path / "mixed", precision=precision))
    scale = {name for name in mixed if name.startswith("loss_scale/")}
    assert set(mixed) - scale == set(plain) and bool(scale) == (precision == "mixed_float16")
    assert all(value.dtype == np.float32 for name, value in mixed.items() if "/kernel" in name)
    kernel = "backbone/conv1/kernel"
    assert 0 < relative(mixed[kernel], plain[kernel]) < 0.2
    model, _ = session.load_run(run)
    assert model.compute_dtype == "float32"


def test_moving_average_of_the_weights(tmp_path):
    """average <- 0.5 average + 0.5 weight after every step; evaluation and export use it."""
    first = _final(_train(tmp_path / "one", ema=0.5, epochs=1, steps_per_epoch=1, schedule="constant"))
    run = _train(tmp_path / "two", ema=0.5, epochs=2, steps_per_epoch=1, schedule="constant")
    second = _final(run)
    name = "backbone/conv0/kernel"
    np.testing.assert_allclose(second[name + AVERAGE], (first[name + AVERAGE] + second[name]) / 2, rtol=1e-5, atol=1e-7)
    model, _ = session.load_run(run)
    np.testing.assert_array_equal(model.backbone.convs[0].kernel, second[name + AVERAGE])
    assert not np.array_equal(second[name], second[name + AVERAGE])


def test_accumulation_is_as_many_replicas(tmp_path):
    """Two parts after one another, and two replicas on two processors: the same norms per part, the same weights."""
    parts = _final(_train(tmp_path / "parts", accumulate=2))
    replicas = _final(_train(tmp_path / "replicas", strategy="mirrored"))
    _assert_alike(parts, replicas)


def test_synchronised_norms_make_two_replicas_one(tmp_path):
    one = _final(_train(tmp_path / "one"))
    two = _final(_train(tmp_path / "two", strategy="mirrored", synchronised_norms=True))
    apart = _final(_train(tmp_path / "apart", strategy="mirrored"))
    _assert_alike(one, two)
    kernel = "backbone/conv0/kernel"
    assert relative(apart[kernel], one[kernel]) > 1e-3


def test_quantized_under_replicas(tmp_path):
    """Bases are solved from the sums over replicas: two replicas move them as one device does with synchronised norms."""
    finals = []
    for name, training in (("one", {}), ("two", {"strategy": "mirrored", "synchronised_norms": True})):
        recipe, source = make_recipe("keras", epochs=1, steps_per_epoch=1, saves_per_epoch=1, **training)
        run = Run(tmp_path / name)
        run.create(recipe, {"classes": source.classes})
        train(recipe, run, source, lambda: tiny(blocks=(1,), widths=(4,), synchronised=True))
        finals.append(_final(run))
    bases = [name for name in finals[0] if name.endswith("/basis")]
    assert bases
    for name in bases:
        assert relative(finals[1][name], finals[0][name]) < 1e-3, name


def test_resumed_replicas(tmp_path):
    _train(tmp_path / "run", strategy="mirrored", epochs=1, schedule="constant")
    run = Run(tmp_path / "run")
    (run.path / "recipe.yaml").unlink()
    final = _final(_train(tmp_path / "run", strategy="mirrored", epochs=2, schedule="constant"))
    _assert_alike(_final(_train(tmp_path / "whole", strategy="mirrored", epochs=2, schedule="constant")), final)


def test_multiworker_without_configuration(tmp_path, monkeypatch):
    for text in ("", "{}", '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 3}}'):
        monkeypatch.setenv("TF_CONFIG", text)
        with pytest.raises(RecipeError, match="`strategy` multiworker needs TF_CONFIG like"):
            _train(tmp_path / "run", strategy="multiworker")


def test_load_takes_the_averages(tmp_path):
    run = _train(tmp_path / "run", ema=0.5)
    model = session.build_model(run.recipe().model)
    load_weights(model, run.path)
    averages = read_checkpoint(latest_checkpoint(run.checkpoints))
    np.testing.assert_array_equal(model.classifier.kernel, averages["linear/kernel" + AVERAGE])
