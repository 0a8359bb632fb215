"""Times of settings by synthetic clocks: what is learnt, what is guessed, what is followed."""

import json
import threading

import numpy as np
import pytest

from tfres.deploy.runtime.estimates import ENOUGH, MARGIN, RATIOS, RECENT, WIDE, WINDOW, Estimates

COSTS = {"a": 100, "b": 200, "c": 400, "d": 1000}
AFFINE = {name: 2 + cost / 50 for name, cost in COSTS.items()}


def _learnt(times=AFFINE, calls=40, **options):
    found = Estimates(COSTS, **options)
    for _ in range(calls):
        for name, ms in times.items():
            found.add(name, ms)
    return found


def _close(found, expected):
    assert {*found} == {*expected}
    assert found == pytest.approx(expected)


def test_a_constant_machine_gives_its_exact_times():
    view = _learnt(calls=ENOUGH).view()
    _close(view.times, AFFINE)
    _close(view.typical, AFFINE)
    assert view.measured == {*COSTS} and view.cold == 0
    few = _learnt(calls=2).view()
    _close(few.typical, AFFINE)
    _close(few.times, {name: WIDE * ms for name, ms in AFFINE.items()})


def test_95_percent_of_calls_are_within_the_time(rng):
    """Of the calls that follow."""
    found = Estimates(COSTS)
    within = []
    for _ in range(600):
        for name, ms in AFFINE.items():
            ms = ms * rng.lognormal(0, 0.05 if name == "d" else 0.15)
            if len(found.samples(name)) >= ENOUGH:
                within.append((name, ms <= found.view().times[name]))
            found.add(name, ms)
    for name in COSTS:
        share = np.mean([inside for one, inside in within if one == name])
        assert 0.92 <= share <= 0.98, (name, share)
    view = found.view()
    assert view.times["d"] / view.typical["d"] < 1.2 < view.times["a"] / view.typical["a"]  # each varies in its own way


