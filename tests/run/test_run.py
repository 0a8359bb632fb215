"""The folder of a run: what is created, read, refused, cleaned, deleted."""

import json
import os
import pathlib
import resource
import stat
import time

import numpy as np
import pytest

from tfres.errors import CheckpointError, RecipeError, RunError
from tfres.run import History, Run, facts
from tfres.settings import Private, Setting

RECIPE = {"model": {"arch": "resnet20", "resolutions": [32, 24]}, "training": {"momentum": 0.9, "load": None}}
FACTS = {"classes": ["cat", "dog"], "steps_per_epoch": 4, "pictures": 32}


@pytest.fixture
def run(tmp_path):
    run = Run(tmp_path / "runs" / "one")
    run.create(RECIPE, FACTS)
    return run


def _listing(folder):
    return sorted(str(path.relative_to(folder)) for path in pathlib.Path(folder).rglob("*"))


def test_create_and_read(run):
    assert run.exists() and run.name == "one"
    assert run.recipe() == RECIPE
    known = run.facts()
    assert known["format"] == facts.FORMAT and known["classes"] == ["cat", "dog"] and known["versions"]["numpy"]
    assert run.fact("steps_per_epoch") == 4
    assert (run.path.parent / "latest").resolve() == run.path.resolve()
    run.write_network({"family": "rsnet", "options": {"resolutions": (32, 24), "bits": np.int64(2)}})
    assert run.network() == {"family": "rsnet", "options": {"resolutions": [32, 24], "bits": 2}}
    assert run.read_table() == {"rows": []}
    run.add_to_table({"rows": [{"setting": "r32", "top1": 0.5, "calibrated": "x"}]})
    run.add_to_table({"rows": [{"setting": "r32", "ms": 2.0}, {"setting": "r24"}]})
    assert run.read_table()["rows"] == [{"setting": "r32", "top1": 0.5, "calibrated": "x", "ms": 2.0}, {"setting": "r24"}]
    assert not list(run.path.glob(".*"))


def test_the_marker_is_written_first(tmp_path, monkeypatch):
    from tfres.run import folder

    order = []
    monkeypatch.setattr(
        folder, "write_text", lambda path, text: order.append((path.name, (path.parent / "run.json").exists()))
    )
    Run(tmp_path / "run").create(RECIPE, FACTS)
    assert order == [("recipe.yaml", True)]
    monkeypatch.undo()
    Run(tmp_path / "run").create(RECIPE, FACTS)  # killed before the recipe: the same command goes on
    assert Run(tmp_path / "run").recipe() == RECIPE


def test_same_recipe_and_facts_go_on(run):
    before = _listing(run.path)
    run.create({**RECIPE, "model": {**RECIPE["model"], "resolutions": (32, 24)}}, {**FACTS, "classes": ("cat", "dog")})
    run.create(RECIPE, {})
    assert _listing(run.path) == before


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"training": {"momentum": 0.5, "load": None}}, "training.momentum is 0.9 there, 0.5 here"),
        ({"training": {"momentum": 0.9}}, "training.load is given there, left out here"),
        ({"data": {"source": "x"}}, "data is left out there, given here"),
        ({"model": 3}, "model is {'arch'.*} there, 3 here"),
    ],
)
def test_another_recipe(run, change, told):
    with pytest.raises(RecipeError, match=f"holds a run of another recipe \\({told}\\). Name another folder with --run"):
        run.create({**RECIPE, **change}, FACTS)
    assert run.recipe() == RECIPE


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"steps_per_epoch": 5}, "`steps_per_epoch` is 4 there, 5 now"),
        ({"pictures": 40}, "`pictures` is 32 there, 40 now"),
        ({"classes": ["cat", "wolf"]}, "`classes` is 2 entries there, 2 now: now without dog and with wolf"),
        ({"classes": ["cat", "dog", "emu"]}, "`classes` is 2 entries there, 3 now: now with emu"),
        ({"classes": ["dog", "cat"]}, "in another order from number 0 on"),
    ],
)
def test_data_that_changed(run, change, told):
    """Defect 6: pictures added, a class renamed; told at once, with the words how to go on."""
    with pytest.raises(RunError, match=told) as error:
        run.create(RECIPE, {**FACTS, **change})
    assert "--load" in str(error.value) and "Put the data back" in str(error.value)
    assert run.fact("classes") == ["cat", "dog"]


