"""The model card of an export, `README.md`: what it is, what it was made of, how it is called, as far as the export knows."""

from __future__ import annotations

import dataclasses
import datetime
import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import tfres
from tfres import table as tables
from tfres.errors import ExportError
from tfres.models.weights import fingerprint_of, weights_by_name
from tfres.run.facts import versions

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tfres.models.network import Network
    from tfres.settings import Setting
    from tfres.tasks import Task

    Interface = tuple[Mapping[str, Any], Mapping[str, Any]]  # specs of inputs and of outputs by name

LICENCE = "Apache-2.0"  # of the code
_LONGEST = 2000  # characters of a note
_COLUMNS = {  # of the settings: field of a row -> heading, factor, form
    "macs": ("million MACs", 1e-6, "{:,.2f}"),
    "params": ("parameters", 1, "{:,.0f}"),
    "bytes": ("MB of weights", 1e-6, "{:,.3f}"),
    "ms": ("ms", 1, "{:,.2f}"),
    "form": ("accuracy of", None, "{}"),
}


@dataclasses.dataclass(frozen=True)
class Kind:
    """What differs between kinds of exports.

    Args:
        name: of the kind.
        documents: where table and classes are, before their names.
        seal: where the digests are, and what of.
        calling: Markdown that tells how to call it; {setting} is the largest one, {outputs} are names.
        trust: what loading it means.
    """

    name: str
    documents: str
    seal: str
    calling: str
    trust: str


SAVED_MODEL = Kind(
    "SavedModel",
    "assets/",
    "of each in `assets.extra/files.json`",
    """
    ```python
    import numpy as np
    import tensorflow as tf  # nothing else is needed

    pictures = np.zeros((1, 64, 64, 3), np.uint8)  # RGB, any number and size
    served = tf.saved_model.load("PATH OF THIS FOLDER")
    answer = served.signatures["serve_{setting}"](images=pictures)  # {outputs}
    ```

    `tfres.AdaptiveModel("PATH OF THIS FOLDER").predict(pictures, budget_ms=20)` takes the best setting within a budget.
    `tensorflow_model_server --model_name=NAME --model_base_path=FOLDER` serves the folder that holds this one.
    """,
    "Load only exports that you trust: a SavedModel runs its own operations.",
)
LITERT = Kind(
    "LiteRT file",
    "",
    "of the model and of each document behind it in `seal.json`",
    """
    ```python
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter  # nothing else is needed

    pictures = np.zeros((1, 64, 64, 3), np.uint8)  # RGB, any size, at least one
    net = Interpreter("PATH OF THE FILE", num_threads=2)  # one per thread
    answer = net.get_signature_runner("serve_{setting}")(images=pictures)  # {outputs}
    ```

    `tfres.AdaptiveModel("PATH OF THE FILE").predict(pictures, budget_ms=20)` takes the best setting within a budget.
    This card and the other documents are in a zip behind the model, which any program for zips opens.
    """,
    "Load only exports that you trust.",
)


def check_about(about: object) -> dict[str, str]:
    """Notes of a card: heading -> text; none for None.

    Raises:
        ExportError: anything else.
    """
    if about is None:
        return {}
    fits = isinstance(about, Mapping) and all(_is_note(part) for pair in about.items() for part in pair)
    if not fits:
        allowed = f"a mapping of headings to texts of 1 to {_LONGEST} characters, or None"
        raise ExportError(f"`about` must be {allowed}. Received: about={str(about)[:80]}.")
    return dict(about)


def about_run(name: str, recipe: Any, facts: Mapping[str, Any]) -> dict[str, str]:
    """The notes that a run gives.

    Args:
        name: of the run.
        recipe: resolved.
        facts: what `run.json` holds.
    """
    source = str(recipe.data.source).rstrip("/").rpartition("/")[2]  # not where it lies on this machine
    pictures = f"{facts['pictures']:,} training pictures, " if "pictures" in facts else ""
    return {
        "Network": f"{recipe.model.arch}, trained by the run {name}",
        "Data": f"{source}: {pictures}{len(facts['classes'])} classes",
    }


