"""AdaptiveModel on `.tflite` files: the same answers as on a SavedModel, without TensorFlow."""

import concurrent.futures
import itertools
import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from tests.deploy import exits, fakes
from tests.models.test_rsnet import randomise
from tfres.deploy import AdaptiveModel, export_litert, export_savedmodel
from tfres.deploy.runtime import times
from tfres.deploy.runtime.attached import attach, read_attached
from tfres.deploy.runtime.confidence import confidence
from tfres.errors import ExportError
from tfres.policies import SCORES, PolicyError

PICTURES = np.zeros([1, 16, 16, 3], np.uint8)
TABLE = fakes.table("r16", "r12")


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exports")
    return export_litert(fakes.AnySideNetwork(), fakes.Task(), folder, "net", list("abcde"), TABLE)


@pytest.fixture
def model(path, tmp_path):
    return AdaptiveModel(path, cache=tmp_path / "cache", measure_seconds=0.1)


def test_the_same_class_and_answers(path, model, tmp_path, rng):
    """Equal to those of the SavedModel of the same network."""
    saved = export_savedmodel(fakes.AnySideNetwork(), fakes.Task(), tmp_path, "net", list("abcde"), TABLE)
    other, images = AdaptiveModel(saved, cache=tmp_path / "cache"), exits.pictures(rng, 3, 18, 20)
    assert model.settings == other.settings == ["r12", "r16"] and model.names == other.names == list("abcde")
    assert model.rows == other.rows and model.largest == other.largest == (16, 16) and model.score == "top1"
    for setting in model.settings:
        found, expected = model.predict(images, setting=setting), other.predict(images, setting=setting)
        assert {*found.outputs} == {*expected.outputs} and found.setting == setting and found.ms > 0
        for name, value in expected.outputs.items():
            np.testing.assert_allclose(found.outputs[name], value, rtol=1e-5, atol=1e-6)
            assert found.outputs[name].dtype == value.dtype


@pytest.mark.usefixtures("settings_alone")
def test_budgets(model, path):
    measured = model.measure((1, 16, 16))
    assert {*measured} == {"r16", "r12"} and "LiteRT" in model.machine and "TensorFlow" not in model.machine
    (kept,) = (model.cache / "latency").iterdir()
    assert json.loads(kept.read_text())["machine"] == model.machine
    assert AdaptiveModel(path, cache=model.cache).measure((1, 16, 16)) == measured
    assert model.predict(PICTURES, budget_ms=1e6).setting == "r16"


@pytest.mark.parametrize("images", [None, PICTURES.astype("f"), PICTURES[0], PICTURES[:0], PICTURES[:, :0], [[1], [1, 2]]])
def test_other_pictures(images, model):
    with pytest.raises(ValueError, match=r"`images` must be uint8 \(batch, height, width, 3\).* Received: ") as caught:
        model.predict(images)
    assert "\n" not in str(caught.value)


def test_unknown_settings(model):
    for setting in ("r99", "any"):
        with pytest.raises(ValueError, match=f"`setting` must be one of r12, r16. Received: setting={setting}"):
            model.predict(PICTURES, setting=setting)


def test_threads_have_interpreters_of_their_own(model, rng):
    images = [exits.pictures(rng, 1 + place % 3, 16, 16 + place % 2) for place in range(24)]
    expected = [model.predict(some, setting="r12").logits for some in images]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda some: model.predict(some, setting="r12").logits, images))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


# Files that are none.


def _changed(path, tmp_path, model=None, **documents):
    found, place = read_attached(path), tmp_path / "x.tflite"
    named = {f"{name}.json": content for name, content in documents.items()}
    place.write_bytes(attach(model or found.model, {**found.documents, **named}))
    return place


@pytest.mark.parametrize(
    ("documents", "message"),
    [
        ({"table": None}, "x.tflite: table.json must have a setting with top1, macs and a signature: evaluate before export"),
        ({"table": fakes.table("r99")}, "evaluate before export. Received: settings none"),
        ({"table": {"rows": 3}}, "x.tflite: table.json is no query table: `table` must be a mapping with a list of `rows`"),
        ({"table": []}, "x.tflite: table.json must hold a mapping"),
        ({"classes": {}}, "x.tflite: classes.json must hold a list"),
        ({"classes": [1]}, "x.tflite: classes.json must be a list of names"),
        ({"policy": {"score": "margin"}}, "x.tflite: policy.json must have the field `thresholds`"),
    ],
)
def test_foreign_documents(documents, message, path, tmp_path):
    with pytest.raises(ExportError, match=message) as caught:
        AdaptiveModel(_changed(path, tmp_path, **documents))
    assert "\n" not in str(caught.value)