def test_latest_given_as_the_run(run):
    """Defect 11: the link does not come to point at itself."""
    latest = run.path.parent / "latest"
    Run(latest).create(RECIPE, FACTS)
    assert os.readlink(latest) == "one" and Run(latest).recipe() == RECIPE and Run(latest).path == run.path
    elsewhere = run.path.parent.parent / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "latest").symlink_to(run.path)  # a link of the user's, to another place
    Run(elsewhere / "latest").create(RECIPE, FACTS)
    assert os.readlink(elsewhere / "latest") == str(run.path)
    real = Run(elsewhere / "deep" / "latest")  # a folder of that name
    real.create(RECIPE, FACTS)
    assert real.path.is_dir() and not real.path.is_symlink()


def test_links_that_lead_nowhere(tmp_path):
    (tmp_path / "latest").symlink_to("latest")
    (tmp_path / "gone").symlink_to("nothing")
    for name in ("latest", "gone"):
        with pytest.raises(RunError, match="a link to .*, which is not there"):
            Run(tmp_path / name)
    for wrong in ("", None, 3, "a\0b"):
        with pytest.raises(RunError, match="`run` must be the path of a folder"):
            Run(wrong)


def test_current_folder_as_the_run(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    Run(".").create(RECIPE, FACTS)
    assert (tmp_path / "latest").resolve() == (tmp_path / "here").resolve() and not (tmp_path / "here" / "latest").exists()
    with pytest.raises(RunError, match="the current folder or above it"):
        Run(".").delete()
    with pytest.raises(RunError, match="the current folder or above it"):
        Run(tmp_path / "here").backup()


def _foreign(folder):
    (folder / "photos").mkdir(parents=True)
    (folder / "photos" / "a.png").write_bytes(b"x")
    (folder / "notes.txt").write_text("mine")


@pytest.mark.parametrize("act", ["exists", "delete", "backup", "recipe", "facts", "network"])
def test_folder_that_is_no_run(tmp_path, act):
    """Defect 1: nothing but a run is deleted or renamed."""
    _foreign(tmp_path / "mine")
    before = _listing(tmp_path)
    with pytest.raises(
        RunError, match="`run` must be the folder of a run. Received: run=.*mine, which holds notes.txt, photos"
    ):
        getattr(Run(tmp_path / "mine"), act)()
    with pytest.raises(RunError, match="holds notes.txt, photos"):
        Run(tmp_path / "mine").create(RECIPE, FACTS)
    assert _listing(tmp_path) == before
    (tmp_path / "mine" / "run.json").write_text('{"name": "sport"}')
    with pytest.raises(RunError, match="whose run.json is not one of tfres"):
        getattr(Run(tmp_path / "mine"), act)()
    (tmp_path / "file").write_text("x")
    with pytest.raises(RunError, match="file, (which is a file|no folder)"):
        getattr(Run(tmp_path / "file"), act)()
    if act != "exists":
        with pytest.raises(RunError, match="which is not there|no folder"):
            getattr(Run(tmp_path / "none"), act)()


def test_no_folder_and_an_empty_one_hold_no_run(tmp_path):
    assert not Run(tmp_path / "none").exists()
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / ".run.json.abcdefgh.tmp").write_text("")
    assert not Run(tmp_path / "empty").exists()


