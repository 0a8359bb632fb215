"""What lies in folders of pictures and is none."""

import os
import pathlib
import socket

import pytest

from tfres.data import listing


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "class"
    (root / "deeper").mkdir(parents=True)
    for name in ("b.JPG", "a.png", "deeper/c.bmp"):
        (root / name).write_bytes(b"content")
    (root / "notes.txt").write_text("no picture")
    return root


def _socket(path):
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))
    server.close()


_BAD = {
    "a folder named like a picture": (lambda path: path.mkdir(), "is a folder"),
    "a pipe": (os.mkfifo, "is a pipe"),
    "a device": (lambda path: path.symlink_to("/dev/zero"), "is a device"),
    "a socket": (_socket, "is a socket"),
    "a link to nothing": (lambda path: path.symlink_to("nowhere"), "is a link to nothing"),
    "a link to itself": (lambda path: path.symlink_to(path.name), "leads in a circle"),
    "an empty file": (lambda path: path.write_bytes(b""), "is empty"),
}


@pytest.mark.parametrize("name", _BAD)
def test_bad_entries_are_listed_with_the_reason(folder, name, monkeypatch):
    make, reason = _BAD[name]
    monkeypatch.chdir(folder)  # a socket's path must be short
    make(pathlib.Path("bad.jpg"))
    faults = []
    found = listing.pictures(folder, faults)
    assert [path.removeprefix(f"{folder}/") for path in found] == ["a.png", "b.JPG", "deeper/c.bmp"]
    assert [path for path, _ in faults] == [str(folder / "bad.jpg")] and reason in faults[0][1]


def test_names_that_are_not_utf8(folder):
    (pathlib.Path(os.fsdecode(os.fsencode(folder) + b"/\xff.jpg"))).write_bytes(b"content")
    faults = []
    assert len(listing.pictures(folder, faults)) == 3
    assert faults == [(f"{folder}/\\xff.jpg", "has a name that is not UTF-8")]


def test_files_without_permission(folder, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: not str(path).endswith("a.png"))
    faults = []
    assert len(listing.pictures(folder, faults)) == 2
    assert faults == [(str(folder / "a.png"), "may not be read (no permission)")]


def test_folders_without_permission(folder, monkeypatch):
    scan = os.scandir

    def refuse(path):
        if str(path).endswith("deeper"):
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    faults = []
    assert len(listing.pictures(folder, faults)) == 2
    assert faults == [(str(folder / "deeper"), "Permission denied")]


def test_links_are_followed_but_not_in_circles(folder, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "d.gif").write_bytes(b"content")
    (folder / "more").symlink_to(tmp_path / "elsewhere")
    (folder / "deeper" / "up").symlink_to(folder)
    faults = []
    assert str(folder / "more" / "d.gif") in listing.pictures(folder, faults)
    assert faults == [(str(folder / "deeper" / "up"), "is a link that leads in a circle")]


def test_class_folders_that_are_broken_links_are_told(folder):
    (folder / "lost").symlink_to("nowhere")
    faults = []
    assert listing.folders(folder, faults) == ["deeper"]
    assert faults == [(str(folder / "lost"), "is a link to nothing")]


def test_a_file_that_vanished():
    assert listing.file_fault("/nowhere/a.jpg") == "is not there (any more)"
