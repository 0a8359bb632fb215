"""The setting."""

import pytest

from tfres.settings import Setting


@pytest.mark.parametrize("text", ["r160", "r160-w0.75", "exit3", "r96-netA_1", "w1.5"])
def test_printed_form_parses_back(text):
    assert str(Setting.parse(text)) == text


def test_parse_takes_numbers_and_settings():
    assert Setting.parse(96) == Setting(96) == Setting.parse(Setting(96))


def test_order_and_hash():
    settings = [Setting.parse(text) for text in ("r160", "r96-w1", "r96-w0.5")]
    assert sorted(settings) == [settings[2], settings[1], settings[0]]
    assert len({*settings, Setting(160)}) == 3


@pytest.mark.parametrize("text", ["160x", "r", "q3", "r160w2", ""])
def test_not_a_setting(text):
    with pytest.raises(ValueError, match="A setting looks like 'r160'"):
        Setting.parse(text)


@pytest.mark.parametrize("fields", [{"resolution": 0}, {"width_mult": -1.0}, {"subnet": "a-b"}])
def test_out_of_range(fields):
    with pytest.raises(ValueError, match="Received"):
        Setting(**fields)