def _fill(run):
    """Everything that a run writes."""
    for name in (
        "network.json",
        "table.json",
        "accuracy.png",
        "sweep.json",
        "sweep.png",
        "grid.png",
        ".table.json.a1b2c3d4.tmp",
    ):
        (run.path / name).write_text("{}")
    History(run).add(1, {"loss": 1.0})
    run.add_calibrated("model-1", {40: Private({"x": np.zeros(2)})})
    run.checkpoints.mkdir()
    for name in ("checkpoint", "model-4.index", "model-4.data-00000-of-00001", "model-8.data-00000-of-00001"):
        (run.checkpoints / name).write_text("x")
    (run.checkpoints / "model-8_temp").mkdir()
    (run.checkpoints / "model-8_temp" / "part-00000-of-00001.data-00000-of-00001").write_text("x")


def test_delete_removes_the_whole_run(run):
    _fill(run)
    assert run.delete() == []
    assert not run.path.exists() and not run.exists()


def test_delete_keeps_what_is_not_the_runs_own(run, tmp_path):
    """Defect 1, inside a run: foreign files, folders and what links lead to stay."""
    _fill(run)
    _foreign(tmp_path / "other")
    (run.path / "notes.txt").write_text("mine")
    (run.checkpoints / "best.h5").write_text("mine")
    (run.path / "tensorboard" / "more").symlink_to(tmp_path / "other")
    (run.path / "data").symlink_to(tmp_path / "other")
    assert run.delete() == ["checkpoints", "data", "notes.txt", "tensorboard"]
    assert (run.checkpoints / "best.h5").exists() and not list(run.checkpoints.glob("model*"))
    assert (tmp_path / "other" / "photos" / "a.png").exists() and (run.path / "notes.txt").exists()
    other = {**RECIPE, "model": {"arch": "resnet56"}}
    run.create(other, FACTS)  # the next run goes there
    assert run.recipe() == other


def test_delete_through_links(run, tmp_path):
    latest = Run(run.path.parent / "latest")
    (tmp_path / "elsewhere").symlink_to(run.path)
    with pytest.raises(RunError, match="a link to"):
        Run(tmp_path / "elsewhere").delete()
    with pytest.raises(RunError, match="a link to"):
        Run(tmp_path / "elsewhere").backup()
    outside = tmp_path / "disk"
    outside.mkdir()
    (outside / "model-1.index").write_text("x")
    (run.path / "checkpoints").symlink_to(outside)
    latest.delete()
    assert (outside / "model-1.index").exists() and not (run.path / "recipe.yaml").exists()


@pytest.mark.parametrize("place", ["home", "root", "above", "mount"])
def test_places_that_are_never_deleted(tmp_path, monkeypatch, place):
    run = Run(tmp_path / "a" / "run")
    run.create(RECIPE, FACTS)
    if place == "home":
        monkeypatch.setenv("HOME", str(run.path))
    elif place == "above":
        (run.path / "deep").mkdir()
        monkeypatch.chdir(run.path / "deep")
    elif place == "mount":
        monkeypatch.setattr(os.path, "ismount", lambda path: True)
    for act in (run.delete, run.backup):
        with pytest.raises(RunError, match="`run` must be a folder of its own to be deleted or backed up"):
            Run("/").delete() if place == "root" else act()
    assert run.recipe() == RECIPE


def test_backup(run):
    (run.path / "notes.txt").write_text("mine")
    first = run.backup()
    assert not run.path.exists() and (first / "notes.txt").exists() and Run(first).recipe() == RECIPE
    run.create(RECIPE, FACTS)
    assert run.backup() != first


def test_run_of_the_version_before(tmp_path):
    old = tmp_path / "old"
    old.mkdir()
    (old / "run.json").write_text('{"classes": ["a"], "versions": {"numpy": "2"}, "created": "2026-01-01"}')
    (old / "recipe.yaml").write_text("model: {}")
    for act in ("exists", "recipe", "delete", "backup"):
        with pytest.raises(RunError, match="is a run of an earlier version of tfres"):
            getattr(Run(old), act)()
    (old / "run.json").write_text('{"format": 99, "tfres": "9.1"}')
    with pytest.raises(RunError, match="has format 99, made by tfres 9.1; this version reads"):
        Run(old).exists()


