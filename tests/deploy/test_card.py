"""The model card in every export."""

import configparser
import json
import pathlib
import re

import pytest
import tensorflow as tf

import tfres
from tests.deploy import fakes
from tfres.deploy import card, export_savedmodel
from tfres.errors import ExportError
from tfres.models.weights import fingerprint_of


def _card(folder, network=None, task=None, **options):
    path = export_savedmodel(network or fakes.AnySideNetwork(), task or fakes.Task(), folder, "net", **options)
    return (path / "README.md").read_text(encoding="utf-8"), path


def test_it_says_what_the_export_knows(tmp_path):
    rows = fakes.table("r16", "r12", machine="a | machine", batch=1)
    rows["rows"][0] |= {"ms": 1.25}
    network = fakes.AnySideNetwork()
    about = {"Data": "some\npictures", "Licence": "CC BY 4.0"}
    text, path = _card(tmp_path, network, table=rows, classes=list("abcde"), about=about)
    assert text.startswith("# net\n") and "- Data: some pictures\n" in text
    for part in (
        "- Licence of the weights: CC BY 4.0",
        "- Licence of the code: tfres: Apache-2.0",
        f"SHA-256 `{fingerprint_of(network)}`",
        f"tfres {tfres.__version__}",
        f"tensorflow {tf.__version__}",
        "5 classes",
        "- Form: SavedModel, shared\n",
        "Times: a | machine, pictures per call: 1.",
        'served.signatures["serve_r16"](images=pictures)  # class, logits, probabilities',
    ):
        assert part in text, part
    lines = [re.split(r" \| ", line.strip("| ")) for line in text.splitlines() if line.startswith("| ")]
    assert ["setting", "height x width", "top1", "million MACs", "ms"] in lines
    known = {line[0]: line for line in lines}
    best = max(rows["rows"], key=lambda row: row["top1"])
    assert known["r16"][:3] == ["r16", "16 x 16", f"{best['top1']:.4f}"]
    signatures = tf.saved_model.load(str(path)).signatures
    assert {f"`{name}`" for name in signatures} <= {*known}
    assert known["`serve_r12`"][1] == "`images` uint8 (?, ?, ?, 3)"
    assert "`class` int64 (?)" in known["`serve_r12`"][2]


def test_it_is_sealed(tmp_path):
    _, path = _card(tmp_path)
    assert "README.md" in json.loads((path / "assets.extra" / "files.json").read_text())


def test_what_was_not_measured_is_left_out(tmp_path):
    text, _ = _card(tmp_path, task=fakes.Pointing(), form="separate", settings=[12])
    assert "Nothing was measured." in text and "| r12 | 12 x 12 |" in text and "r16" not in text
    assert "- Form: SavedModel, separate\n" in text and "not stated" in text and "top1" not in text


def test_policies_are_among_the_settings(exit_export):
    text = (exit_export / "README.md").read_text(encoding="utf-8")
    assert "| exit4 | 16 x 16 | 0.4000 |" in text and "| policy-1 |  | 0.2500 |" in text
    assert "`state_0` float32" in text and "`thresholds` float32 (?)" in text


def test_text_cannot_become_markup(tmp_path):
    text, _ = _card(tmp_path, about={"Data": "<script>a</script>\n# no heading"})
    assert "<script" not in text and "\n# no heading" not in text


@pytest.mark.parametrize("about", [3, ["a"], {"Data": 1}, {"": "x"}, {"Data": " "}, {1: "x"}, {"Data": "x" * 3000}])
def test_notes_that_are_none(about, tmp_path):
    with pytest.raises(ExportError, match="`about` must be a mapping of headings to texts.*Received: about="):
        _card(tmp_path, about=about)
    assert list(tmp_path.iterdir()) == []


def test_the_licence_is_the_packages():
    setup = configparser.ConfigParser()
    setup.read(pathlib.Path(tfres.__file__).parents[1] / "setup.cfg")
    assert setup["metadata"]["license"] == card.LICENCE
