"""AdaptiveModel on an export with exits: policies, their times, answers that get better."""

import itertools
import json
import shutil

import numpy as np
import pytest
import tensorflow as tf

from tests.deploy import exits, fakes
from tfres.deploy import AdaptiveModel, export_savedmodel
from tfres.deploy.runtime import Answer, demo, times
from tfres.deploy.runtime.exit_times import batch_time, policy_time, survivors
from tfres.errors import ExportError
from tfres.policies import PolicyError

SHAPE = (1, 16, 16)


@pytest.fixture(scope="module")
def module_cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def model(exit_export, module_cache):
    return AdaptiveModel(exit_export, cache=module_cache, measure_seconds=0.1)


@pytest.fixture
def images(rng):
    return exits.pictures(rng, 8, 16, 16)


@pytest.fixture
def policy(exit_network, images):
    return exits.mixed(exit_network, images)


def test_policies_are_settings(model, images, exit_policies):
    assert model.settings == ["exit1", "exit2", "exit3", "exit4", "policy-0", "policy-1"]
    assert [row["setting"] for row in model.rows] == model.settings and model.largest == (16, 16)
    assert model.predict(images).setting == "exit4"
    for name, policy in zip(("policy-0", "policy-1"), exit_policies, strict=True):
        found, same = model.predict(images, setting=name), model.predict(images, policy=policy)
        assert found.setting == name and same.setting == "policy"
        np.testing.assert_array_equal(found.exit, same.exit)
        np.testing.assert_array_equal(found.score, same.score)


def test_any_policy(model, exit_network, images, policy, tmp_path):
    expected = exit_network.adaptive(exits.TASK.resized(images, 16), policy, exits.TASK)
    assert len({*expected.exit.numpy()}) == 4
    policy.write(tmp_path / "policy.json")
    for given in (policy, policy.to_dict(), tmp_path / "policy.json", str(tmp_path / "policy.json")):
        found = model.predict(images, policy=given)
        np.testing.assert_array_equal(found.exit, expected.exit)
        np.testing.assert_allclose(found.logits, expected.outputs, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (exits.policy(network="0123456789ab"), "`policy` must be calibrated for the weights of this network"),
        (exits.policy(exits=[2, 3, 4, 5]), "`policy` must be for the 4 exits 1, 2, 3, 4 of this network"),
        ({"score": "margin"}, "`policy` must have the field `thresholds`"),
        (3, "`policy` must be a mapping"),
        ("nowhere.json", "nowhere.json"),
    ],
)
def test_policies_that_are_refused(given, message, model, images):
    with pytest.raises(PolicyError, match=message):
        model.predict(images, policy=given)


def test_a_policy_and_a_setting(model, images, policy):
    for other in ({"setting": "exit1"}, {"budget_ms": 3}):
        with pytest.raises(ValueError, match="Give `policy` alone. Received: "):
            model.predict(images, policy=policy, **other)


def test_a_network_without_exits(tmp_path, images):
    path = export_savedmodel(fakes.Network(), fakes.Task(), tmp_path, "net", table=fakes.table("r16", "r12"))
    model = AdaptiveModel(path, cache=tmp_path / "cache")
    for ask, name in ((model.iterate, "iterate"), (lambda some: model.predict(some, policy=exits.policy()), "policy")):
        with pytest.raises(ValueError, match=f"`{name}` is for exports of all exits of a network. Received: .*net"):
            ask(images)


# Times.


@pytest.fixture
def constant(monkeypatch):
    """Calls take 10 ms for each exit that they reach."""
    asked = []

    def taken(calls, seconds):
        asked.append([*calls])
        assert all(call() > 0 for call in calls.values())
        return {name: [10.0 * int(name[-1])] * times.ROUNDS for name in calls}

    monkeypatch.setattr(times, "taken", taken)
    return asked


@pytest.mark.usefixtures("settings_alone")
def test_times_of_policies(exit_export, tmp_path, constant):
    """Of one picture the quantile by shares, of a policy without shares the last exit's; kept with the others."""
    model = AdaptiveModel(exit_export, cache=tmp_path)
    found = model.measure(SHAPE)
    assert constant == [[f"{name}{number}" for name in ("exit", "all at exit") for number in exits.EXITS]]
    assert found == {"exit1": 10, "exit2": 20, "exit3": 30, "exit4": 40, "policy-0": 10, "policy-1": 40}
    assert AdaptiveModel(exit_export, cache=tmp_path).measure(SHAPE) == found and len(constant) == 1
    assert model.choose(12, SHAPE)["setting"] == "policy-0"  # as fast as exit1, and better
    assert model.predict(np.zeros([*SHAPE, 3], np.uint8), budget_ms=12).setting == "policy-0"


