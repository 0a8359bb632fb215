"""How AdaptiveModel learns what settings take, by a clock that says so: what is tried, followed and kept."""

import concurrent.futures
import gc
import threading
import time

import numpy as np
import pytest

from tests.deploy import budgets, fakes
from tests.deploy.budgets import PICTURES, SHAPE
from tfres import table
from tfres.deploy.runtime import AdaptiveModel, adaptive, memory, running, times


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    return budgets.make_export(tmp_path_factory.mktemp("exports") / "net", fakes.table("r16", "r12", "r8"))


@pytest.fixture
def opened(exported, tmp_path):
    return AdaptiveModel(exported, cache=tmp_path / "cache", measure_seconds=0.1)


@pytest.fixture
def clock(opened, monkeypatch):
    clock = budgets.Clock(opened)
    monkeypatch.setattr(opened._export.backend, "call", clock.call)
    for module in (adaptive, running, times):
        monkeypatch.setattr(module.time, "perf_counter", clock)
    return clock


def _known(model, shape=SHAPE):
    return model._runner.memory.of(shape).view()


def test_measuring_ends_in_time():
    counts = dict.fromkeys("abc", 0)

    def slow(name):
        counts[name] += 1
        time.sleep(0.05)
        return 50.0

    start = time.perf_counter()
    found = times.taken({name: lambda name=name: slow(name) for name in counts}, seconds=0.5)
    assert 0.5 <= time.perf_counter() - start < 0.8
    assert {*found} == {*"abc"} and all({*values} == {50.0} for values in found.values())
    assert max(counts.values()) - min(counts.values()) <= 1  # in turn
    counts.update(dict.fromkeys("abc", 0))
    times.taken({name: lambda name=name: slow(name) for name in counts}, seconds=0.01)
    assert counts == dict.fromkeys("abc", 2)  # one to warm up, one that counts


def test_measuring_stops_early():
    calls = []
    times.taken({"a": lambda: calls.append(1) or 1.0}, seconds=60)
    assert len(calls) == 1 + times.ROUNDS


def test_the_first_call_of_a_shape_measures_little(opened, clock):
    """The cheapest setting, once to make it ready, and the answer; neither counts as a time."""
    answer = opened.predict(PICTURES, budget_ms=1e6)
    assert answer.setting == "r16" and clock.ran == ["r8", "r8", "r16"]
    assert _known(opened).measured == {"r8"}
    clock.ran.clear()
    assert opened.predict(PICTURES, budget_ms=1e6).setting == "r16" and clock.ran == ["r16"]
    assert _known(opened).measured == {"r8", "r16"}
    assert _known(opened).typical == pytest.approx(clock.ms, rel=0.1)


def test_an_answer_that_was_found_while_measuring_is_given(opened, clock):
    assert opened.predict(PICTURES, budget_ms=clock.ms["r8"] * 1.5).setting == "r8" and clock.ran == ["r8", "r8"]
    other = np.zeros([2, 9, 9, 3], np.uint8)
    clock.ran.clear()
    assert opened.choose(1e6, other.shape[:3])["setting"] == "r16" and clock.ran == ["r8", "r8"]


def test_every_call_teaches(opened, clock):
    for setting in ("r12", "r12", "r16", "r16", "r16"):
        opened.predict(PICTURES, setting=setting)
    assert _known(opened).measured == {"r12", "r16"}
    assert opened.predict(PICTURES, budget_ms=1e6).setting == "r16"
    assert clock.ran == ["r12", "r12", "r16", "r16", "r16", "r16"]


def test_budgets_hold_while_settings_are_explored(opened, clock):
    """What was never called is taken when a careful guess allows for it; in the end all times are known."""
    clock.cold = 0.0
    missed = 0
    for budget in np.linspace(15, 80, 60):
        answer = opened.predict(PICTURES, budget_ms=float(budget))
        missed += clock.ms[answer.setting] > budget
    assert missed == 0 and _known(opened).measured == {"r16", "r12", "r8"}
    assert opened.predict(PICTURES, budget_ms=1.2 * clock.ms["r12"]).setting == "r12"


def test_settings_that_are_not_ready_wait_for_budgets_that_allow_for_it(opened, clock):
    for setting in ("r8", "r8", "r12"):
        opened.predict(PICTURES, setting=setting)
    assert _known(opened).cold == pytest.approx(clock.cold, abs=5)
    budget = 1.5 * clock.ms["r16"]  # enough for a call, but not for the first
    clock.ran.clear()
    for _ in range(adaptive.EXPLORE):
        opened.predict(PICTURES, budget_ms=budget)
    assert clock.ran == ["r12"] * (adaptive.EXPLORE - 1) + ["r16"]  # now and then one pays for the others
    assert opened.predict(PICTURES, budget_ms=budget).setting == "r16"


@pytest.mark.parametrize("factor", [4.0, 0.25])
def test_a_machine_that_changes(factor, opened, clock):
    opened.measure_seconds = 60.0
    opened.measure(SHAPE)
    budget = 1.5 * max(clock.ms["r12"], factor * clock.ms["r12"])
    clock.factor = factor
    for _ in range(5):
        opened.predict(PICTURES, budget_ms=1e6)
    clock.ran.clear()
    assert opened.choose(budget, SHAPE)["setting"] == ("r12" if factor > 1 else "r16")
    assert opened.measure(SHAPE) == pytest.approx({name: factor * ms for name, ms in clock.ms.items()}, rel=0.2)