def test_a_model_that_does_not_load(path, tmp_path):
    whole = read_attached(path).model
    with pytest.raises(ExportError, match="x.tflite must be a model that LiteRT .* loads. Received: ") as caught:
        AdaptiveModel(_changed(path, tmp_path, whole[: len(whole) // 2]))
    assert "\n" not in str(caught.value)


def test_a_file_that_is_cut_off(path, tmp_path):
    place = tmp_path / "x.tflite"
    place.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(ExportError, match="x.tflite must have the documents of an export behind the model, whole"):
        AdaptiveModel(place)


# Early exit.


@pytest.fixture(scope="module")
def exit_models(tmp_path_factory):
    """A network with exits, and models of its two exports."""
    folder, network = tmp_path_factory.mktemp("exits"), exits.network()
    randomise(network, np.random.default_rng(0))
    known = exits.table(network, exits.policy(network), exits.policy(network, thresholds=[0.2, 0.1, None]))
    exported = [export(network, exits.TASK, folder, "net", None, known) for export in (export_litert, export_savedmodel)]
    return network, *(AdaptiveModel(one, cache=folder / "cache", measure_seconds=0.1) for one in exported)


@pytest.mark.parametrize("batch", [1, 8])
@pytest.mark.parametrize("score", SCORES)
def test_pictures_leave_where_those_of_the_saved_model_leave(score, batch, exit_models, rng):
    network, model, other = exit_models
    images = exits.pictures(rng, 8, 16, 16)
    policy = exits.mixed(network, images, score)
    places = []
    for some in np.split(images, 8 // batch):
        found, expected = (one.predict(some, policy=policy) for one in (model, other))
        assert {*found.outputs} == {*expected.outputs} and found.exit.dtype == np.int32
        np.testing.assert_array_equal(found.exit, expected.exit)
        np.testing.assert_allclose(found.score, expected.score, rtol=0, atol=1e-5)
        np.testing.assert_allclose(found.logits, expected.logits, rtol=0, atol=1e-5)
        places += [*found.exit]
    assert {*places} == {*exits.EXITS}


def test_policies_are_settings(exit_models, rng):
    _, model, other = exit_models
    assert model.settings == other.settings and "policy-1" in model.settings
    images = exits.pictures(rng, 4, 20, 20)
    for setting in model.settings:
        found, expected = model.predict(images, setting=setting), other.predict(images, setting=setting)
        np.testing.assert_allclose(found.logits, expected.logits, rtol=0, atol=1e-5)
    times_of = model.measure((2, 16, 16))
    assert {*times_of} == {*model.settings} and min(times_of.values()) > 0
    with pytest.raises(PolicyError, match="`policy` must be for the 4 exits"):
        model.predict(images, policy=exits.policy(exits=[2, 3, 4, 5]))
    with pytest.raises(PolicyError, match="`thresholds`.* must be .*finite numbers or null.* Received: "):
        model.predict(images, policy={**exits.policy().to_dict(), "thresholds": [0.5, float("nan"), None]})


@pytest.mark.usefixtures("settings_alone")
@pytest.mark.parametrize("batch", [1, 4])
def test_budgets_by_stages(batch, exit_models, rng, tmp_path, monkeypatch):
    """Policies are chosen by what stages take, learnt from the calls; answers are those of the setting."""
    model, images = AdaptiveModel(exit_models[1].path, cache=tmp_path), exits.pictures(rng, batch, 16, 16)
    assert model.predict(images, budget_ms=1e6).setting == "exit4"

    def taken(calls, seconds):
        assert all(call() > 0 for call in calls.values())
        return {name: [10.0 * int(name[-1])] * times.ROUNDS for name in calls}

    monkeypatch.setattr(times, "taken", taken)
    measured = model.measure(images.shape[:3])
    assert measured == pytest.approx({**{f"exit{k}": 10 * k for k in exits.EXITS}, "policy-0": 40, "policy-1": 40})
    chosen = [model.choose(budget, images.shape[:3])["setting"] for budget in (12, 25, 35, 1e6)]
    assert chosen == ["exit1", "exit2", "exit3", "exit4"]
    for budget in (0.001, 5, 25, 1e6):
        answer = model.predict(images, budget_ms=budget, on_miss="cheapest")
        np.testing.assert_array_equal(answer.logits, model.predict(images, setting=answer.setting).logits)
    before = model._runner.memory.of(images.shape[:3]).changes
    assert "exit" in model.predict(images, setting="policy-1").outputs
    assert model._runner.memory.of(images.shape[:3]).changes > before


def test_a_thread_makes_settings_ready_for_itself(model):
    model.measure((1, 16, 16))
    ready = model._export.backend.ready
    assert ready("serve_r16", PICTURES.shape) and not ready("serve_r16", (2, 16, 16, 3))
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        assert not pool.submit(ready, "serve_r16", PICTURES.shape).result()
        before = model._runner.memory.of((1, 16, 16)).changes
        pool.submit(model.predict, PICTURES, setting="r16").result()
        assert model._runner.memory.of((1, 16, 16)).changes == before  # what it took says nothing about the next
        pool.submit(model.predict, PICTURES, setting="r16").result()
        assert model._runner.memory.of((1, 16, 16)).changes == before + 1


def test_no_stage_runs_for_pictures_that_left(exit_models, rng, monkeypatch):
    _, model, _ = exit_models
    ran, call = [], model._exits._call

    def noted(name, inputs):
        ran.append((name, len(next(iter(inputs.values())))))
        return call(name, inputs)

    monkeypatch.setattr(model._exits, "_call", noted)
    images = exits.pictures(rng, 5, 16, 16)
    model.predict(images, policy=exits.policy(thresholds=[-1e30, None, None]))
    assert ran == [("serve_stage1", 5)]
    ran.clear()
    model.predict(images, policy=exits.policy(thresholds=[None, -1e30, None]))
    assert ran == [("serve_pass1", 5), ("serve_stage2", 5)]  # nobody leaves at the first exit: its head does not run


@pytest.mark.parametrize("refine", ["last", "confident", "mean"])
def test_answers_that_get_better(refine, exit_models, rng):
    _, model, other = exit_models
    images = exits.pictures(rng, 3, 16, 16)
    answers = list(zip(model.iterate(images, refine), other.iterate(images, refine), strict=True))
    assert [found.setting for found, _ in answers] == ["exit1", "exit2", "exit3", "exit4"]
    assert all(before.ms < after.ms for (before, _), (after, _) in itertools.pairwise(answers))
    for found, expected in answers:
        np.testing.assert_allclose(found.logits, expected.logits, rtol=0, atol=1e-5)


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_scores_are_those_of_the_task(score, temperature, rng):
    logits = rng.standard_normal((50, 7)).astype("f") * 30
    logits[0, 0], logits[1, 1], logits[2] = np.nan, np.inf, 0
    expected = exits.TASK.confidence(tf.constant(logits), score, temperature)
    found = confidence(logits, score, temperature)
    assert found.dtype == np.float32 and np.isnan(found[:2]).all()
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


# Without TensorFlow.

_ALONE = """
import sys, time
start = time.perf_counter()
for name in ("tensorflow", "tf_keras", "keras", "jax", "torch"):
    sys.modules[name] = None  # importing it raises
import numpy as np
from tfres.deploy.runtime import AdaptiveModel
model = AdaptiveModel(sys.argv[1], cache=sys.argv[2], measure_seconds=0.05)
answer = model.predict(np.zeros([1, 16, 16, 3], np.uint8))
seconds = time.perf_counter() - start
model.predict(np.zeros([2, 16, 16, 3], np.uint8), budget_ms=1e6)
if model.settings[0] == "exit1":
    assert len(list(model.iterate(np.zeros([1, 16, 16, 3], np.uint8)))) == 4
    assert model.predict(np.zeros([1, 16, 16, 3], np.uint8), setting="policy-1").exit.shape == (1,)
rooms = {name.split(".")[1] for name in sys.modules if name.startswith("tfres.")}
assert not rooms & {"models", "layers", "evaluation", "engines", "tasks", "families", "recipe", "run"}, rooms
print(answer.setting, seconds)
"""


def test_nothing_but_litert_and_numpy(path, exit_models, tmp_path):
    for place, setting in ((path, "r16"), (exit_models[1].path, "exit4")):
        cache = tmp_path / setting
        command = [sys.executable, "-c", _ALONE, str(place), str(cache)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stdout.split()[0] == setting
        assert [*(cache / "latency").iterdir()]  # what calls taught is kept at exit


def test_times_of_two_runtimes_are_kept_apart(model):
    host = model._export.backend.host()
    assert times.circumstances("x", (1, 16, 16), host) != times.circumstances("x", (1, 16, 16))
