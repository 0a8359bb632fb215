"""Whole small trainings: resuming, killing, failing."""

import csv
import json
import os
import pathlib
import resource
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from tfres.data.errors import DataError
from tfres.engines.checkpoints import CheckpointError, clean, find_checkpoint
from tfres.engines.training import NonFiniteLoss, load_weights

from tests.engines.plans import build_model, make_plan, make_recipe
from tests.reference import relative
from tfres.engines import latest_checkpoint, read_checkpoint, train
from tfres.run import Run

ENGINES = ["keras", "tensorpack"]


def _train(folder, engine, **training):
    recipe, source = make_recipe(engine, **training)
    run = Run(folder)
    run.create(recipe, {"classes": source.classes})
    train(recipe, run, source, build_model)
    return run


def _final(run):
    return read_checkpoint(latest_checkpoint(run.checkpoints))


@pytest.mark.parametrize("engine", ENGINES)
def test_interrupted_run_ends_like_an_uninterrupted_one(tmp_path, engine, monkeypatch):
    """Stopped after the second checkpoint and started again: same steps, same values (order and crops are replayed)."""
    whole = _final(_train(tmp_path / "whole", engine))
    from tfres.engines import checkpoints

    save = checkpoints.save

    def save_and_stop(saver, session, folder, step):
        path = save(saver, session, folder, step)
        if step == 4:
            raise KeyboardInterrupt
        return path

    monkeypatch.setattr(checkpoints, "save", save_and_stop)
    with pytest.raises(KeyboardInterrupt):
        _train(tmp_path / "cut", engine)
    monkeypatch.undo()
    run = _train(tmp_path / "cut", engine)
    resumed = _final(run)
    assert int(resumed["global_step"]) == int(whole["global_step"]) == 8
    assert set(resumed) == set(whole)
    for name, value in whole.items():
        assert relative(resumed[name], value) < 1e-3 or np.abs(resumed[name] - value).max() < 1e-4, name
    with open(run.path / "metrics.csv") as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["2", "4", "6", "8"]
    for name in ("train_cross_entropy_r16", "validation_top1_r12", "validation_top5_ensemble", "learning_rate"):
        assert rows[-1][name]
    assert list((run.path / "tensorboard").glob("events*"))
    before = _final(run)
    assert all(np.array_equal(before[k], v) for k, v in _final(_train(tmp_path / "cut", engine)).items())


@pytest.mark.parametrize("pair", [("keras", "tensorpack"), ("tensorpack", "keras")])
def test_engines_end_alike_and_read_each_other(tmp_path, pair):
    finals = [_final(_train(tmp_path / engine, engine)) for engine in pair]
    shared = set(finals[0]) & set(finals[1])
    assert len(shared) > 100
    for name in shared - {"global_step"}:
        assert relative(finals[0][name], finals[1][name]) < 1e-2 or np.abs(finals[0][name] - finals[1][name]).max() < 1e-3, (
            name
        )
    model = build_model()
    load_weights(model, tmp_path / pair[0])
    for variable in model.weights:
        np.testing.assert_array_equal(variable, finals[0][variable.name.removesuffix(":0")])


def test_two_towers_train(tmp_path):
    assert int(_final(_train(tmp_path / "run", "tensorpack", devices=[0, 1]))["global_step"]) == 8


_KILLED = """
import sys, tfres
from tests.engines.test_training import _train
import pathlib
_train(pathlib.Path(sys.argv[1]), "tensorpack", steps_per_epoch=60)
"""


def test_killed_run_goes_on_by_the_same_command(tmp_path):
    command = [sys.executable, "-c", _KILLED, str(tmp_path / "run")]
    environment = {**os.environ, "PYTHONPATH": str(pathlib.Path(__file__).parents[2])}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    deadline = time.time() + 180
    while not latest_checkpoint(tmp_path / "run" / "checkpoints") and time.time() < deadline:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    stopped = int(read_checkpoint(latest_checkpoint(tmp_path / "run" / "checkpoints"))["global_step"])
    assert 0 < stopped < 120
    subprocess.run(command, env=environment, check=True, capture_output=True)
    folder = tmp_path / "run" / "checkpoints"
    assert int(read_checkpoint(latest_checkpoint(folder))["global_step"]) == 120
    listed = {path.name.split(".")[0] for path in folder.glob("model-*")}
    for name in listed:
        read_checkpoint(folder / name)
    assert not list(folder.glob("*temp*"))


