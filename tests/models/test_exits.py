"""Networks with exits: stages, their state, pictures that leave, networks of some exits, cascades."""

import types

import numpy as np
import pytest
import tensorflow as tf

from tests.models.tiny_exits import TINY, answers, expected, margin, pictures, stages, tiny, weightless
from tests.tasks.fakes import classification
from tfres.models.exit_ways import COMPACTIONS
from tfres.models.ranet import PRESETS, counting
from tfres.models.ranet.layout import base_sides, lay_out
from tfres.models.ranet.options import RANetOptions
from tfres.policies import Policy, PolicyError
from tfres.settings import Setting


@pytest.fixture(scope="module")
def network():
    return tiny()


@pytest.fixture(scope="module")
def cascade():
    return tiny(cascade=True, scales=[1, 2], channel_factors=[2, 1], bottleneck_factors=[2, 1])


def test_forward_is_the_fold_of_the_stages(network):
    images = pictures(3)
    found = network.forward({32: images}, network.settings)
    assert [setting.exit for setting in found] == [4, 3, 2, 1]
    for number, features, state in stages(network.backbone, images):
        last = state
        outputs = network.classifier.answer(number, features)
        np.testing.assert_array_equal(outputs, found[Setting(exit=number)])
        np.testing.assert_array_equal(outputs, network(images, setting=f"exit{number}"))
    assert not tf.nest.flatten(last)


# Thousand floats that a picture carries behind every exit (ranet.md, section 8.1).
STATES = {
    "ranet_cifar": [31.7, 45.1, 74.7, 90.1, 9.3, 0],
    "ranet_cifar_1233": [51.2, 67.6, 106.5, 118.5, 203.8, 211.3, 11.5, 0],
    "ranet_imagenet_c16": [97, 151, 295, 339, 664, 693, 28, 0],
    "ranet_imagenet": [364, 427, 586, 633, 1662, 1722, 29, 0],
}


@pytest.mark.parametrize("arch", STATES)
def test_state_is_as_small_as_it_can_be(arch):
    options = RANetOptions(**PRESETS[arch])
    images = tf.zeros([1, *2 * options.resolutions, 3])
    found = [sum(tf.size(t).numpy() for t in tf.nest.flatten(state)) for *_, state in stages(weightless(options), images)]
    thousands = [round(floats / 1000, 1) for floats in found]
    if options.stem == "imagenet":  # the specification rounds twice
        thousands = [int(figure + 0.5) for figure in thousands]
    assert thousands == STATES[arch]


SCALES = [
    # Those that work in the reference, at 32 pixels and at others.
    ([1, 2, 3], 32),
    ([1, 2, 3, 3], 32),
    ([1, 2, 2, 3], 17),
    ([1, 2, 3, 4], 64),
    ([1, 3], 20),
    # Those that it cannot build or run.
    ([1, 2, 3, 4], 32),
    ([1], 32),
    ([2, 3], 32),
    ([1, 2], 33),
    ([1, 1, 2, 3], 32),
    ([2, 2, 3], 32),
    ([1, 1], 13),
    ([3, 3, 5], 7),
]


@pytest.mark.parametrize(("scales", "side"), SCALES)
@pytest.mark.parametrize("layers", [{"step_mode": "lg", "step": 1}, {"step_mode": "even", "step": 2, "growth": 3}])
def test_every_list_of_scales(scales, side, layers):
    """All maps fit together; exits have the coarsest side. A growth of 3 leaves fusion layers without channels from below."""
    factors = dict.fromkeys(("channel_factors", "bottleneck_factors"), [1] * len(scales))
    options = RANetOptions(stem="cifar", scales=scales, resolutions=[side], channels=4, **{"growth": 4, **factors, **layers})
    blocks = {block.exit: block for block in lay_out(options)}
    if options.growth == 3:
        assert {block.fused for block in lay_out(options)} <= {None, 0}
    for number, features, _ in stages(weightless(options), tf.zeros([2, side, side, 3])):
        assert features.shape == (2, base_sides(options)[0], base_sides(options)[0], blocks[number].outputs)
    assert number == options.exits[-1] == 2 * len(scales)