def test_a_machine_that_became_faster_while_every_budget_was_missed(opened, clock, monkeypatch):
    opened.measure(SHAPE)
    clock.factor = 100.0
    for _ in range(5):
        opened.predict(PICTURES, setting="r16")
    budget = 2 * clock.ms["r8"]
    with pytest.raises(table.BudgetError):
        opened.predict(PICTURES, budget_ms=budget)
    clock.factor = 1.0
    clock.ran.clear()
    with pytest.raises(table.BudgetError):
        opened.predict(PICTURES, budget_ms=budget)  # it was looked after just now
    assert not clock.ran
    monkeypatch.setattr(running, "AGAIN", 0.0)
    assert opened.predict(PICTURES, budget_ms=budget).setting == "r8"


# Kept, forgotten, and shared by threads.


def test_what_calls_taught_is_kept(opened, exported, clock, monkeypatch):
    for setting in ("r8", "r8", "r12", "r12", "r12"):
        opened.predict(PICTURES, setting=setting)
    assert not opened.cache.exists()
    opened.close()
    other = AdaptiveModel(exported, cache=opened.cache)
    assert _known(other).measured == {"r8", "r12"} and _known(other).typical["r12"] == pytest.approx(clock.ms["r12"])
    (kept,) = (opened.cache / "latency").iterdir()
    kept.unlink()
    opened.close()
    assert not kept.exists()  # nothing new
    opened.predict(PICTURES, setting="r12")
    del opened
    other.predict(PICTURES, setting="r8")  # made ready
    del other
    gc.collect()


def test_what_calls_taught_is_written_now_and_then(opened, monkeypatch):
    written, write = [], times.write
    monkeypatch.setattr(times, "write", lambda *args: written.append(threading.current_thread()) or write(*args))
    opened.measure(SHAPE)
    written.clear()
    opened.predict(PICTURES, setting="r8")
    assert not written
    monkeypatch.setattr(opened._runner.memory, "_due", 0.0)
    opened.predict(PICTURES, setting="r8")
    opened.predict(PICTURES, setting="r8")
    for thread in threading.enumerate():
        if thread is not threading.main_thread() and thread.name.startswith("tfres"):
            thread.join()
    assert len(written) == 1 and written[0] is not threading.main_thread()


def test_other_shapes_tell_what_to_expect(opened, clock):
    opened.measure(SHAPE)
    larger = np.zeros([4, 16, 16, 3], np.uint8)
    clock.factor = 4.0
    opened.predict(larger, budget_ms=1e6)
    view = _known(opened, (4, 16, 16))
    assert view.measured == {"r8"}
    assert view.typical == pytest.approx({name: 4 * ms for name, ms in clock.ms.items()}, rel=0.05)


def test_shapes_are_forgotten(opened, monkeypatch):
    monkeypatch.setattr(memory, "SHAPES", 3)
    for side in range(8, 16):
        for pictures in [np.zeros([1, side, side, 3], np.uint8)] * 2 + [PICTURES] * 2:
            opened.predict(pictures, setting="r8")
    assert {*opened._runner.memory._shapes} == {SHAPE, (1, 15, 15), (1, 14, 14)}
    opened.close()
    assert len([*(opened.cache / "latency").iterdir()]) == 3


def test_threads(opened):
    """No call waits for another, none is lost."""
    pictures = [np.zeros([1, side, side, 3], np.uint8) for side in (16, 12) * 30]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda one: opened.predict(one, budget_ms=1e6), pictures))
        assert {answer.setting for answer in answers} == {"r16"}
        list(pool.map(lambda one: opened.predict(one, setting="r12"), pictures))
        list(pool.map(lambda one: opened.measure(one.shape[:3], anew=True), pictures[:4]))
    for side in (16, 12):
        assert _known(opened, (1, side, side)).measured == {"r16", "r12", "r8"}
    opened.measure(SHAPE)["r16"] = -1.0  # a copy
    assert opened.measure(SHAPE)["r16"] > 0


def test_no_lock_is_held_during_a_call(opened, monkeypatch):
    """While one is made, others are answered."""
    opened.measure(SHAPE)
    call, inside, done = opened._export.backend.call, threading.Event(), threading.Event()

    def slow(name, inputs):
        if name == "serve_r16":
            inside.set()
            assert done.wait(20)
        return call(name, inputs)

    monkeypatch.setattr(opened._export.backend, "call", slow)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(opened.predict, PICTURES, 1e6)
        assert inside.wait(20)
        assert opened.predict(PICTURES, setting="r8").setting == "r8" and opened.choose(1e6, SHAPE)["setting"] == "r16"
        opened.close()
        done.set()
        assert waiting.result().setting == "r16"


def test_times_have_all_of_a_call_with_a_budget(opened, clock):
    alone = opened.measure(SHAPE)
    for _ in range(running.BESIDES):
        opened._runner.judge(5.0, kept=True)
    assert opened.measure(SHAPE) == pytest.approx({name: ms + 5 for name, ms in alone.items()})


def test_times_lengthen_until_19_in_20_calls_keep_them(opened, clock, rng):
    typical, kept = opened.measure(SHAPE)["r16"], []
    for draw in rng.uniform(1, 1.4, 4000):  # (nothing is learnt of these calls but whether they were in time)
        kept.append(typical * draw <= opened._runner.times(SHAPE)[0]["r16"])
        opened._runner.judge(0.0, kept[-1])
    assert not all(kept[:10]) and np.mean(kept[1000:]) == pytest.approx(0.95, abs=0.005)
