"""The served model of a network with exits."""

import json
import time

import numpy as np
import pytest
import tensorflow as tf

from tests.deploy import exits
from tfres.deploy import exits as signatures_of_exits
from tfres.deploy import export_savedmodel
from tfres.errors import ExportError

ANSWER = {"logits", "probabilities", "class"}
NEVER = [np.inf] * 3


@pytest.fixture
def network(exit_network):
    return exit_network


@pytest.fixture(scope="module")
def loaded(exit_export):
    return tf.saved_model.load(str(exit_export))


@pytest.fixture
def served(loaded):
    return loaded.signatures


def _export(network, folder, **options):
    return export_savedmodel(network, exits.TASK, folder, "net", **options)


def _adaptive(served, images, thresholds, temperatures=(1.0,) * 4, score="margin"):
    found = served["serve_adaptive"](
        images=tf.constant(images),
        thresholds=tf.constant(thresholds, tf.float32),
        temperatures=tf.constant(temperatures, tf.float32),
        score=tf.constant(score),
    )
    return {name: value.numpy() for name, value in found.items()}


def _by_policy(served, images, policy):
    thresholds = [np.inf if value is None else value for value in policy.thresholds]
    return _adaptive(served, images, thresholds, policy.temperatures, policy.score)


def _close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_signatures(served):
    forms = {"serving_default", "serve_encoded", "serve_all", "serve_adaptive"}
    assert {*served} == {*(f"serve_exit{k}" for k in exits.EXITS), *(f"serve_stage{k}" for k in exits.EXITS), *forms}


def test_every_exit_gives_the_networks_outputs(network, served, rng):
    images = exits.pictures(rng, 3, 20, 14)
    expected = network.forward({16: exits.TASK.resized(images, 16)}, network.settings, training=False)
    together = served["serve_all"](images=images)
    for place, setting in enumerate(reversed(network.settings)):
        found = served[f"serve_{setting}"](images=images)
        assert {*found} == ANSWER
        _close(found["logits"], expected[setting])
        for name, value in found.items():
            _close(together[name][:, place], value)
    np.testing.assert_array_equal(served["serving_default"](images=images)["logits"], found["logits"])


@pytest.mark.parametrize("compact", ["borders", "never"])
def test_compaction_changes_no_answer(compact, network, served, tmp_path, rng):
    images = exits.pictures(rng, 8, 16, 16)
    policy = exits.mixed(network, images)
    loaded = tf.saved_model.load(str(_export(network, tmp_path, table=exits.table(network), compact=compact)))
    expected = _by_policy(served, images, policy)
    for some in (images, images[:1]):
        found = _by_policy(loaded.signatures, some, policy)
        np.testing.assert_array_equal(found["exit"], expected["exit"][: len(some)])
        _close(found["logits"], expected["logits"][: len(some)])
    with pytest.raises(ExportError, match="`compact` must be one of every, borders, never. Received: compact='no'"):
        _export(network, tmp_path, compact="no")


def test_encoded_pictures_leave_at_the_last_exit(served, rng):
    images = exits.pictures(rng, 2, 16, 16)
    found = served["serve_encoded"](encoded=tf.stack([tf.io.encode_png(one) for one in images]))
    _close(found["logits"], served["serve_exit4"](images=images)["logits"])