def test_corrections_run():
    """Repeated lowest scales, blocks of one layer, fusion layers without channels from below, an odd side."""
    scales = {"scales": [1, 1, 2], "channel_factors": [1, 1, 1], "bottleneck_factors": [1, 1, 1]}
    options = {**TINY, **scales, "growth": 3, "step_mode": "lg", "blocks": 1, "resolutions": [37]}
    network = tiny(**options)
    assert not [name for name in network.layer_names() if name.endswith("_lower")]
    assert network(pictures(2, 37)).shape == (2, 5)
    for setting in network.settings:
        own = RANetOptions(**{**network.options.to_dict(), "exits": [setting.exit]})
        assert network.cost(setting).macs == counting.macs(own, setting.exit)
    assert network.cost().params < counting.params(network.options, 3) == sum(np.size(w) for w in network.trainable_weights)


@pytest.mark.parametrize("scales", [[], [2, 1], [0, 1], [1, 2, 3.5], [1] * 9, "1-2-3"])
def test_lists_of_scales_that_are_not_valid(scales):
    with pytest.raises(ValueError, match="`scales` must be (one to eight ascending whole numbers|a list of whole)"):
        tiny(scales=scales)


@pytest.fixture(scope="module")
def leaving(network):
    """Leaving in a traced function, one per way of compaction, that notes `(stage, rows)` whenever a stage runs."""
    ran, advance = [], network.backbone.advance

    def noting(state, number, training=None):
        rows = tf.shape(tf.nest.flatten(state)[0])[0]
        tf.py_function(lambda rows: ran.append((number, int(rows))), [rows], [])
        return advance(state, number, training)

    ways = {"ran": ran}
    for compact in COMPACTIONS:

        def run(images, thresholds, compact=compact):
            trunk = types.SimpleNamespace(
                begin=network.backbone.begin, advance=noting, exits=network.exits, borders=network.backbone.borders
            )
            return type(network.ways)(trunk, network.classifier).leaving(images, margin, thresholds, compact)

        specs = [tf.TensorSpec([None, 32, 32, 3]), tf.TensorSpec([3])]
        ways[compact] = tf.function(run, input_signature=specs)
    return ways


def _thresholds(found, shares):
    """Thresholds at which about these shares of the pictures would leave if all came there, far from all scores."""
    thresholds = []
    for share, scores in zip(shares, found[1], strict=False):
        ordered = np.sort([-1, *scores, 9])
        cut = round((1 - share) * (len(ordered) - 2))
        thresholds.append((ordered[cut] + ordered[cut + 1]) / 2)
    return thresholds