DAMAGED = [
    b"",
    b"   ",
    b"\x00\xff\x80",
    b"\x80\x02}q\x00.",
    b"{",
    b"[]",
    b"null",
    b"3",
    b'"a"',
    b"[" * 100000,
    "ü".encode("latin1"),
]


@pytest.mark.parametrize("content", DAMAGED, ids=range(len(DAMAGED)))
@pytest.mark.parametrize("name", ["run.json", "recipe.yaml", "network.json", "table.json", "calibrated.npz", "metrics.csv"])
def test_damaged_files(run, name, content):
    """Defect 16: the file is named, in one line, within a second."""
    (run.path / name).write_bytes(content)
    read = {
        "run.json": run.facts,
        "recipe.yaml": run.recipe,
        "network.json": run.network,
        "table.json": run.read_table,
        "calibrated.npz": lambda: run.calibrated("model-1"),
        "metrics.csv": lambda: History(run),
    }[name]
    started = time.perf_counter()
    with pytest.raises(RunError) as told:
        read()
    assert time.perf_counter() - started < 1
    assert name in str(told.value) and "\n" not in str(told.value) and len(str(told.value)) < 600


@pytest.mark.parametrize("name", ["run.json", "recipe.yaml", "network.json", "table.json"])
def test_what_is_no_ordinary_file(run, name):
    (run.path / name).unlink(missing_ok=True)
    os.mkfifo(run.path / name)  # a reader would wait for ever
    read = {"recipe.yaml": run.recipe, "network.json": run.network, "table.json": run.read_table}.get(name, run.facts)
    with pytest.raises(RunError, match="must be an ordinary file|must be the folder of a run"):
        read()
    (run.path / name).unlink()
    (run.path / name).mkdir()
    with pytest.raises(RunError, match="a folder|must be the folder of a run"):
        read()


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("run.json", {"format": 2}, "is not one of tfres"),
        ("run.json", {"format": True, "tfres": "1"}, "is not one of tfres"),
        ("run.json", {"format": facts.FORMAT, "tfres": "1", "classes": "ab"}, "`classes` in .* must be a list of names"),
        ("run.json", {"format": facts.FORMAT, "tfres": "1", "classes": [1]}, "`classes` in .* must be a list of names"),
        ("run.json", {"format": facts.FORMAT, "tfres": "1", "steps_per_epoch": 0}, "`steps_per_epoch` in .* positive whole"),
        ("network.json", {"family": "rsnet"}, "network.json must be a mapping with `family`"),
        ("network.json", {"family": 3, "options": {}}, "must be a mapping with `family`"),
        ("network.json", {"family": "a", "options": []}, "must be a mapping with `family`"),
        ("table.json", {"rows": {}}, "table.json is no query table: `table` must be a mapping with a list of `rows`"),
        ("table.json", {"rows": [{}]}, "Row 0 must be a mapping with the name of its `setting`"),
        ("table.json", {"rows": [{"setting": "r1", "macs": "many"}]}, "`macs` of the row r1 must be a finite number"),
        ("table.json", {"rows": [{"setting": "r1", "top1": float("nan")}]}, "NaN is not a finite number"),
        ("table.json", {"rows": [{"setting": "r1"}, {"setting": "r1"}]}, "Row 1 repeats the setting r1"),
    ],
)
def test_wrong_types(run, name, content, told):
    (run.path / name).write_text(json.dumps(content))
    read = {"run.json": run.facts, "network.json": run.network, "table.json": run.read_table}[name]
    with pytest.raises(RunError, match=told):
        read()


def test_json_of_a_kind(run):
    for text, told in (('{"rows": [], "rows": []}', "the key 'rows' stands twice"), ('{"a": 1e999}', "1e999 is not a finite")):
        run.table.write_text(text)
        with pytest.raises(RunError, match=told):
            run.read_table()


