"""Where names may occur: a family and a task are known in their own rooms and in their line of the table."""

import ast
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parent.parent
FILES = sorted(path for package in ("tfres", "quant") for path in (ROOT / package).rglob("*.py"))
NAMES = {
    "rsnet": re.compile(r"rsnet", re.IGNORECASE),
    "san": re.compile(r"(?<![a-zA-Z])san(?![a-z])|SAN"),
    "mutualnet": re.compile(r"mutualnet", re.IGNORECASE),
    "ranet": re.compile(r"ranet", re.IGNORECASE),
    "scalenas": re.compile(r"scalenas", re.IGNORECASE),
    "classification": re.compile(r"classification", re.IGNORECASE),
    "segmentation": re.compile(r"segmentation", re.IGNORECASE),
    "pose": re.compile(r"(?<![a-z])pose(?![a-z])", re.IGNORECASE),
}
# Rooms of a family or a task, and the places outside of them that may name it.
ROOMS = {
    "rsnet": ("tfres/models/rsnet/", "tfres/families/rsnet.py", "tfres/convert/rsnet.py", "tfres/convert/rsnet_quant.py"),
    "san": ("tfres/models/san/", "tfres/families/san.py", "tfres/convert/san.py"),
    "mutualnet": ("tfres/models/mutualnet/", "tfres/families/mutualnet.py", "tfres/convert/mutualnet.py"),
    "ranet": ("tfres/models/ranet/", "tfres/families/ranet.py", "tfres/convert/ranet.py"),
    "scalenas": ("tfres/models/scalenas/", "tfres/families/scalenas.py", "tfres/convert/scalenas.py"),
    "classification": ("tfres/tasks/classification/",),
    "segmentation": ("tfres/tasks/segmentation/",),
    "pose": ("tfres/tasks/pose/",),
}
TABLES = {
    "tfres/families/__init__.py": "the table of families",
    "tfres/convert/__init__.py": "the table of converters",
}
OPTIONS = {"tfres/convert/__main__.py": "help of options that one converter has"}
ELSEWHERE = {
    "rsnet": {
        **TABLES,
        **OPTIONS,
        "tfres/models/san/": "the plain form of a network with generated kernels",
        "tfres/families/san.py": "trains as the float networks do",
    },
    "san": TABLES,
    "mutualnet": {**TABLES, **OPTIONS},
    "ranet": {**TABLES, **OPTIONS},
    "scalenas": TABLES,
    "classification": {
        "tfres/tasks/__init__.py": "the table of tasks",
        "tfres/families/recipes.py": "the task of a recipe that says nothing",
        "tfres/families/ranet.py": "the one task whose outputs tell how sure they are",
    },
    "segmentation": {
        "tfres/tasks/__init__.py": "the table of tasks",
        "tfres/families/scalenas.py": "the head that it needs",
        "tfres/convert/scalenas.py": "the task of checkpoints with that head",
    },
    "pose": {
        "tfres/tasks/__init__.py": "the table of tasks",
        "tfres/families/scalenas.py": "heads of its own for the tasks that it has",
        "tfres/convert/scalenas.py": "its authors' checkpoints for the tasks",
    },
}


def _code(path):
    """The file without comments and docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
            body[0] = ast.Pass()
    return ast.unparse(tree)


@pytest.fixture(scope="module")
def code():
    return {path.relative_to(ROOT).as_posix(): _code(path) for path in FILES}


@pytest.mark.parametrize("name", NAMES)
def test_a_name_stays_in_its_rooms(name, code):
    outside = {
        f"{path}: {line.strip()}"
        for path, text in code.items()
        if not path.startswith((*ROOMS[name], *ELSEWHERE[name]))
        for line in text.splitlines()
        if NAMES[name].search(line)
    }
    assert not outside


@pytest.mark.parametrize("name", NAMES)
def test_no_exception_is_left_over(name, code):
    """Every place that is allowed to name a family or a task still does."""
    for place in (*ROOMS[name], *ELSEWHERE[name]):
        assert any(path.startswith(place) and NAMES[name].search(text) for path, text in code.items()), place


def test_families_are_not_told_apart_by_what_they_have(code):
    """`hasattr` is left to places that look at what is not ours: an operation of TensorFlow, a number of numpy's."""
    found = {path for path, text in code.items() if path.startswith("tfres/") and "hasattr(" in text}
    assert found <= {"tfres/models/macs.py", "tfres/run/facts.py"}


def test_functions_are_traced_as_they_are(code):
    """Conditions over tensors are `tf.cond`; looking for others takes most of the time of tracing."""
    traced = [(path, line) for path, text in code.items() for line in text.splitlines() if "tf.function" in line]
    assert len(traced) > 15 and [found for found in traced if "autograph=False" not in found[1]] == []


def test_verbs_are_short():
    """A verb parses, builds objects, makes one call and prints."""
    verbs = [path for path in (ROOT / "tfres").glob("*.py") if "run_main(main)" in path.read_text(encoding="utf-8")]
    verbs.append(ROOT / "tfres/convert/__main__.py")
    assert len(verbs) >= 8
    assert all(len(path.read_text(encoding="utf-8").splitlines()) <= 60 for path in verbs)


def test_options_of_verbs_are_few():
    """Everything else is a field of a recipe."""
    for path in (ROOT / "tfres").glob("*.py"):
        text = path.read_text(encoding="utf-8")
        if "run_main(main)" in text:
            assert text.count(".add_argument(") <= 8, path.name


def test_library_reads_no_arguments_and_prints_nothing_but_in_verbs(code):
    verbs = {path for path, text in code.items() if "run_main(" in text}
    printing = {path for path, text in code.items() if re.search(r"(?<![\w.])print\(", text) and path not in verbs}
    assert printing <= {"tfres/cli.py", "tfres/__main__.py"}
    reading = {path for path, text in code.items() if "sys.argv" in text and path not in verbs}
    assert reading <= {"tfres/cli.py", "tfres/__main__.py"}