@pytest.mark.parametrize("calls", [1, 2, 3])
def test_a_change_is_followed_when_little_is_known(calls):
    found = _learnt(calls=calls)
    for _ in range(RECENT // 2 + 1):
        found.add("b", 2 * AFFINE["b"])
    _close(found.view().times, {name: 2 * WIDE * ms for name, ms in AFFINE.items()})


@pytest.mark.parametrize("factor", [2.0, 0.5, 3.0, 1.25])
def test_a_machine_that_changes_is_followed_for_all_settings(factor):
    found = _learnt()
    for _ in range(RECENT // 2 + 1):
        found.add("b", factor * AFFINE["b"])
    _close(found.view().times, {name: factor * ms for name, ms in AFFINE.items()})
    for _ in range(3 * RATIOS):  # it stays so, and only one is called
        found.add("b", factor * AFFINE["b"])
    _close(found.view().times, {name: factor * ms for name, ms in AFFINE.items()})
    for _ in range(RECENT // 2 + 1):
        found.add("c", AFFINE["c"])
    _close(found.view().times, AFFINE)


def test_a_slow_drift_is_followed():
    found = _learnt()
    for speed in np.geomspace(1, 2, 300):
        found.add("c", speed * AFFINE["c"])
    for name, ms in found.view().typical.items():
        assert 1.6 * AFFINE[name] < ms < 2.1 * AFFINE[name]


@pytest.mark.parametrize("noise", ["lognormal", "exponential"])
def test_variation_does_not_add_up(noise, rng):
    """However often one setting is called, what is known of others stays."""
    found = _learnt()
    draws = {"lognormal": rng.lognormal(0, 0.1, 20_000), "exponential": 0.9 + 0.15 * rng.exponential(1, 20_000)}[noise]
    seen = []
    for place, draw in enumerate(draws):
        found.add("b", draw * AFFINE["b"])
        if place > len(draws) - 500:
            seen.append(found.view().typical["d"])
    assert np.median(seen) == pytest.approx(AFFINE["d"], rel=0.05)


@pytest.mark.parametrize("outliers", [1, RECENT // 2])
def test_a_disturbance_changes_nothing(outliers):
    found = _learnt()
    for _ in range(outliers):
        found.add("b", 100 * AFFINE["b"])
    _close(found.view().times, AFFINE)
    for _ in range(RATIOS):
        found.add("b", AFFINE["b"])
        _close(found.view().times, AFFINE)


def test_a_first_call_that_was_disturbed():
    found = Estimates(COSTS)
    for name in "aaaddd":
        found.add(name, AFFINE[name])
    found.add("b", 100 * AFFINE["b"])
    view = found.view()
    assert view.typical["b"] == pytest.approx(MARGIN * AFFINE["b"])  # no more than a careful guess
    assert view.typical["c"] < MARGIN * AFFINE["c"]
    found.add("b", AFFINE["b"])
    found.add("b", AFFINE["b"])
    assert found.view().typical == pytest.approx(AFFINE)


def test_an_only_call_that_was_disturbed():
    found = Estimates(COSTS)
    found.add("a", 100 * AFFINE["a"])
    for _ in range(RECENT):
        found.add("a", AFFINE["a"])
    assert found.view().typical["a"] == AFFINE["a"]


def test_one_setting_that_changed_alone():
    found = _learnt()
    changed = {**AFFINE, "b": 3 * AFFINE["b"]}
    for _ in range(WINDOW + RATIOS):
        for name, ms in changed.items():
            found.add(name, ms)
    _close(found.view().times, changed)


# Guesses.


def test_guesses_are_exact_between_settings_of_affine_times():
    found = _learnt({name: AFFINE[name] for name in ("a", "d")})
    view = found.view()
    _close(view.times, AFFINE)
    assert view.measured == {"a", "d"}


def test_guesses_beyond_what_was_called_are_never_too_short():
    view = _learnt({"b": AFFINE["b"]}).view()
    assert view.times["a"] == view.times["b"] == AFFINE["b"]
    for name in ("c", "d"):
        assert view.times[name] == pytest.approx(AFFINE["b"] * COSTS[name] / COSTS["b"])
        assert view.times[name] >= AFFINE[name]


def test_guesses_grow_with_the_cost(rng):
    costs = {f"s{place}": 10.0 + place for place in range(20)}
    for _ in range(50):
        found = Estimates(costs)
        for name in rng.choice([*costs], 4, replace=False):
            found.add(str(name), rng.uniform(1, 10))
        view = found.view()
        guessed = [view.typical[name] for name in costs if name not in view.measured]
        assert np.all(np.diff(guessed) >= -1e-9)


@pytest.mark.parametrize("batch", [0.25, 8.0])
def test_another_shape_tells_what_to_expect(batch):
    """Of a batch that is so many times as large: exact where a call takes something, and each picture something."""
    before = {"a": 3.0, "b": 5.0, "c": 4.5, "d": 9.0}  # not in the order of the costs
    prior = {name: batch * ms for name, ms in before.items()}
    expected = {name: 1 + batch * (ms - 1) for name, ms in before.items()}
    view = _learnt({"a": expected["a"]}, prior=prior).view()
    _close(view.times, expected)
    view = _learnt({name: expected[name] for name in "ad"}, prior=prior).view()
    _close(view.times, expected)


def test_nothing_is_known_at_first():
    view = Estimates(COSTS).view()
    assert {*view.times.values()} == {float("inf")} and not view.measured


def test_first_calls_tell_what_the_next_first_call_takes_longer():
    found = Estimates(COSTS)
    found.add_cold("a", 300)
    assert found.view().cold == 0  # nothing to compare it with
    found.add("a", AFFINE["a"])
    found.add_cold("d", 1000)
    found.add_cold("d", found.view().typical["d"] + 5)
    found.add_cold("a", AFFINE["a"] + 7)
    view = found.view()
    assert view.cold == 7 and view.measured == {"a"} and view.typical["a"] == AFFINE["a"]
    found.add_cold("a", AFFINE["a"] / 2)
    assert found.view().cold >= 0


# The rest.


def test_what_was_learnt_is_kept(rng):
    found = Estimates(COSTS)
    for _ in range(100):
        for name in "acd":
            found.add(name, 1.5 * AFFINE[name] * rng.lognormal(0, 0.1))
    other = Estimates(COSTS)
    other.restore(json.loads(json.dumps(found.state())))
    assert other.view().typical == pytest.approx(found.view().typical)
    for name in "acd":
        assert other.view().typical[name] == found.view().typical[name]
        assert other.view().times[name] == found.view().times[name]
    assert other.view().measured == {*"acd"} and other.changes == 0


def test_memory_is_bounded():
    found = _learnt(calls=1000)
    state = found.state()
    assert all(len(values) == WINDOW for values in state["ms"].values())
    assert all(len(values) == RATIOS for values in state["ratios"].values())


def test_threads():
    found = Estimates(COSTS)

    def work(name):
        for _ in range(300):
            found.add(name, AFFINE[name])
            assert found.view().times[name] > 0 and found.samples(name)

    threads = [threading.Thread(target=work, args=(name,)) for name in COSTS]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found.changes == 1200
    _close(found.view().times, AFFINE)