def card(
    kind: Kind,
    name: str,
    network: Network,
    task: Task,
    settings: Sequence[Setting],
    signatures: Mapping[str, Interface],
    form: str,
    classes: Sequence[str] | None,
    table: Mapping[str, Any] | None,
    about: Mapping[str, str],
) -> str:
    """The card's text, Markdown.

    Args:
        kind: of the export.
        name: of the model.
        network: that is exported.
        task: of its outputs.
        settings: that are exported.
        signatures: name -> interface.
        form: how the export stores the network, in words.
        classes: their names, or None.
        table: query table, or None.
        about: notes by heading, of `check_about`; "Licence" is the weights'.
    """
    notes, largest = dict(about), settings[0]
    licence = notes.pop("Licence", "not stated: it is for those who trained them to say, within the terms of their data")
    called = {"setting": largest, "outputs": ", ".join(sorted(signatures[f"serve_{largest}"][1]))}
    told = "" if classes is None else f", {len(classes)} classes (`{kind.documents}classes.json`)"
    count = sum(value.size for value in weights_by_name(network).values())
    what = {
        **notes,
        "Class": f"`{type(network).__name__}`, {count:,} numbers in all, {len(settings)} settings",
        "Task": f"`{type(task).__name__}`{told}",
        "Form": f"{kind.name}, {form}",
        "Weights": f"SHA-256 `{fingerprint_of(network)}`",
        "Files": f"SHA-256 {kind.seal}; `tfres.AdaptiveModel` checks them",
        "Made": f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d} by tfres {tfres.__version__}, {_versions()}",
        "Licence of the weights": licence,
        "Licence of the code": f"tfres: {LICENCE}",
    }
    parts = [
        f"# {name}",
        "One set of weights that runs at several settings, chosen call by call.",
        "\n".join(f"- {_line(heading)}: {_line(text)}" for heading, text in what.items()),
        "## Settings",
        _settings(kind, network, settings, table),
        "## Signatures",
        _table(["signature", "takes", "gives"], [_signature(*pair) for pair in sorted(signatures.items())]),
        "## How to call it",
        textwrap.dedent(kind.calling).strip().format(**called),
        kind.trust,
    ]
    return "\n\n".join(parts) + "\n"


def _settings(kind: Kind, network: Network, settings: Sequence[Setting], table: Mapping[str, Any] | None) -> str:
    """The settings with what the table knows of them and of policies."""
    rows = {str(setting): {} for setting in settings}
    merit = "top1"
    if table is not None:
        merit = tables.score(table)
        for row in tables.settings(table):
            if "policy" in row or row["setting"] in rows:
                rows[row["setting"]] = row
    sizes = {str(setting): "{} x {}".format(*network.input_size(setting)) for setting in settings}
    columns = {merit: (merit, 1, "{:.4f}"), **_COLUMNS}
    known = {key: told for key, told in columns.items() if any(row.get(key) is not None for row in rows.values())}
    lines = [[setting, sizes.get(setting, ""), *_figures(row, known)] for setting, row in rows.items()]
    text = _table(["setting", "height x width", *(heading for heading, _, _ in known.values())], lines)
    if table is None:
        return f"{text}\n\nNothing was measured."
    timed = f" Times: {_line(table['machine'])}, pictures per call: {table.get('batch', 1)}." if "machine" in table else ""
    return f"{text}\n\nThe whole table is in `{kind.documents}table.json`.{timed}"


def _figures(row: Mapping[str, Any], columns: Mapping[str, tuple[str, float | None, str]]) -> list[str]:
    values = {key: row.get(key) for key in columns}
    return [
        "" if values[key] is None else form.format(values[key] if factor is None else values[key] * factor)
        for key, (_, factor, form) in columns.items()
    ]


def _signature(name: str, interface: Interface) -> list[str]:
    return [f"`{name}`", *map(_tensors, interface)]


def _tensors(tensors: Mapping[str, Any]) -> str:
    """Names, types and shapes."""
    shapes = {name: ", ".join("?" if n is None else str(n) for n in one.shape) for name, one in tensors.items()}
    return ", ".join(f"`{name}` {tensors[name].dtype.name} ({shapes[name]})" for name in sorted(tensors))


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(_line(cell).replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def _versions() -> str:
    return ", ".join(f"{name} {version}" for name, version in versions().items() if version is not None)


def _line(text: Any) -> str:
    """In one line, without what would begin HTML."""
    return " ".join(str(text).split()).replace("<", "&lt;")


def _is_note(part: object) -> bool:
    return isinstance(part, str) and bool(part.strip()) and len(part) <= _LONGEST
