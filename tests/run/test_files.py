"""Readers at the border: YAML files, names that become parts of paths."""

import time

import pytest

from tfres.errors import RecipeError, UsageError
from tfres.files import checked_name
from tfres.yaml_file import dump_yaml, parse_yaml, read_yaml

BOMB = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{','.join([f'*{chr(97 + i)}'] * 10)}]\n" for i in range(9)
)


@pytest.mark.parametrize(
    "text", ["model: {arch: resnet20}\n", "\ufeffa: 1\n", "a: &x [1, 2]\nb: *x\n", "base: &b {k: 1}\nc: {<<: *b, l: 2}"]
)
def test_good_yaml(tmp_path, text):
    (tmp_path / "r.yaml").write_text(text, encoding="utf-8")
    assert isinstance(read_yaml(tmp_path / "r.yaml", RecipeError), dict)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "must hold a mapping.*Received: nothing"),
        (b"- 1\n- 2\n", "must hold a mapping.*Received: a list"),
        (b"hello", "must hold a mapping.*Received: a text"),
        (b"3.5", "must hold a mapping.*Received: the single value 3.5"),
        (b"a: 1\nb: 2\na: 3\n", "line 3: the key `a` stands twice"),
        (b"m:\n  x: 1\n  x: 2\n", "line 3: the key `x` stands twice"),
        (b"a: [1, {b: 1, b: 2}]\n", "line 1: the key `b` stands twice"),
        (b"a: 1\n\xff\xfe\n", "must be text in UTF-8; byte 5 is not"),
        ("a: 1".encode("utf-16"), "must be text in UTF-8"),
        ("a: \u00e4".encode("latin-1"), "must be text in UTF-8"),
        (b"\x00\x01\x02", "must be text in UTF-8; it holds a zero byte"),
        (b"a: \x07", "is not YAML that can be read"),
        (b"a: [1, 2", "line .* is not YAML that can be read"),
        (b"a: b: c", "line 1 is not YAML that can be read"),
        (b"a:\n\t- b", "line 2 is not YAML that can be read"),
        (b"a: !!python/object/apply:os.system ['true']", "line 1 is not YAML.*constructor"),
        (b"a: 1\n---\nb: 2\n", "line 2 is not YAML"),
        (b"[" * 50_000, "must be nested at most 20 deep"),
        (b"- " * 50_000, "must be nested at most 20 deep"),
        (b"{a: " * 50_000, "must be nested at most 20 deep"),
        (BOMB.encode(), "line .*: there must be at most 50000 values, those of aliases counted too"),
        (b"a: &a [*a]", r"the alias \*a must stand after the whole"),
        (b"a: *b", r"the alias \*b must stand after the whole|undefined"),
        (b"a: 2026-99-99", "is not YAML that can be read"),
        (b"a: " + b"9" * 5000, "is not YAML that can be read"),
        (b"{[1]: 2}", "is not YAML that can be read"),
        (b"x" * 300_000, "must have at most 200000 bytes"),
        (b"a: [" + b"1," * 99_000 + b"]", "must be at most 50000 values"),
    ],
)
def test_yaml_that_is_refused(tmp_path, data, told):
    (tmp_path / "r.yaml").write_bytes(data)
    started = time.perf_counter()
    with pytest.raises(RecipeError, match=told) as error:
        read_yaml(tmp_path / "r.yaml", RecipeError)
    assert time.perf_counter() - started < 1
    assert "r.yaml" in str(error.value) and "\n" not in str(error.value) and len(str(error.value)) < 400


def test_no_file_and_text_from_elsewhere(tmp_path):
    with pytest.raises(RecipeError, match="is missing"):
        read_yaml(tmp_path / "none.yaml", RecipeError)
    with pytest.raises(RecipeError, match="must be an ordinary file; it is a folder"):
        read_yaml(tmp_path, RecipeError)
    with pytest.raises(RecipeError, match="an option, line 1: the key `a` stands twice"):
        parse_yaml("{a: 1, a: 2}", "an option", RecipeError)


def test_written_yaml_reads_back():
    shared = [1, 2]
    value = {"a": shared, "b": shared, "c": {224: 0.7, 1: None}, "d": [1e-5, 1e300, True, "1e-5", "null", "ü\n"], "e": ""}
    text = dump_yaml(value)
    assert "&" not in text and parse_yaml(text, "x", RecipeError) == value


@pytest.mark.parametrize("text", ["a", "resnet20-float-32,24", "v1.2", "my run", "größe", "a=b+c@d"])
def test_names(text):
    assert checked_name("name", text) == text


@pytest.mark.parametrize(
    "text",
    ["", ".", "..", "a/b", "/a", "../a", "a\\b", ".hidden", "-a", "a\0", "a\nb", " a", "a ", "x" * 151, None, 3, "a:b", "~"],
)
def test_names_that_lead_elsewhere(text):
    """Defect 10: `export --name ..` and `--note a/b`."""
    with pytest.raises(UsageError, match="`note` must be a name of letters.*Received: note="):
        checked_name("note", text)
