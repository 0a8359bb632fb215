"""Checkpoints whose files are missing, cut, swapped, foreign or damaged."""

import os
import shutil

import numpy as np
import pytest
import tensorflow as tf

from tfres.errors import CheckpointError
from tfres.run import checkpoints

FIRST, SECOND = "model-4", "model-8"


def _save(folder, step, **values):
    folder.mkdir(exist_ok=True, parents=True)
    variables = {"a/kernel": np.full([8, 8], step, "f"), "b/bias": np.arange(5.0, dtype="f"), "global_step": np.int64(step)}
    variables = {name: tf.Variable(value) for name, value in {**variables, **values}.items()}
    return checkpoints.save(checkpoints.make_saver(variables, folder, 10), None, folder, step)


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "run" / "checkpoints"
    for step in (4, 8):
        _save(folder, step)
    return folder


def _index(folder, name=SECOND):
    return folder / f"{name}.index"


def _data(folder, name=SECOND):
    return folder / f"{name}.data-00000-of-00001"


def _names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_found_and_read(folder):
    newest = str(folder / SECOND)
    assert checkpoints.latest_checkpoint(folder) == newest == tf.train.latest_checkpoint(str(folder))
    for path in (folder.parent, folder, newest):
        assert checkpoints.find_checkpoint(path) == newest
    tensors = checkpoints.read_checkpoint(newest)
    assert tensors["global_step"] == 8 and (tensors["a/kernel"] == 8).all() and len(tensors) == 3
    assert checkpoints.of_step(folder, 4) == str(folder / FIRST)
    assert checkpoints.found(folder) == {4: folder / FIRST, 8: folder / SECOND}
    assert checkpoints.is_training_state("x/Momentum") and not checkpoints.is_training_state("x/kernel")
    with pytest.raises(CheckpointError, match=r"has no checkpoint of step 5; it has \[4, 8\]"):
        checkpoints.of_step(folder, 5)
    assert checkpoints.latest_checkpoint(folder / "none") is None
    before = _names(folder)
    checkpoints.clean(folder)
    assert _names(folder) == before


def test_kinds_of_tensors_and_checkpoints_of_objects(tmp_path):
    values = {
        "text": "x",
        "texts": ["a", "b"],
        "none": np.zeros((0, 3), "f"),
        "true": True,
        "complex": 1j,
        "small": np.int8(3),
    }
    values["brain"] = tf.constant([1.0, 2.0], tf.bfloat16)
    found = checkpoints.read_checkpoint(_save(tmp_path, 8, **values))
    assert found["none"].shape == (0, 3) and found["text"] == b"x" and found["small"] == 3 and len(found) == 10
    prefix = tf.train.Checkpoint(v=tf.Variable(2.0)).save(str(tmp_path / "objects"))
    assert checkpoints.read_checkpoint(prefix)["v/.ATTRIBUTES/VARIABLE_VALUE"] == 2


