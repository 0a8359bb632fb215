"""Writing shards: resumable, whole files, bad pictures listed."""

import os

import pytest

from tests.data.test_decoding import _BAD as PICTURES
from tfres import prepare as verb
from tfres.data import shards as module
from tfres.errors import DataError, SourceError
from tfres.tasks.classification.prepare import prepare


def test_goes_on_after_the_last_shard(pictures, tmp_path, monkeypatch):
    out, write = tmp_path / "records", module._write
    written = []

    def stop_at_the_second(path, *rest):
        if len(written) == 1:
            raise KeyboardInterrupt
        written.append(path.name)
        return write(path, *rest)

    monkeypatch.setattr(module, "_write", stop_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        prepare(pictures, out, per_shard=4)
    assert [p.name for p in out.glob("*-of-*")] == ["train-00000-of-00003"]
    monkeypatch.setattr(module, "_write", lambda path, *rest: written.append(path.name) or write(path, *rest))
    assert prepare(pictures, out, per_shard=4)[0] == {"train": 10, "validation": 5}
    assert written == ["train-00000-of-00003", "train-00001-of-00003", "train-00002-of-00003"] + [
        "validation-00000-of-00002", "validation-00001-of-00002"
    ]  # fmt: skip
    with pytest.raises(DataError, match="holds shards of other pictures"):
        prepare(pictures, out, per_shard=5)


def test_damaged_shards_are_written_again(pictures, tmp_path):
    prepare(pictures, tmp_path, per_shard=4)
    shard, whole = tmp_path / "train-00001-of-00003", (tmp_path / "train-00001-of-00003").read_bytes()
    for content in (whole[:-3], b""):
        shard.write_bytes(content)
        assert prepare(pictures, tmp_path, per_shard=4) == ({"train": 10, "validation": 5}, [])
        assert shard.read_bytes() == whole


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff", b'{"shards": []}'])
def test_damaged_state_is_named(pictures, tmp_path, content):
    prepare(pictures, tmp_path / "out")
    (tmp_path / "out" / "prepare.json").write_bytes(content)
    with pytest.raises(DataError, match="prepare.json is damaged|holds shards of other pictures"):
        prepare(pictures, tmp_path / "out")


def test_skips_and_lists_everything_that_is_bad(pictures, tmp_path):
    expected = {}
    for number, (name, (encoded, _)) in enumerate(PICTURES.items()):
        path = pictures / "train" / "a" / f"bad{number}.jpg"
        path.write_bytes(encoded)
        expected[str(path)] = "is empty" if name == "nothing" else "not a readable picture"
    for name, make, reason in (
        ("pipe.jpg", os.mkfifo, "is a pipe"),
        ("folder.png", os.mkdir, "is a folder"),
        ("link.gif", lambda path: os.symlink("nowhere", path), "is a link to nothing"),
        ("\udcff.bmp", lambda path: path.write_bytes(b"x"), "has a name that is not UTF-8"),
    ):
        make(pictures / "val" / "b" / name)
        expected[str(pictures / "val" / "b" / name).replace("\udcff", "\\xff")] = reason
    counts, skipped = prepare(pictures, tmp_path / "records")
    assert counts == {"train": 10, "validation": 5}
    assert {path for path, _ in skipped} == set(expected)
    assert all(expected[path] in reason for path, reason in skipped)
    assert prepare(pictures, tmp_path / "records") == (counts, skipped)


def test_nothing_that_can_be_read(pictures, tmp_path):
    for path in (pictures / "val").rglob("*.*"):
        path.write_bytes(b"no picture")
    with pytest.raises(DataError, match="has no picture for validation that can be read"):
        prepare(pictures, tmp_path / "records")
    with pytest.raises(SourceError):
        prepare(tmp_path / "nowhere", tmp_path / "more")
    with pytest.raises(ValueError, match="`per_shard` must be positive. Received: per_shard=0"):
        prepare(pictures, tmp_path / "more", 0)


def test_verb(pictures, tmp_path, capsys):
    (pictures / "train" / "a" / "bad.jpg").write_bytes(b"no picture")
    assert verb.main([str(pictures), str(tmp_path / "records"), "--per-shard", "6"]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines() == ["train 10", "validation 5", "skipped 1"] and "bad.jpg: not a readable picture" in err
    with pytest.raises(SystemExit) as ended:
        verb.main([str(pictures), str(tmp_path / "records"), "--per-shard", "0"])
    assert ended.value.code == 2 and "--per-shard: must be a positive whole number. Received: '0'" in capsys.readouterr().err