def test_calls_of_policies_teach(exit_export, tmp_path, constant):
    """Where all pictures left at one exit what it takes; else each exit in proportion."""
    runner = AdaptiveModel(exit_export, cache=tmp_path)._runner
    for batch in (1, 4):
        runner.measure((batch, 16, 16), 1, anew=True)
    for batch, left, ms, expected in (
        (1, [3], 45.0, {3: 1.5}),
        (4, [2, 2, 2, 2], 30.0, {2: 1.5}),
        (4, [1, 1, 4, 4], 2 * 40.0, {1: 2, 4: 2}),  # one and many take the same here
        (4, [1, 2, 2, 1], 0.5 * 20.0, {1: 0.5, 2: 0.5}),
    ):
        known, added = runner.memory.of((batch, 16, 16)), {}
        known = Noted(known, added)
        runner._exits.learn(known, np.array(left, np.int32), ms)
        assert added == pytest.approx({f"all at exit{exit}": 10 * exit * ratio for exit, ratio in expected.items()})


class Noted:
    def __init__(self, known, added):
        self.view, self.add = known.view, added.__setitem__


@pytest.mark.usefixtures("settings_alone")
def test_a_policy_is_refined_by_its_calls(exit_export, tmp_path, constant, monkeypatch):
    """A machine that becomes slower is followed by policies, and by exits, though only a policy runs."""
    model = AdaptiveModel(exit_export, cache=tmp_path)
    model.measure(SHAPE)
    monkeypatch.setattr(model._runner, "_call", lambda setting, *_: Answer(setting, 60.0, {"exit": np.array([3])}))
    for _ in range(5):
        model.predict(np.zeros([*SHAPE, 3], np.uint8), setting="policy-0")
    assert model.measure(SHAPE) == pytest.approx(
        {"exit1": 20, "exit2": 40, "exit3": 60, "exit4": 80, "policy-0": 20, "policy-1": 80}
    )


@pytest.mark.parametrize("batch", [1, 8])
def test_policies_without_measuring(batch, exit_export, tmp_path, rng):
    """Guessed from the multiply-adds of exits until they are called."""
    model, images = AdaptiveModel(exit_export, cache=tmp_path), exits.pictures(rng, batch, 16, 16)
    assert model.predict(images, budget_ms=1e6).setting == "exit4"
    times, careful = model._runner.times(images.shape[:3])
    assert 0 < times["exit1"] <= times["policy-0"] <= times["policy-1"] < np.inf
    assert careful["policy-1"] > times["policy-1"]
    for _ in range(3):
        model.predict(images, setting="policy-1")
    assert any(name.startswith("all at") for name in model._runner.memory.of(images.shape[:3]).view().measured)


def test_calls_that_leave_at_an_exit(model, monkeypatch):
    """What is timed: one picture and all of them, at each exit."""
    seen = []
    run = model._exits._adaptive

    def noted(images, *how):
        seen.append((images.shape[0], {*run(images, *how)["exit"]}))
        return run(images, *how)

    monkeypatch.setattr(model._exits, "_adaptive", noted)
    calls = model._exits.calls(np.zeros([3, 16, 16, 3], np.uint8))
    for call in calls.values():
        call()
    assert [*calls] == [f"{what} at exit{number}" for what, number in itertools.product(("one", "all"), exits.EXITS)]
    assert seen == [(count, {number}) for count, number in itertools.product((1, 3), exits.EXITS)]
    assert model._exits.costs({"exit1": 5, "exit3": 20, "x": 100}, 3) == dict(
        zip(calls, [5, 100, 20, 100, 15, 300, 60, 300], strict=True)
    )


def test_time_of_one_picture():
    taken = [[1.0, 2.0], [5.0, 6.0], [9.0, 10.0]]
    assert policy_time([1.0, 0.0, 0.0], taken, taken, 1) == 2.0
    assert policy_time([0.5, 0.5, 0.0], taken, taken, 1) == 6.0
    assert policy_time([0.0, 0.0, 1.0], taken, taken, 1) == 10.0
    assert policy_time([0.96, 0.02, 0.02], taken, taken, 1) == 2.0
    assert policy_time([0.90, 0.06, 0.04], taken, taken, 1) == 6.0
    assert policy_time([0.90, 0.04, 0.06], taken, taken, 1) == 9.0  # 2 % stay above, 3 % of the exit's calls take 10


def test_time_of_a_batch_by_where_its_pictures_leave():
    one, several = [1.0, 3.0, 6.0], [10.0, 30.0, 60.0]
    assert batch_time([10, 0, 0], one, several) == 10
    assert batch_time([10, 10, 10], one, several) == 60
    assert batch_time([10, 1, 0], one, several) == 12
    assert batch_time([1, 1, 0], one, one) == 3