def test_facts_that_were_not_recorded(tmp_path):
    run = Run(tmp_path / "run")
    run.create(RECIPE, {"classes": ["a"]})
    with pytest.raises(RunError, match="must have `steps_per_epoch`"):
        run.fact("steps_per_epoch")
    run.create(RECIPE, FACTS | {"classes": ["a"]})
    with pytest.raises(ValueError, match="must hold plain values"):
        run.create({"model": object()}, {})


def test_write_of_what_is_not_finite(run):
    run.add_to_table({"rows": [{"setting": "r32", "top1": 0.5}]})
    before = run.table.read_bytes()
    with pytest.raises(ValueError, match="`top1` of the row r32 must be a finite number"):
        run.add_to_table({"rows": [{"setting": "r32", "top1": float("nan")}]})
    with pytest.raises(ValueError, match="must hold finite numbers"):
        run.add_to_table({"rows": [{"setting": "r32", "other": float("inf")}]})
    assert run.table.read_bytes() == before


def test_calibrated_values_are_kept_by_checkpoint(run, caplog):
    assert run.calibrated("model-1") == {}
    run.add_calibrated("model-1", {40: Private({"a/b/mean": np.ones(3, "f")}, {"encodings": {"40": 0.5}})})
    run.add_calibrated("model-1", {"r16-w0.5": Private({"x": np.zeros(1)}), "r40x48": Private({})})
    found = run.calibrated("model-1")
    assert set(found) == {Setting(40), Setting(16, 0.5), Setting((40, 48))}
    np.testing.assert_array_equal(found[Setting(40)].values["a/b/mean"], np.ones(3, "f"))
    assert found[Setting(40)].options == {"encodings": {"40": 0.5}} and found[Setting((40, 48))].values == {}
    assert run.calibrated("model-2") == {} and "is for checkpoint model-1, not model-2" in caplog.text
    run.add_calibrated("model-2", {40: Private({})})
    assert list(run.calibrated("model-2")) == [Setting(40)]
    with pytest.raises(ValueError, match="`x` of r8 must hold finite numbers only"):
        run.add_calibrated("model-2", {8: Private({"x": np.array([np.nan])})})


def _npz(path, compressed=False, **arrays):
    with open(path, "wb") as file:
        (np.savez_compressed if compressed else np.savez)(file, **arrays)


@pytest.mark.parametrize(
    ("arrays", "told"),
    [
        ({"checkpoint": np.array("m"), "r32:x": np.array([1.0, np.inf])}, "`x` of r32 in .* must hold finite numbers only"),
        ({"checkpoint": np.array("m"), "r32:x": np.array(["a"])}, "`x` of r32 in .* must hold finite numbers only"),
        ({"checkpoint": np.array("m"), "r32:x": np.array([None])}, "must be an archive of arrays that tfres wrote"),
        ({"checkpoint": np.array("m"), "hello": np.zeros(1)}, "has an entry that is none of tfres: 'hello'"),
        ({"checkpoint": np.array("m"), "z9:x": np.zeros(1)}, "has an entry that is none of tfres: 'z9:x'"),
        ({"checkpoint": np.array("m"), "r32:": np.array("[1]")}, "has options of a setting that are no mapping"),
        ({"checkpoint": np.array(3), "r32:x": np.zeros(1)}, "must name the checkpoint"),
        ({"r32:x": np.zeros(1)}, "must name the checkpoint"),
        ({"compressed": True, "checkpoint": np.array("m"), "r32:x": np.zeros(10**7)}, "it is compressed"),
    ],
)
def test_calibrated_values_of_others(run, arrays, told):
    _npz(run.path / "calibrated.npz", **arrays)
    with pytest.raises(RunError, match=told):
        run.calibrated("m")


