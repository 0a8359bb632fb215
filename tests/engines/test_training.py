"""Whole small trainings: resuming, killing, failing."""

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

from tests.engines.plans import assert_alike, final, make_plan, make_recipe, rows, train
from tests.models.test_rsnet import tiny
from tests.reference import relative
from tfres.engines.progress import NonFiniteLoss
from tfres.errors import CheckpointError, DataError, RecipeError
from tfres.families.networks import load_network
from tfres.models.weights import load_weights, variable_name
from tfres.run import Run, checkpoints

ENGINES = ["keras", "tensorpack"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Engine -> an uninterrupted run."""
    folder = tmp_path_factory.mktemp("whole")
    return {engine: train(folder / engine, engine) for engine in ENGINES}


@pytest.mark.parametrize("engine", ENGINES)
def test_interrupted_run_ends_like_an_uninterrupted_one(tmp_path, engine, monkeypatch, whole):
    """Stopped after the second checkpoint and started again: same steps, same values (order and crops are replayed)."""
    save = checkpoints.save

    def save_and_stop(saver, session, folder, step):
        path = save(saver, session, folder, step)
        if step == 4:
            raise KeyboardInterrupt
        return path

    monkeypatch.setattr(checkpoints, "save", save_and_stop)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "cut", engine)
    monkeypatch.undo()
    run = train(tmp_path / "cut", engine)
    resumed = final(run)
    assert int(resumed["global_step"]) == int(final(whole[engine])["global_step"]) == 8
    assert_alike(final(whole[engine]), resumed, bound=1e-3, smallest=1e-4)
    written = rows(run)
    assert [row["step"] for row in written] == ["2", "4", "6", "8"]
    for name in ("train_cross_entropy_r16", "validation_top1_r12", "validation_top5_ensemble", "learning_rate"):
        assert written[-1][name]
    assert list((run.path / "tensorboard").glob("events*"))
    again = final(train(tmp_path / "cut", engine))
    assert all(np.array_equal(again[name], value) for name, value in resumed.items())


def test_engines_end_alike_and_read_each_other(whole):
    one, other = (final(whole[engine]) for engine in ENGINES)
    shared = set(one) & set(other)
    assert len(shared) > 60
    assert_alike({n: one[n] for n in shared}, {n: other[n] for n in shared}, bound=1e-2, smallest=1e-3)
    for engine, tensors in zip(ENGINES, (one, other), strict=True):
        network = load_network(whole[engine])
        for variable in network.weights:
            np.testing.assert_array_equal(variable, tensors[variable_name(variable)])
    read = make_plan(whole["keras"].path.parent / "loaded", "tensorpack", load=str(whole["keras"].path)).start
    assert set(read) <= shared and all(np.array_equal(one[n], v) for n, v in read.items() if n != "global_step")


_KILLED = """
import sys, tfres
from tests.engines.plans import train
import pathlib
train(pathlib.Path(sys.argv[1]), "tensorpack", steps_per_epoch=60)
"""


def test_killed_run_goes_on_by_the_same_command(tmp_path):
    command = [sys.executable, "-c", _KILLED, str(tmp_path / "run")]
    environment = {**os.environ, "PYTHONPATH": str(pathlib.Path(__file__).parents[2])}
    folder = tmp_path / "run" / "checkpoints"
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    deadline = time.time() + 180
    while not checkpoints.latest_checkpoint(folder) and time.time() < deadline:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    stopped = int(final(Run(tmp_path / "run"))["global_step"])
    assert 0 < stopped < 120
    subprocess.run(command, env=environment, check=True, capture_output=True)
    assert int(final(Run(tmp_path / "run"))["global_step"]) == 120
    listed = {path.name.split(".")[0] for path in folder.glob("model-*")}
    for name in listed:
        checkpoints.read_checkpoint(folder / name)
    assert not list(folder.glob("*temp*")) and not list(folder.parent.glob(".*.tmp"))


@pytest.mark.parametrize("engine", ENGINES)
def test_full_disk_while_saving(tmp_path, engine, monkeypatch):
    """Writes beyond a file size fail as on a full disk; the checkpoint before stays whole and the run goes on from it."""
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
        train(tmp_path / "run", engine)
    monkeypatch.undo()
    assert int(final(Run(tmp_path / "run"))["global_step"]) == 2
    assert int(final(train(tmp_path / "run", engine))["global_step"]) == 8


@pytest.mark.parametrize("engine", ENGINES)
def test_failing_validation_leaves_the_checkpoint_of_its_epoch(tmp_path, engine, monkeypatch):
    """The checkpoint is written before validation, which may meet a picture that cannot be read."""
    from tfres.evaluation.evaluator import Evaluator

    def unreadable(self):
        raise DataError("x.jpg: not a readable picture")

    monkeypatch.setattr(Evaluator, "__call__", unreadable)
    with pytest.raises(DataError, match=r"x\.jpg: not a readable picture"):
        train(tmp_path / "run", engine)
    assert int(final(Run(tmp_path / "run"))["global_step"]) == 4


@pytest.mark.parametrize("engine", ENGINES)
def test_infinite_loss_names_the_step(tmp_path, engine):
    with pytest.raises(NonFiniteLoss, match=r"The loss is (nan|inf) at step \d"):
        train(tmp_path / "hot", engine, schedule="constant", weight_decay=1e38)


def test_recipe_of_another_run_is_refused(tmp_path):
    plan = make_plan(tmp_path, "keras")
    recipe, _, _ = make_recipe("keras", momentum=0.5)
    with pytest.raises(RecipeError, match=r"training\.momentum is 0\.9 there, 0\.5 here"):
        plan.run.create(recipe.to_dict(), {})
    assert (tmp_path / "latest").resolve() == (tmp_path / "keras").resolve()
    facts = json.loads((plan.run.path / "run.json").read_text())
    assert facts["versions"]["tensorflow"] and facts["classes"] == [str(i) for i in range(5)]


def test_checkpoint_of_another_network(tmp_path, whole):
    prefix = checkpoints.latest_checkpoint(whole["keras"].checkpoints)
    with pytest.raises(CheckpointError, match=r"of another network. Tensors missing: .*group1.*and 80 more; left over: none"):
        load_weights(tiny(), prefix)
    with pytest.raises(CheckpointError, match="`load` must be a run folder"):
        checkpoints.find_checkpoint(tmp_path / "nothing")


def test_load_starts_from_the_weights(tmp_path, whole):
    plan = make_plan(tmp_path, "tensorpack", load=str(whole["keras"].path))
    assert plan.first_step == 0
    start = final(whole["keras"])
    for name, value in plan.start.items():
        if name != "global_step":
            np.testing.assert_array_equal(value, start[name])


def test_batch_larger_than_the_data(tmp_path):
    with pytest.raises(DataError, match="`batch_size` must be at most the number of training pictures, 32"):
        train(tmp_path / "run", "keras", data={"batch_size": 64})


def test_two_towers_are_one(tmp_path, whole):
    """Of the processor, by numbers of GPUs that there are not: two towers with half the batch each end near one."""
    towers = final(train(tmp_path / "run", "tensorpack", devices=[0, 1]))
    assert int(towers["global_step"]) == 8
    one = final(whole["tensorpack"])
    assert set(towers) == set(one)
    assert relative(towers["linear/kernel"], one["linear/kernel"]) < 0.5