@pytest.mark.parametrize("batch", [1, 8])
@pytest.mark.parametrize("score", ["margin", "probability", "entropy"])
def test_pictures_that_leave_at_exits_of_their_own(score, batch, network, served, rng):
    """Each has the answer of its exit, which is where the Keras network lets it leave."""
    images = exits.pictures(rng, 8, 16, 16)
    policy = exits.mixed(network, images, score)
    together = served["serve_all"](images=images)
    places = []
    for some in np.split(images, 8 // batch):
        found = _by_policy(served, some, policy)
        expected = network.adaptive(exits.TASK.resized(some, 16), policy, exits.TASK)
        np.testing.assert_array_equal(found["exit"], expected.exit)
        _close(found["logits"], expected.outputs)
        _close(found["score"], expected.score)
        assert {*found} == {*ANSWER, "exit", "score"} and found["exit"].dtype == np.int32
        for name in ANSWER:
            own = together[name].numpy()[len(places) : len(places) + batch][range(batch), found["exit"] - 1]
            _close(found[name], own)
        places += [*found["exit"]]
    assert {*places} == {*exits.EXITS}


@pytest.mark.parametrize("batch", [1, 8])
@pytest.mark.parametrize(("thresholds", "number"), [([-np.inf, 0, 0], 1), ([np.inf, -np.inf, 0], 2), (NEVER, 4)])
def test_all_leave_at_one_exit(thresholds, number, batch, served, rng):
    images = exits.pictures(rng, batch, 16, 16)
    found = _adaptive(served, images, thresholds)
    assert [*found["exit"]] == [number] * batch
    _close(found["logits"], served[f"serve_exit{number}"](images=images)["logits"])


def test_stages_give_what_exits_give(network, served, rng):
    images = exits.pictures(rng, 3, 18, 18)
    inputs = {"images": tf.constant(images)}
    for number in exits.EXITS:
        found = served[f"serve_stage{number}"](**inputs)
        inputs = {name: found.pop(name) for name in [*found] if name.startswith("state_")}
        assert {*found} == ANSWER
        _close(found["logits"], served[f"serve_exit{number}"](images=images)["logits"])
    assert not inputs


def test_a_stage_goes_on_with_the_rows_that_are_left(served, rng):
    images = exits.pictures(rng, 4, 16, 16)
    state = {name: value for name, value in served["serve_stage1"](images=images).items() if name.startswith("state_")}
    found = served["serve_stage2"](**{name: tf.gather(value, [2, 0]) for name, value in state.items()})
    _close(found["logits"], served["serve_exit2"](images=images[[2, 0]])["logits"])


def test_a_cascade_carries_the_answers_of_its_heads(tmp_path, rng):
    network, images = exits.network(cascade=True), exits.pictures(rng, 3, 16, 16)
    loaded = tf.saved_model.load(str(_export(network, tmp_path)))
    served, inputs = loaded.signatures, {"images": tf.constant(images)}
    expected = network.forward({16: exits.TASK.resized(images, 16)}, network.settings, training=False)
    for setting in reversed(network.settings):
        found = served[f"serve_stage{setting.exit}"](**inputs)
        inputs = {name: value for name, value in found.items() if name.startswith("state_")}
        _close(found["logits"], expected[setting])
        _close(served[f"serve_{setting}"](images=images)["logits"], expected[setting])
    _close(_adaptive(served, images, NEVER)["logits"], expected[network.settings[0]])


def test_an_empty_batch_has_an_empty_answer(served):
    none = tf.zeros([0, 16, 16, 3], tf.uint8)
    assert served["serve_exit2"](images=none)["logits"].shape == (0, 10)
    assert served["serve_all"](images=none)["logits"].shape == (0, 4, 10)
    assert served["serve_encoded"](encoded=tf.zeros([0], tf.string))["class"].shape == (0,)
    found = _adaptive(served, none, [0.1, 0.2, 0.3])
    assert found["logits"].shape == (0, 10) and found["exit"].shape == found["score"].shape == (0,)
    inputs = {"images": none}
    for number in exits.EXITS:
        found = served[f"serve_stage{number}"](**inputs)
        assert all(value.shape[0] == 0 for value in found.values())
        inputs = {name: value for name, value in found.items() if name.startswith("state_")}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"thresholds": [0.0] * 2}, r"`thresholds` must be 3 numbers, one per exit but the last.* Received:\] \[0 0\]"),
        ({"thresholds": [0.0] * 4}, "`thresholds` must be 3 numbers"),
        ({"thresholds": []}, "`thresholds` must be 3 numbers"),
        ({"thresholds": [0.0, np.nan, 0.0]}, "`thresholds` must be 3 numbers.*, not NaN"),
        ({"temperatures": [1.0] * 3}, "`temperatures` must be 4 positive numbers, one per exit. Received"),
        ({"temperatures": [1.0, 0.0, 1.0, 1.0]}, "`temperatures` must be 4 positive numbers"),
        ({"temperatures": [1.0, np.nan, 1.0, 1.0]}, "`temperatures` must be 4 positive numbers"),
        ({"score": "entropie"}, "`score` must be one of margin, probability, entropy. Received"),
        ({"images": np.zeros([1, 0, 16, 3], np.uint8)}, "`images` must be at least one pixel"),
    ],
)
def test_inputs_that_are_refused(wrong, message, served, rng):
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        _adaptive(served, **{"images": exits.pictures(rng, 1, 16, 16), "thresholds": NEVER, **wrong})