def test_calibrated_values_cut_or_changed_anywhere(run, rng):
    path = run.path / "calibrated.npz"
    run.add_calibrated("m", {8: Private({"x": np.arange(40.0)})})
    whole = path.read_bytes()
    for size in range(0, len(whole), 7):
        path.write_bytes(whole[:size])
        with pytest.raises(RunError, match="must be an archive of arrays"):
            run.calibrated("m")
    for _ in range(200):
        data = bytearray(whole)
        data[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
        path.write_bytes(bytes(data))
        try:
            found = run.calibrated("m")
        except RunError:
            continue
        if Setting(8) in found and "x" in found[Setting(8)].values:
            np.testing.assert_array_equal(found[Setting(8)].values["x"], np.arange(40.0))


def test_clean_removes_only_temporary_files_of_ours(run):
    """Defect 14: `.metrics.csv.*.tmp` of killed programs."""
    mine = [".metrics.csv.ab12_d3f.tmp", ".run.json.abcdefgh.tmp", ".calibrated.npz.12345678.tmp"]
    others = ["notes.tmp", ".cache.abcdefgh.tmp", ".metrics.csv.tmp", "metrics.csv.abcdefgh.tmp"]
    for name in mine + others:
        (run.path / name).write_text("x")
    stale, fresh = (run.path.parent / f".latest.{number}.tmp" for number in (1, 2))
    for link in (stale, fresh):
        link.symlink_to("one")
    os.utime(stale, (0, 0), follow_symlinks=False)
    run.clean()
    names = {path.name for path in run.path.iterdir()}
    assert not names & set(mine) and set(others) <= names
    assert not stale.is_symlink() and fresh.is_symlink()
    (run.path / "checkpoints").mkdir()
    (run.path / "checkpoints" / "checkpoint").write_bytes(b"")
    with pytest.raises(CheckpointError, match="it is empty"):
        run.clean()


def test_history(run):
    history = History(run)
    history.add(2, {"loss": 1.5})
    history.add(2, {"top1": 0.25})
    history.add(4, {"loss": 1.0, "rate": 0.1})
    assert (run.path / "metrics.csv").read_text() == "step,loss,top1,rate\n2,1.5,0.25,\n4,1,,0.1\n"
    History(run, first_step=2).add(3, {"loss": 7.0})
    assert (run.path / "metrics.csv").read_text() == "step,loss,top1\n2,1.5,0.25\n3,7,\n"
    assert list((run.path / "tensorboard").glob("events*"))


@pytest.mark.parametrize(
    "text",
    ["loss\n1\n", "step,loss\n1\n", "step,loss\nx,1\n", "step,loss\n1,abc\n", "step,step\n1,1\n", "step\n²\n", "step\n-1\n"],
)
def test_history_that_is_damaged(run, text):
    (run.path / "metrics.csv").write_text(text)
    with pytest.raises(RunError, match="metrics.csv.*Remove the file to go on without it"):
        History(run)


def test_full_disk_and_folder_that_cannot_be_written(run, monkeypatch):
    """The path that was meant is named, and nothing half-written stays."""
    import tempfile

    from tfres.files import write_text

    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space left on device: '.*table.json'") as told:
        run.add_to_table({"rows": []})
    assert "\n" not in str(told.value) and not list(run.path.glob(".*")) and not run.table.exists()
    monkeypatch.undo()

    def refuse(**options):
        raise PermissionError(13, "Permission denied", f"{options['dir']}/{options['prefix']}abcdefgh.tmp")

    monkeypatch.setattr(tempfile, "mkstemp", refuse)
    with pytest.raises(PermissionError, match=r"Permission denied: '.*/one/a.txt'"):
        write_text(run.path / "a.txt", "x")
    monkeypatch.undo()
    with pytest.raises(FileExistsError):
        write_text(run.path / "run.json" / "a.txt", "x")
    assert stat.S_IMODE((run.path / "run.json").stat().st_mode) == 0o644


def test_full_disk_while_statistics_are_kept(run):
    """Writes beyond a file size fail as on a full disk: what was there stays whole, in one line."""
    run.add_calibrated("m", {8: Private({"x": np.zeros(2)})})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(OSError, match="File too large: '.*calibrated.npz'") as told:
            run.add_calibrated("m", {16: Private({"x": np.zeros(10**5)})})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "\n" not in str(told.value) and not list(run.path.glob(".*"))
    assert list(run.calibrated("m")) == [Setting(8)]