def _agrees(decision, right):
    exits, outputs, scores = right
    np.testing.assert_array_equal(decision.exit, exits)
    np.testing.assert_allclose(decision.outputs, outputs, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(decision.score, scores, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("compact", COMPACTIONS)
def test_every_picture_has_the_answer_of_its_exit(network, leaving, compact):
    """Random mixes of exits, none, all; in a graph and eagerly; as many rows run as stay."""
    rng = np.random.default_rng(3)
    for trial in range(6):
        images = pictures(rng.integers(1, 17), seed=trial)
        found = answers(network, images)
        thresholds = _thresholds(found, rng.uniform(0, 1, 3) if trial else [0.5, 0.5, 0.5])
        right = expected(network, found, thresholds)
        leaving["ran"].clear()
        _agrees(leaving[compact](images, tf.constant(thresholds, tf.float32)), right)
        assert sorted(leaving["ran"]) == _stages_that_run(network, compact, right[0])
        if trial < 2:
            _agrees(network.ways.leaving(images, margin, thresholds, compact), right)


def _stages_that_run(network, compact, exits):
    """`(stage, rows)` of what runs when pictures leave at these exits; smaller batches are filled up to one of few sizes."""
    rows, found = len(exits), []
    for number in network.exits:
        stay = int(np.sum(exits >= number))
        if stay:
            gathers = compact == "every" or compact == "borders" and number - 1 in network.backbone.borders
            # (the first exit leaves the whole batch behind it)
            rows = (
                min(rows, next(size for size in (1, 2, 4, 6, 8, 10, 12, 14, 16) if size >= stay))
                if gathers and number > 1
                else rows
            )
            found.append((number, rows))
    return found


@pytest.mark.parametrize("compact", COMPACTIONS)
def test_all_leave_at_once_or_never(network, leaving, compact):
    images, never = pictures(5), np.float32("nan")
    found = answers(network, images)
    for thresholds, exits in (
        ([-np.inf] * 3, [1] * 5),
        ([never, -np.inf, 0], [2] * 5),
        ([never, never, -1e9], [3] * 5),
        ([np.inf] * 3, [4] * 5),
        ([never] * 3, [4] * 5),
    ):
        leaving["ran"].clear()
        decision = leaving[compact](images, tf.constant(thresholds, tf.float32))
        _agrees(decision, expected(network, found, thresholds))
        assert decision.exit.numpy().tolist() == exits
        assert sorted(leaving["ran"]) == [(number, 5) for number in range(1, exits[0] + 1)]


@pytest.mark.parametrize("compact", COMPACTIONS)
def test_pictures_whose_score_is_no_number_do_not_leave(network, leaving, compact):
    """In graphs too, where TensorFlow turns "not at least" into "less"."""
    images, biases = pictures(5), [network.classifier._heads[place].linear.bias for place in (0, 1)]
    before = [bias.numpy() for bias in biases]
    try:
        for bias in biases:
            bias.assign(np.full(5, np.nan))
        for run in (leaving[compact], lambda *given: network.ways.leaving(given[0], margin, given[1], compact)):
            decision = run(images, tf.constant([-1.0, -1, -1]))
            assert decision.exit.numpy().tolist() == [3] * 5
            np.testing.assert_allclose(decision.outputs, network(images, setting="exit3"), rtol=1e-5, atol=1e-5)
    finally:
        for bias, value in zip(biases, before, strict=True):
            bias.assign(value)


def test_policies(network):
    """Scores at the exits' temperatures; where a policy has no threshold nobody leaves, however sure."""
    images, task = pictures(6), classification(5)
    outputs, _ = answers(network, images)
    temperatures = (0.5, 1e-30, 2.0, 1.0)
    scores = np.stack([task.confidence(z, "entropy", t) for z, t in zip(outputs, temperatures, strict=True)])
    thresholds = [float(np.median(scores[0][:5])) + 1e-6, None, float(np.median(scores[2][:5])) + 1e-6]
    never = [np.nan if threshold is None else threshold for threshold in thresholds]
    right = expected(network, (outputs, scores), never)
    assert {1, 3, 4} >= {*right[0]} and len({*right[0]}) > 1
    policy = Policy("entropy", thresholds, temperatures, network.exits)
    for compact in COMPACTIONS:
        _agrees(network.adaptive(images, policy, task, compact), right)
    with pytest.raises(ValueError, match="`compact` must be one of every, borders, never. Received: compact='always'"):
        network.adaptive(images, policy, task, "always")
    with pytest.raises(PolicyError, match="`policy` must be for the 4 exits"):
        network.adaptive(images, Policy("margin", [0.5], [1, 1], [1, 4]), task)
    with pytest.raises(ValueError, match="`images` must be float .* not empty"):
        network.adaptive(images[:0], policy, task)


def test_iterating_runs_a_stage_at_a_time(network, monkeypatch):
    ran, advance = [], network.backbone.advance
    monkeypatch.setattr(
        network.backbone, "advance", lambda state, number, **how: ran.append(number) or advance(state, number, **how)
    )
    images, given = pictures(2), []
    for setting, outputs in network.iterate(images):
        given.append(outputs)
        assert ran == list(range(1, setting.exit + 1))
        if setting.exit == 3:
            break
    assert ran == [1, 2, 3]
    np.testing.assert_array_equal(given[-1], network(images, setting="exit3"))


def test_materialised_networks_hold_what_their_exit_needs(network):
    first, third = network.materialize("exit1"), network.materialize("exit3")
    assert _blocks(first) == {"net1_block1"} and _heads(first) == {"exit1"}
    assert _blocks(third) == {f"net{subnet}_block{block}" for subnet in (1, 2) for block in range(1, subnet + 2)}
    assert _heads(third) == {"exit3"} and third.settings == [Setting(exit=3)]
    np.testing.assert_array_equal(third(pictures(2)), network(pictures(2), setting="exit3"))


def _blocks(network):
    return {name.split("/")[1] for name in network.layer_names() if name.startswith("backbone/net")}


def _heads(network):
    return {name.split("/")[1] for name in network.layer_names() if name.startswith("heads/")}


def test_network_of_some_exits(network):
    some = tiny(exits=[4, 2])
    values = {variable.name: variable for variable in network.weights}
    for variable in some.weights:
        variable.assign(values[variable.name])
    assert some.exits == (2, 4) and some.backbone.borders == {2} and _heads(some) == {"exit2", "exit4"}
    images = pictures(4)
    for number in some.exits:
        np.testing.assert_array_equal(some(images, setting=f"exit{number}"), network(images, setting=f"exit{number}"))
    found = answers(some, images)
    thresholds = _thresholds(found, [0.5])
    _agrees(some.ways.leaving(images, margin, thresholds), expected(some, found, thresholds))
    with pytest.raises(ValueError, match="`setting` must be one of exit4, exit2"):
        some(images, setting="exit1")


def test_heads_of_a_cascade(cascade):
    """A head sees the answer of the one before and sends no gradient there."""
    images = pictures(4)
    with tf.GradientTape(persistent=True) as tape:
        outputs = dict(cascade.ways.each(images, cascade.exits, training=True))
    own, before = (cascade.classifier._heads[place].linear.kernel for place in (1, 0))
    assert tape.gradient(outputs[2], before) is None and tape.gradient(outputs[2], own) is not None
    was = [z.numpy() for _, z in cascade.ways.each(images, cascade.exits)]
    before.assign(before + 0.5)
    try:
        now = [z.numpy() for _, z in cascade.ways.each(images, cascade.exits)]
        assert all(np.abs(a - b).max() > 1e-3 for a, b in zip(was, now, strict=True))
    finally:
        before.assign(before - 0.5)


def test_leaving_a_cascade(cascade):
    images = pictures(9)
    found = answers(cascade, images)
    thresholds = _thresholds(found, [0.4, 0.4])
    for compact in COMPACTIONS:
        decision = cascade.ways.leaving(images, margin, thresholds, compact)
        _agrees(decision, expected(cascade, found, thresholds))
    assert len({*decision.exit.numpy()}) == 3


def test_materialised_cascade(cascade):
    plain = cascade.materialize("exit3")
    assert _heads(plain) == {"exit1", "exit2", "exit3"} and plain.settings == [Setting(exit=3)]
    np.testing.assert_array_equal(plain(pictures(2)), cascade(pictures(2), setting="exit3"))


def test_heads_where_nobody_leaves_do_not_run(network, monkeypatch):
    """Eager and traced, also where the threshold is an input of the graph; nor are they charged."""
    ran, answer = [], network.classifier.answer

    def noting(number, features, before=None, training=None):
        tf.py_function(lambda: ran.append(number), [], [])
        return answer(number, features, before, training)

    monkeypatch.setattr(network.classifier, "answer", noting)
    images, thresholds = pictures(2), [float("inf"), 1e9, float("inf")]
    decision = network.ways.leaving(images, margin, thresholds)
    assert ran == [2, 4] and decision.exit.numpy().tolist() == [4, 4]
    ran.clear()
    traced = tf.function(lambda images, limits: network.ways.leaving(images, margin, tf.unstack(limits)))
    again = traced(images, tf.constant(thresholds))
    assert ran == [2, 4]
    np.testing.assert_allclose(again.outputs, decision.outputs, rtol=1e-5, atol=1e-5)
    whole, less = (network.costs_on_the_way(4, skipped)["macs"] for skipped in ((), (1, 3)))
    own = [network.cost(f"exit{number}").macs for number in (1, 4)]
    assert own[1] < less < whole
