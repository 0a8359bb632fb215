"""What only the keras engine offers: precision, averages, accumulation, low memory, replicas."""

import numpy as np
import pytest

from tests.engines.plans import FLOAT, LOW_BIT, assert_alike, final, train, train_float
from tests.reference import relative
from tfres.errors import RecipeError
from tfres.families.networks import load_network
from tfres.run import Run
from tfres.run.checkpoints import AVERAGE, SLOT


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """Tensors of a plain float run."""
    return final(train_float(tmp_path_factory.mktemp("plain") / "run"))


@pytest.fixture(scope="module")
def averaged(tmp_path_factory):
    """A run of two steps with averages: the tensors after the first one, and the run."""
    folder = tmp_path_factory.mktemp("averaged")
    options = {"ema": 0.5, "steps_per_epoch": 1, "schedule": "constant"}
    return final(train_float(folder / "one", epochs=1, **options)), train_float(folder / "two", epochs=2, **options)


def test_low_memory_ends_alike(tmp_path):
    taught = {"objective": {"kd": True}}
    assert_alike(
        final(train_float(tmp_path / "plain", **taught)), final(train_float(tmp_path / "low", low_memory=True, **taught))
    )


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision(tmp_path, precision, plain):
    """Variables stay float32, values are near those of float32, runs resume with their loss scale."""
    mixed = final(run := train_float(tmp_path / "mixed", precision=precision))
    scale = {name for name in mixed if name.startswith("loss_scale/")}
    assert set(mixed) - scale == set(plain) and bool(scale) == (precision == "mixed_float16")
    assert all(value.dtype == np.float32 for name, value in mixed.items() if "/kernel" in name)
    kernel = "backbone/group0/block0/conv1/kernel"
    assert 0 < relative(mixed[kernel], plain[kernel]) < 0.2
    assert load_network(run).compute_dtype == "float32"


@pytest.mark.parametrize("name", ["backbone/conv0/kernel", "backbone/conv0_bn/r16_moving_mean"])
def test_moving_average_of_weights_and_statistics(averaged, name):
    """average <- 0.5 average + 0.5 value after every step, of norms' statistics too; evaluation and export use it."""
    first, second = averaged[0], final(averaged[1])
    np.testing.assert_allclose(second[name + AVERAGE], (first[name + AVERAGE] + second[name]) / 2, rtol=1e-5, atol=1e-7)
    assert not np.array_equal(second[name], second[name + AVERAGE])
    network = load_network(averaged[1])
    (loaded,) = (variable for variable in network.weights if variable.name == f"{name}:0")
    np.testing.assert_array_equal(loaded, second[name + AVERAGE])


def test_every_statistic_of_a_norm_is_averaged(averaged):
    tensors = final(averaged[1])
    moving = [name for name in tensors if name.endswith(("moving_mean", "moving_variance"))]
    assert moving and all(name + AVERAGE in tensors and name + SLOT not in tensors for name in moving)


def test_accumulation_is_as_many_replicas(tmp_path):
    """Two parts after one another, and two replicas on two processors: the same norms per part, the same weights."""
    parts = final(train_float(tmp_path / "parts", accumulate=2))
    replicas = final(train_float(tmp_path / "replicas", strategy="mirrored"))
    assert_alike(parts, replicas)


def test_synchronised_norms_make_two_replicas_one(tmp_path, plain):
    synchronised = {**FLOAT, "synchronised_norms": True}
    two = final(train_float(tmp_path / "two", strategy="mirrored", model=synchronised))
    two = final(train_float(tmp_path / "two", strategy="mirrored", model=synchronised))
    apart = final(train_float(tmp_path / "apart", strategy="mirrored"))
    assert_alike(plain, two)
    kernel = "backbone/conv0/kernel"
    assert relative(apart[kernel], plain[kernel]) > 5e-4


def test_quantized_under_replicas(tmp_path):
    """Bases are solved from the sums over replicas: two replicas move them as one device does with synchronised norms."""
    small, finals = {**LOW_BIT, "blocks": [1], "widths": [4], "synchronised_norms": True}, []
    for name, training in (("one", {}), ("two", {"strategy": "mirrored"})):
        run = train(tmp_path / name, "keras", model=small, epochs=1, steps_per_epoch=1, saves_per_epoch=1, **training)
        finals.append(final(run))
    bases = [name for name in finals[0] if name.endswith("/basis")]
    assert bases
    for name in bases:
        assert relative(finals[1][name], finals[0][name]) < 1e-3, name


def test_resumed_replicas(tmp_path, monkeypatch):
    options = {"strategy": "mirrored", "schedule": "constant", "epochs": 2}
    whole = final(train_float(tmp_path / "whole", **options))
    monkeypatch.setattr("tfres.engines.keras_engine._Bookkeeping._evaluate", _stop)
    with pytest.raises(KeyboardInterrupt):
        train_float(tmp_path / "run", **options)
    monkeypatch.undo()
    assert int(final(Run(tmp_path / "run"))["global_step"]) == 2
    assert_alike(whole, final(train_float(tmp_path / "run", **options)))


def _stop(self):
    raise KeyboardInterrupt


def test_multiworker_without_configuration(tmp_path, monkeypatch):
    for text in ("", "{}", '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 3}}'):
        monkeypatch.setenv("TF_CONFIG", text)
        with pytest.raises(RecipeError, match="`strategy` multiworker needs TF_CONFIG like"):
            train_float(tmp_path / "run", strategy="multiworker")