def test_time_of_a_batch():
    one, several = [[1.0], [3.0], [6.0]], [[10.0], [30.0], [60.0]]
    assert policy_time([1.0, 0.0, 0.0], one, several, 10) == 10.0
    assert policy_time([0.0, 0.0, 1.0], one, several, 10) == pytest.approx(60.0)
    expected = 10 + 2 + (20 - 2) * (survivors(10, 0.5) - 1) / 9
    assert policy_time([0.5, 0.5, 0.0], one, several, 10) == pytest.approx(expected)
    assert policy_time([0.0, 1.0, 0.0], [[1.0], [0.5], [6.0]], [[5.0], [4.0], [9.0]], 2) == 5.0  # no stage takes less than 0


@pytest.mark.parametrize("batch", [1, 2, 32, 5000])
@pytest.mark.parametrize("probability", [0.0, 1e-4, 0.04, 0.3, 0.5, 0.999, 1.0])
def test_survivors_are_those_of_95_percent_of_batches(batch, probability):
    found = survivors(batch, probability)
    drawn = np.random.default_rng(0).binomial(batch, probability, 200_000)
    assert np.mean(drawn <= found) >= 0.947
    assert found == 0 or np.mean(drawn <= found - 1) < 0.953


def test_demo(model):
    results = demo.moving_budget(model, 12, batch=2)
    assert {*results["times"]} == {*model.settings} and len(results["rows"]) == 12
    assert {row["setting"] for row in results["rows"]} <= {*model.settings}


# Answers that get better.


def _answers(network, images):
    outputs = network.forward({16: exits.TASK.resized(images, 16)}, network.settings, training=False)
    return [outputs[setting].numpy() for setting in reversed(network.settings)]


def test_iterate_gives_every_exit(model, exit_network, images):
    found = [*model.iterate(images)]
    assert [answer.setting for answer in found] == ["exit1", "exit2", "exit3", "exit4"]
    assert all(before.ms < after.ms for before, after in itertools.pairwise(found))
    for answer, expected in zip(found, _answers(exit_network, images), strict=True):
        assert {*answer.outputs} == {"logits", "probabilities", "class"}
        np.testing.assert_allclose(answer.logits, expected, rtol=0, atol=1e-5)


def test_nothing_of_later_exits_runs_before_it_is_asked_for(model, images, monkeypatch):
    ran, call = [], model._exits._call
    monkeypatch.setattr(model._exits, "_call", lambda name, inputs: ran.append(name) or call(name, inputs))
    answers = model.iterate(images)
    assert ran == []
    next(answers)
    assert ran == ["serve_stage1"]
    next(answers)
    assert ran == ["serve_stage1", "serve_stage2"]


def test_the_most_confident_exit_so_far(model, exit_network, images):
    logits = np.stack(_answers(exit_network, images))
    best = np.sort(logits, -1)
    margins = best[..., -1] - best[..., -2]
    for place, answer in enumerate(model.iterate(images, refine="confident")):
        expected = logits[np.argmax(margins[: place + 1], 0), range(8)]
        np.testing.assert_allclose(answer.logits, expected, rtol=0, atol=1e-5)
        np.testing.assert_array_equal(answer.classes, np.argmax(expected, -1))


def test_the_mean_of_all_exits_so_far(model, exit_network, images):
    logs = np.stack([tf.nn.log_softmax(logits) for logits in _answers(exit_network, images)])
    for place, answer in enumerate(model.iterate(images, refine="mean")):
        expected = tf.nn.softmax(logs[: place + 1].mean(0))
        np.testing.assert_allclose(answer.probabilities, expected, rtol=0, atol=1e-5)
        np.testing.assert_allclose(np.exp(answer.logits), expected, rtol=0, atol=1e-5)
        np.testing.assert_array_equal(answer.classes, np.argmax(expected, -1))


def test_what_iterate_refuses(model, images):
    with pytest.raises(ValueError, match="`refine` must be one of last, confident, mean. Received: refine='best'"):
        model.iterate(images, refine="best")
    with pytest.raises(ValueError, match="`images` must be uint8"):
        model.iterate(images[0])


# Foreign files.


@pytest.fixture
def unsealed(exit_export, tmp_path):
    path = tmp_path / "1"
    shutil.copytree(exit_export, path)
    (path / "assets.extra" / "files.json").unlink()
    return path


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"score": "margin"}', "\0"])
def test_a_damaged_default_policy_is_named(content, unsealed):
    (unsealed / "assets" / "policy.json").write_text(content)
    with pytest.raises(ExportError, match="policy.json") as caught:
        AdaptiveModel(unsealed)
    assert "\n" not in str(caught.value)


def test_a_table_of_another_network(unsealed, exit_network):
    table = exits.table(exit_network, exits.policy(network="0123456789ab"))
    (unsealed / "assets" / "table.json").write_text(json.dumps(table))
    with pytest.raises(ExportError, match="table.json: row policy-0: `policy` must be calibrated for the weights of this"):
        AdaptiveModel(unsealed)
