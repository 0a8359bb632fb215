"""Pages: links lead somewhere, tables render, commands and names in code exist, generated parts are current."""

import ast
import difflib
import importlib.util
import json
import re
import shlex

import pytest
import yaml

from experiments.docs.__main__ import ROOT, filled
from tfres import options, train
from tfres.__main__ import VERBS
from tfres.families import FAMILIES
from tfres.families.command_line import read_command_line

PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
FRAGMENTS = sorted((ROOT / "docs" / "results").glob("*.md"))
EVERY_PAGE = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
_MODULES = {"convert": "tfres.convert.__main__"}
_COMMAND = re.compile(rf"(?:python -m tfres\.|tfres |^)({'|'.join(VERBS)})(?= |$)(?! \w+=)(.*)")
_ALONE = ("required", "expected one argument", "expected at least one argument")  # a verb or an option by its name alone
_OPTIONAL = {"onnxruntime", "openvino", "tf2onnx"}  # their page is run by a test of its own
_NO_OPTIONS = {"--eval", "--help", "--group.field"}
_RESULT = re.compile(r"\d+(?:\.\d+)?(?= ?(?:%|ms\b|×|points?\b|minutes?\b|seconds?\b))|(?<!Python )\d+\.\d{2,}")


def lines_and_code(page):
    """`(lines outside of code blocks, [(language, text) of code blocks])`."""
    parts = re.split(r"^```(\w*)\n(.*?)^```$", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return "".join(parts[::3]).splitlines(), list(zip(parts[1::3], parts[2::3], strict=True))


def anchors(page):
    """Anchors of headings, as GitHub makes them."""
    heads = [
        re.sub(r"[`*]|\[([^]]*)\]\([^)]*\)", r"\1", line.lstrip("# ")) for line in lines_and_code(page)[0] if line[:1] == "#"
    ]
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def inline_code(page):
    """Texts between backticks outside of code blocks; of the table of old commands only the new ones."""
    for line in lines_and_code(page)[0]:
        in_table = page.name == "CHANGELOG.md" and line.startswith("|")
        yield from re.findall(r"`([^`]+)`", line.rsplit("|", 2)[1] if in_table else line)


def commands(page):
    """`(verb, words)` of all commands of ours on a page."""
    blocks = [line for language, text in lines_and_code(page)[1] if language == "sh" for line in text.splitlines()]
    for text in [*blocks, *inline_code(page)]:
        found = _COMMAND.search(text)
        if found and "..." not in text:
            yield found[1], shlex.split(found[2], comments=True)


def option_names(verb, arch="resnet20", task="classification"):
    """All options that a verb has, with those of a network."""
    module = importlib.import_module(_MODULES.get(verb, f"tfres.{verb}"))
    parser = module.make_parser()
    if verb == "train":
        read_command_line(parser, ["--model.arch", arch, "--task", task])
    return {name for name in parser._option_string_actions if name.startswith("--")}


def check(verb, words):
    """Parse a command as the verb does; SystemExit or an error where that fails."""
    if verb != "train":
        importlib.import_module(_MODULES.get(verb, f"tfres.{verb}")).make_parser().parse_args(words)
        return
    if "--recipe" in words:  # recipes have a test of their own
        place = words.index("--recipe")
        file = ROOT / words[place + 1]
        given = file.exists() and yaml.safe_load(file.read_text())["model"]["arch"]
        assert given or words[place + 1] == "FILE"
        words = [*words[:place], *words[place + 2 :], *(["--arch", given] if given else [])]
    if "--help" not in words and "NAME" not in words:
        read_command_line(train.make_parser(), options.expand(words))


@EVERY_PAGE
def test_links_lead_somewhere(page):
    broken = []
    for line in lines_and_code(page)[0]:
        for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`]*`", "", line)):
            path, _, anchor = target.partition("#")
            other = (page.parent / path).resolve() if path else page
            if not target.startswith(("http://", "https://")):
                there = other.exists() and (not anchor or anchor in anchors(other))
                broken += [] if there else [target]
    assert broken == []


def test_every_page_is_linked():
    linked = {path for page in PAGES for path in re.findall(r"\]\(([^)#\s]+\.md)", page.read_text(encoding="utf-8"))}
    assert {page.name for page in PAGES[2:]} <= {path.rsplit("/", 1)[-1] for path in linked}


@pytest.mark.parametrize("page", [*PAGES, *FRAGMENTS], ids=lambda page: page.stem)
def test_tables_render(page):
    """A header, a separator and rows have the same number of cells, and a table begins after a blank line."""
    before, table = "", []
    for number, line in enumerate([*lines_and_code(page)[0], ""], start=1):
        if line.lstrip().startswith("|"):
            assert table or not before.strip(), f"{number}: no blank line before the table"
            cells = re.split(r"(?<!\\)\|", re.sub(r"`[^`]*`", "", line.strip()))
            assert cells[0] == cells[-1] == "", f"{number}: {line}"
            table.append(cells[1:-1])
        elif table:
            assert len(table) > 2, f"{number}: a table without rows, or torn by a blank line"
            assert all(re.fullmatch(r" *:?-+:? *", cell) for cell in table[1]), f"{number}: no separator"
            assert {len(row) for row in table} == {len(table[0])}, f"{number}: rows of several lengths"
            assert not line.strip(), f"{number}: no blank line after the table"
            table = []
        before = line


@EVERY_PAGE
def test_commands_parse(page, capsys):
    wrong = []
    for verb, words in commands(page):
        try:
            check(verb, words)
        except (SystemExit, ValueError) as error:
            told = capsys.readouterr().err
            if not any(text in told for text in _ALONE):
                wrong.append(f"{verb} {shlex.join(words)}: {error}")
    assert wrong == []


@EVERY_PAGE
def test_options_in_text_exist(page):
    known = {*options.SYNONYMS}.union(*(option_names(verb) for verb in VERBS))
    for family in FAMILIES.values():
        known |= option_names("train", next(iter(family.presets)), next(iter(family.tasks), "classification"))
    named = {name for text in inline_code(page) for name in re.findall(r"^(--[a-z][\w.-]*)", text)}
    missing = {name: difflib.get_close_matches(name, known, n=1) for name in named - known - _NO_OPTIONS}
    assert missing == {}


@EVERY_PAGE
def test_make_targets_exist(page):
    targets = set(re.findall(r"^([a-z][\w-]*):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    blocks = [line for language, text in lines_and_code(page)[1] if language == "sh" for line in text.splitlines()]
    named = {target for text in [*blocks, *inline_code(page)] for target in re.findall(r"^make ([\w-]+)", text)}
    assert named <= targets


@EVERY_PAGE
def test_names_in_python_exist(page):
    for language, code in lines_and_code(page)[1]:
        if language != "python":
            continue
        modules = {}
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.Import):
                names = [alias for alias in node.names if alias.name not in _OPTIONAL]
                modules |= {alias.asname or alias.name: importlib.import_module(alias.name) for alias in names}
            elif isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    module, name = importlib.import_module(node.module), f"{node.module}.{alias.name}"
                    assert hasattr(module, alias.name) or importlib.util.find_spec(name), name
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules:
                assert hasattr(modules[node.value.id], node.attr), f"{node.value.id}.{node.attr}"


@pytest.mark.parametrize("page", PAGES[2:], ids=lambda page: page.stem)
def test_generated_parts_are_current(page):
    text = page.read_text(encoding="utf-8")
    assert filled(text) == text, "run python -m experiments.docs"


def test_readme_is_short_and_its_figures_are_measured():
    lines, _ = lines_and_code(ROOT / "README.md")
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 120
    results = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    prose = [re.sub(r"`[^`]*`|\]\([^)]*\)", "", line) for line in lines]
    assert [figure for line in prose for figure in _RESULT.findall(line) if figure not in results] == []


@pytest.mark.parametrize("path", sorted((ROOT / "docs" / "results").glob("*.json")), ids=lambda path: path.stem)
def test_results_say_where_they_are_from(path):
    assert json.loads(path.read_text())["machine"]