@pytest.mark.parametrize("load", ["", " ", None, 3, "nowhere", "a\0b", "x" * 5000, ".", "/"])
def test_nothing_to_load(load, tmp_path, monkeypatch):
    """Defect 9: `--load ''`."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match="`load` must be a run folder, a folder of checkpoints or a prefix") as told:
        checkpoints.find_checkpoint(load)
    assert len(str(told.value)) < 400


def test_the_list_is_missing(folder):
    """Defect 2: nothing is deleted; the list is made of the checkpoints that can be read."""
    (folder / "checkpoint").unlink()
    (folder / "model-12.data-00000-of-00001").write_bytes(b"part")
    assert checkpoints.latest_checkpoint(folder) == str(folder / SECOND)
    before = _names(folder)
    checkpoints.clean(folder)
    assert _names(folder) == sorted([*before, "checkpoint"])
    assert tf.train.latest_checkpoint(str(folder)) == str(folder / SECOND)
    assert [os.path.basename(path) for path in tf.train.get_checkpoint_state(str(folder)).all_model_checkpoint_paths] == [
        FIRST,
        SECOND,
    ]
    _save(folder, 12)  # the saver goes on counting
    assert _index(folder, FIRST).exists() and checkpoints.latest_checkpoint(folder) == str(folder / "model-12")


def test_the_list_is_missing_and_the_newest_is_cut(folder):
    (folder / "checkpoint").unlink()
    _data(folder).write_bytes(_data(folder).read_bytes()[:-5])
    checkpoints.clean(folder)
    assert checkpoints.latest_checkpoint(folder) == str(folder / FIRST)
    assert _index(folder).exists() and _data(folder).exists()


@pytest.mark.parametrize(
    "content",
    [b"", b"  \n", b"\x00\x01", b"\xff\xfe", b"hello", b'model_checkpoint_path "x"', b'other: "x"', b"{}", b"x" * 2**21],
)
def test_a_list_that_is_damaged(folder, content):
    """Defect 2: a named error, and nothing is removed."""
    (folder / "checkpoint").write_bytes(content)
    before = _names(folder)
    for act in (checkpoints.latest_checkpoint, checkpoints.find_checkpoint, checkpoints.clean):
        with pytest.raises(CheckpointError, match="checkpoints/checkpoint") as told:
            act(folder)
        assert "\n" not in str(told.value)
    assert _names(folder) == before


def test_a_list_that_names_what_is_not_there(folder, caplog):
    _index(folder).unlink()
    assert checkpoints.latest_checkpoint(folder) == str(folder / FIRST)
    assert "model-8 is not complete: model-4 is used" in caplog.text
    _data(folder, FIRST).unlink()
    with pytest.raises(CheckpointError, match="checkpoint names model-8, but there are no complete files of it"):
        checkpoints.latest_checkpoint(folder)


def test_lists_of_others(tmp_path):
    """Absolute paths, other names and names that are not ASCII, as TensorFlow writes them."""
    folder = tmp_path / 'grüße "x"'
    folder.mkdir()
    saver = tf.compat.v1.train.Saver({"v": tf.Variable(1.0)})
    prefix = saver.save(None, str(folder / "net.ckpt"), global_step=3, write_meta_graph=False)
    assert "\\" in (folder / "checkpoint").read_text()
    assert checkpoints.find_checkpoint(folder) == prefix
    assert checkpoints.read_checkpoint(prefix)["v"] == 1
    before = _names(folder)
    checkpoints.clean(folder)
    assert _names(folder) == before


def test_clean_removes_only_what_is_half_written(folder):
    """Whole checkpoints that are not listed stay; of the others those that are newer than the list go."""
    mine = ["checkpoint.tmp1f2e", "model-12.index.tempstate123", ".checkpoint.abcdefgh.tmp", "model-12.data-00000-of-00001"]
    others = ["best.data", "model-x.index", "notes.tmp", "model-2.data-00000-of-00001"]
    for name in mine + others:
        (folder / name).write_bytes(b"x")
    for name, part in (("model-12_temp", "part-00000-of-00001.data-00000-of-00001"), ("model-mine_temp", "part.txt")):
        (folder / name).mkdir()
        (folder / name / part).write_bytes(b"x")
    for step in (6, 16):
        for path in (_index(folder), _data(folder)):
            shutil.copy(path, folder / path.name.replace(SECOND, f"model-{step}"))
    checkpoints.clean(folder)
    names = _names(folder)
    assert not [name for name in names if name in mine] and "model-12_temp" not in names
    assert set(others) | {"model-mine_temp", "model-6.index", "model-16.index", _data(folder, "model-16").name} <= set(names)
    assert checkpoints.latest_checkpoint(folder) == str(folder / SECOND)


def test_links_and_folders_are_left_alone(folder, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "part-00000-of-00001.index").write_bytes(b"x")
    (folder / "model-9_temp").symlink_to(tmp_path / "mine")
    checkpoints.clean(folder)
    assert (tmp_path / "mine" / "part-00000-of-00001.index").exists()
    checkpoints.clean(tmp_path / "none")
    checkpoints.clean(tmp_path / "mine" / "part-00000-of-00001.index")


def _refused(folder, told="cannot be read"):
    with pytest.raises(CheckpointError, match=f"Checkpoint .*{SECOND}.*{told}") as error:
        checkpoints.read_checkpoint(folder / SECOND)
    text = str(error.value)
    assert "\n" not in text and "Traceback" not in text and len(text) < 700


def test_cut_at_any_place(folder):
    """Defect 16: index and data, cut after every few bytes."""
    for path, step in ((_index(folder), 1), (_data(folder), 3)):
        whole = path.read_bytes()
        for size in range(0, len(whole), step):
            path.write_bytes(whole[:size])
            _refused(folder)
        path.write_bytes(whole)
    assert checkpoints.read_checkpoint(folder / SECOND)["global_step"] == 8


def test_changed_at_any_place(folder, rng):
    """A bit that flips is found, or changes nothing that is read."""
    good = checkpoints.read_checkpoint(folder / SECOND)
    for path in (_index(folder), _data(folder)):
        whole = path.read_bytes()
        for place in range(0, len(whole), 2):
            data = bytearray(whole)
            data[place] ^= 1 << int(rng.integers(8))
            path.write_bytes(bytes(data))
            try:
                found = checkpoints.read_checkpoint(folder / SECOND)
            except CheckpointError as error:
                assert "\n" not in str(error)
                continue
            assert all(np.array_equal(found[name], value) for name, value in good.items())
        path.write_bytes(whole)


def test_swapped_and_foreign(folder, tmp_path):
    whole = _index(folder).read_bytes()
    shutil.copy(_data(folder, FIRST), _data(folder))
    _refused(folder, r"cannot be read \(tensor .*\): .*Checksum does not match")
    _save(tmp_path / "other", 8, **{"c/more": np.ones(100, "f")})
    shutil.copy(_index(tmp_path / "other"), _index(folder))
    _refused(folder)
    for foreign in (b"\x89PNG" + b"x" * 100, b"PK\x03\x04" + b"\0" * 500, b"text\n" * 50):
        _index(folder).write_bytes(foreign)
        _refused(folder, "is cut, damaged or no index")
    _index(folder).write_bytes(whole)
    _data(folder).unlink()
    _refused(folder, "files of its data .* are missing")
    os.mkfifo(_data(folder))
    _refused(folder, "must be an ordinary file")
    _index(folder).unlink()
    _refused(folder, "No such file")
    _index(folder).mkdir()
    _refused(folder, "must be an ordinary file")


def _checksum(data):
    """TensorFlow's: CRC-32C, turned and shifted."""
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
    value ^= 0xFFFFFFFF
    return (((value >> 15 | value << 17) + 0xA282EAD8) & 0xFFFFFFFF).to_bytes(4, "little")