@pytest.mark.parametrize("engine", ENGINES)
def test_full_disk_while_saving(tmp_path, engine, monkeypatch):
    """Writes beyond a file size fail as on a full disk; the checkpoint before stays whole and the run goes on from it."""
    from tfres.engines import checkpoints

    save = checkpoints.save

    def save_on_a_full_disk(saver, session, folder, step):
        if step < 4:
            return save(saver, session, folder, step)
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
        try:
            return save(saver, session, folder, step)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    monkeypatch.setattr(checkpoints, "save", save_on_a_full_disk)
    with pytest.raises(CheckpointError, match=r"step 4 could not be saved.*last complete one is .*model-2"):
        _train(tmp_path / "run", engine)
    monkeypatch.undo()
    assert int(_final(Run(tmp_path / "run"))["global_step"]) == 2
    assert int(_final(_train(tmp_path / "run", engine))["global_step"]) == 8


@pytest.mark.parametrize("engine", ENGINES)
def test_infinite_loss_names_the_step(tmp_path, engine):
    with pytest.raises(NonFiniteLoss, match=r"The loss is (nan|inf) at step \d"):
        _train(tmp_path / "hot", engine, schedule="constant", weight_decay=1e38)


def test_recipe_of_another_run_is_refused(tmp_path):
    plan = make_plan(tmp_path, "keras")
    recipe, _ = make_recipe("keras", momentum=0.5)
    with pytest.raises(ValueError, match="training.momentum is 0.9 there, 0.5 here"):
        plan.run.create(recipe, {})
    assert (tmp_path / "latest").resolve() == (tmp_path / "keras").resolve()
    facts = json.loads((plan.run.path / "run.json").read_text())
    assert facts["versions"]["tensorflow"] and facts["classes"] == [str(i) for i in range(5)]


def test_checkpoint_of_another_network(tmp_path):
    from tests.models.test_rsnet import tiny

    run = _train(tmp_path / "run", "keras")
    with pytest.raises(CheckpointError, match="missing: .*group2.*left over: none|Tensors missing"):
        load_weights(tiny(), run.path)
    with pytest.raises(CheckpointError, match="`load` must be a run folder"):
        find_checkpoint(tmp_path / "nothing")
    prefix = pathlib.Path(latest_checkpoint(run.checkpoints))
    prefix.with_name(prefix.name + ".index").write_bytes(b"broken")
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_checkpoint(prefix)


def test_load_starts_from_the_weights(tmp_path):
    first = _train(tmp_path / "first", "keras")
    plan = make_plan(tmp_path, "tensorpack", load=str(first.path))
    final = _final(first)
    assert plan.first_step == 0
    for name, value in plan.start.items():
        if name != "global_step":
            np.testing.assert_array_equal(value, final[name])


def test_clean_removes_only_what_is_half_written(tmp_path):
    run = _train(tmp_path / "run", "keras")
    (run.checkpoints / "model-99.data-00000-of-00001").write_bytes(b"x")
    (run.checkpoints / "model-99_temp").mkdir()
    before = _final(run)
    clean(run.checkpoints)
    assert not list(run.checkpoints.glob("model-99*"))
    assert set(_final(run)) == set(before)


def test_batch_larger_than_the_data(tmp_path):
    recipe, source = make_recipe("keras")
    recipe.data.batch_size = 64
    run = Run(tmp_path / "run")
    run.create(recipe, {})
    with pytest.raises(DataError, match="`batch_size` must be at most the number of training pictures, 32"):
        train(recipe, run, source, build_model)