def test_the_default_policy_is_the_best_of_the_table(exit_export, exit_policies, served, rng):
    """TensorFlow's servers and sessions fill it in."""
    images = exits.pictures(rng, 8, 16, 16)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        signature = tf.compat.v1.saved_model.load(session, ["serve"], str(exit_export)).signature_def["serve_adaptive"]
        assert {*signature.defaults} == {"thresholds", "temperatures", "score"}
        outputs = {name: info.name for name, info in signature.outputs.items()}
        found = session.run(outputs, {signature.inputs["images"].name: images})
    expected = _by_policy(served, images, exit_policies[-1])
    np.testing.assert_array_equal(found["exit"], expected["exit"])
    _close(found["score"], expected["score"])
    kept = json.loads((exit_export / "assets" / "policy.json").read_text())
    assert kept == exit_policies[-1].to_dict()


def test_without_a_policy_nobody_leaves(network):
    found = signatures_of_exits.default_policy(network, exits.table(network))
    assert found.thresholds == (None,) * 3 and found.network == exits.policy(network).network


@pytest.mark.parametrize(
    "policy", [{"network": "0123456789abcdef"}, {"exits": [1, 2, 3], "thresholds": [0.0, 0.0], "temperatures": [1.0] * 3}]
)
def test_policies_of_another_network(policy, network, tmp_path):
    table = exits.table(network, exits.policy(**policy))
    with pytest.raises(
        ExportError, match="The row policy-0 of the table is of another network, evaluate again: `policy` must be"
    ):
        _export(network, tmp_path, table=table)
    assert not [*tmp_path.iterdir()]


def test_some_exits_of_a_low_bit_network_are_served_without_the_heads_of_others(exit_export, tmp_path, rng):
    network, images = exits.network(weight_bits=2, activation_bits=2), exits.pictures(rng, 2, 16, 16)
    path = _export(network, tmp_path, settings=["exit3", "exit1"], table=exits.table(network))
    loaded = tf.saved_model.load(str(path))
    assert {*loaded.signatures} == {"serve_exit1", "serve_exit3", "serve_all", "serve_encoded", "serving_default"}
    found = loaded.signatures["serve_all"](images=images)["logits"]
    expected = network.forward({16: exits.TASK.resized(images, 16)}, ["exit1", "exit3"], training=False)
    _close(found, np.stack([*expected.values()], 1))
    assert _bytes(path) < 0.7 * _bytes(exit_export)


def test_separate_networks_equal_the_shared_one(network, served, tmp_path, rng):
    images = exits.pictures(rng, 2, 16, 16)
    loaded = tf.saved_model.load(str(_export(network, tmp_path, form="separate", settings=["exit1", "exit2"])))
    assert {*loaded.signatures} == {"serve_exit1", "serve_exit2", "serve_encoded", "serving_default"}
    for name in ("serve_exit1", "serve_exit2"):
        _close(loaded.signatures[name](images=images)["logits"], served[name](images=images)["logits"])


def _bytes(path):
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def test_all_forms_are_hardly_larger_than_one(network, exit_export, tmp_path, monkeypatch):
    """Every weight is there once: beside an export whose one signature answers at all exits."""

    def one(network, task, chosen, shared, default, compact):
        return {"serve_exit4": signatures_of_exits._of_exits(signatures_of_exits._Body(network.served(), task), chosen)}

    monkeypatch.setattr(signatures_of_exits, "signatures", one)
    single = _export(network, tmp_path, table=exits.table(network))
    weights = sum(v.shape.num_elements() for v in network.weights)
    assert _bytes(single) > 4 * weights
    assert _bytes(exit_export) <= 1.15 * _bytes(single)


def test_what_only_later_exits_need_is_not_computed(loaded, rng):
    """By time, where the later stages are most of the work."""
    images = exits.pictures(rng, 32, 16, 16)
    times = {}
    for number, thresholds in {1: [-np.inf] * 3, 4: NEVER}.items():
        taken = []
        for _ in range(8):
            start = time.perf_counter()
            _adaptive(loaded.signatures, images, thresholds)
            taken.append(time.perf_counter() - start)
        times[number] = np.median(taken)
    assert times[1] < 0.7 * times[4]