def _varint(value):
    value &= 2**64 - 1
    return bytes([value]) if value < 128 else bytes([value & 127 | 128]) + _varint(value >> 7)


def _block(entries):
    body = b"".join(b"\0" + _varint(len(key)) + _varint(len(value)) + key + value for key, value in entries)
    body += bytes(4) + (1).to_bytes(4, "little")
    return body + b"\0" + _checksum(body + b"\0"), len(body)


def _write_index(path, entries):
    """An index whose checksums are right, whatever its entries say."""
    data, size = _block(entries)
    places, length = _block([(b"\xff", _varint(0) + _varint(size))])
    footer = _varint(0) + _varint(0) + _varint(len(data)) + _varint(length)
    path.write_bytes(data + places + footer.ljust(40, b"\0") + bytes.fromhex("57fb808b247547db"))


def _entry(sides=(4,), kind=1, offset=0, size=16, more=b""):
    shape = b"".join(b"\x12" + _varint(len(side)) + side for side in (b"\x08" + _varint(value) for value in sides))
    place = b"\x20" + _varint(offset) + b"\x28" + _varint(size) + b"\x35" + _checksum(np.ones(4, "f").tobytes())
    return b"\x08" + _varint(kind) + b"\x12" + _varint(len(shape)) + shape + place + more


_HEADER = (b"", b"\x08\x01\x1a\x02\x08\x01")


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        (_entry(sides=(-1,)), "is cut, damaged or no index"),
        (_entry(sides=(0, -1), size=0), "is cut, damaged or no index"),
        (_entry(sides=(2**40, 2**40)), "is cut, damaged or no index"),
        (_entry(sides=(1,) * 300, size=4), "is cut, damaged or no index"),
        (_entry(sides=(5,)), "is cut, damaged or no index"),
        (_entry(kind=99), "is cut, damaged or no index"),
        (_entry(more=b"\x00\x01"), "is cut, damaged or no index"),
        (_entry(more=b"\x3a\x00"), "is cut, damaged or no index"),
        (_entry(offset=4), "the tensor v ends beyond its data file"),
        (_entry(offset=2**62), "the tensor v ends beyond its data file"),
        (_entry() + b"\x18\x05", "the tensor v ends beyond its data file"),
    ],
)
def test_index_with_right_checksums(tmp_path, entry, told):
    """What ends the process inside TensorFlow is found before TensorFlow reads it."""
    _data(tmp_path).write_bytes(np.ones(4, "f").tobytes())
    _write_index(_index(tmp_path), [_HEADER, (b"v", _entry())])
    np.testing.assert_array_equal(checkpoints.read_checkpoint(tmp_path / SECOND)["v"], np.ones(4))
    _write_index(_index(tmp_path), [_HEADER, (b"v", entry)])
    _refused(tmp_path, told)
    _write_index(_index(tmp_path), [(b"v", _entry())])
    _refused(tmp_path, "is cut, damaged or no index")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("kind", ["float32", "float16", "bfloat16", "float64"])
def test_weights_that_are_not_finite(tmp_path, value, kind):
    prefix = _save(tmp_path, 8, **{"c/weights": tf.constant([1.0, value], kind)})
    with pytest.raises(CheckpointError, match="the tensor c/weights holds values that are not finite"):
        checkpoints.read_checkpoint(prefix)


def test_save_into_a_folder_that_is_not_there(folder):
    saver = checkpoints.make_saver({"a": tf.Variable(1.0)}, folder, 2)
    with pytest.raises(
        CheckpointError, match="step 12 could not be saved in .*none.*: .*The last complete one is None"
    ) as told:
        checkpoints.save(saver, None, folder / "none" / "deep", 12)
    assert "\n" not in str(told.value)
