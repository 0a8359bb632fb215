"""The setting."""

import math

import numpy as np
import pytest

from tfres.settings import Private, Setting, next_smaller


@pytest.mark.parametrize("text", ["r160", "r160-w0.75", "exit3", "r96-netA_1", "w1.5", "r512x1024", "w1", "r8-w2-exit3-netB"])
def test_printed_form_parses_back(text):
    assert str(Setting.parse(text)) == text


@pytest.mark.parametrize("width", [1 / 3, 0.1 + 0.2, 1e-9, 1e9, 1e-5, 123456.789, 1.0, 0.75, 1e9 / 3, math.nextafter(1, 2)])
def test_every_width_survives_printing(width):
    setting = Setting(32, width)
    assert Setting.parse(str(setting)) == setting
    assert "e" not in str(setting)


def test_random_settings_survive_printing(rng):
    for _ in range(300):
        sides = tuple(int(side) for side in rng.integers(1, 65536, 2))
        setting = Setting(sides, float(rng.uniform(0, 2)) or 1, int(rng.integers(1, 1000)), f"n{rng.integers(99)}")
        assert Setting.parse(str(setting)) == setting


def test_parse_takes_numbers_and_settings():
    assert Setting.parse(96) == Setting(96) == Setting.parse(Setting(96)) == Setting.parse("96") == Setting.parse(np.int64(96))
    assert Setting.parse((64, 96)) == Setting((64, 96)) == Setting([64, 96])
    assert str(Setting(np.int32(96), np.float64(0.5))) == "r96-w0.5"


def test_a_square_pair_is_its_side():
    assert Setting((96, 96)) == Setting(96) == Setting.parse("r96x96")
    assert str(Setting((96, 96))) == "r96"
    assert Setting(96).sides == (96, 96) and Setting((64, 96)).sides == (64, 96) and Setting(width_mult=1).sides is None


def test_order_and_hash():
    settings = [Setting.parse(text) for text in ("r160", "r96-w1", "r96-w0.5", "r96x97", "r97x96")]
    assert [str(setting) for setting in sorted(settings)] == ["r96-w0.5", "r96-w1", "r96x97", "r97x96", "r160"]
    assert len({*settings, Setting(160)}) == 5
    names = [Setting(subnet=name) for name in ("a10", "a9", "b", "a09", "9")]
    assert [setting.subnet for setting in sorted(names)] == ["9", "a09", "a9", "a10", "b"]
    with pytest.raises(TypeError):
        _ = Setting(1) < 2


@pytest.mark.parametrize(
    "text",
    [
        "160x", "r", "q3", "r160w2", "", " ", "r160-", "-r160", "r160-r96", "w1-w1", "r160.5", "r0160", "r1e3", "w1e-3", "w.5",
        "w1.", "wnan", "winf", "w-1", "r²", "r١٦", "١٦", "exit٣", "netä", "r160\n", "r16x", "r16x16x16", "R160",
        "0", "-5", "r" + "9" * 5000, "9" * 5000, None, 1.5, True, b"r16", float("nan"), ["r16"],
    ],
)  # fmt: skip
def test_not_a_setting(text):
    with pytest.raises(ValueError, match="A setting looks like 'r160'.*Received: ") as told:
        Setting.parse(text)
    assert len(str(told.value)) < 300


@pytest.mark.parametrize("text", ["w0", "w0.0", "r65536", "r99999x1", "exit1000", "w99999999999"])
def test_out_of_range_when_parsed(text):
    with pytest.raises(ValueError, match="of a setting must be"):
        Setting.parse(text)


@pytest.mark.parametrize(
    "fields",
    [
        {"resolution": 0}, {"resolution": True}, {"resolution": 160.0}, {"resolution": "160"}, {"resolution": (1, 2, 3)},
        {"resolution": (0, 5)}, {"resolution": (1.0, 2)}, {"resolution": float("nan")}, {"resolution": 10**12},
        {"width_mult": -1.0}, {"width_mult": True}, {"width_mult": float("nan")}, {"width_mult": float("inf")},
        {"width_mult": "1"}, {"width_mult": 0}, {"width_mult": 1e-300}, {"width_mult": 1j}, {"exit": 0}, {"exit": 1.0},
        {"exit": True}, {"subnet": "a-b"}, {"subnet": ""}, {"subnet": "²"}, {"subnet": 3}, {"subnet": "a\n"}, {},
    ],
)  # fmt: skip
def test_out_of_range(fields):
    with pytest.raises(ValueError, match="Received"):
        Setting(**fields)


def test_private_and_next_smaller():
    assert Private({"a": np.zeros(2)}).options == {}
    assert [next_smaller([32, 64], r) for r in (16, 32, 48, 80)] == [32, 32, 32, 64]
