"""What the command lines share: parsing with helpful errors, exit codes, tables."""

from __future__ import annotations

import argparse
import difflib
import logging
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NoReturn, TextIO

from tfres.errors import CheckpointError, DataError, RecipeError, UsageError, WorkerLost
from tfres.recipe import build, check, describe, read_text
from tfres.recipe.values import fields_of, words
from tfres.settings import Resolution, Setting

WRONG_USAGE, FAILURE, INTERRUPTED = 2, 1, 130
MOST_SETTINGS = 4096


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors name the nearest option; they end with exit code 2.

    Args:
        verb: name of the command.
        example: what follows the command's name in the line of help that shows its use.
        synonyms: further option names that are known.
        others: as of `argparse.ArgumentParser`.
    """

    def __init__(self, verb: str, example: str = "", synonyms: Iterable[str] = (), **others: Any) -> None:
        prog = f"python -m tfres.{verb}"
        epilog = others.pop("epilog", "") + (f"Example: {prog} {example}" if example else "")
        super().__init__(prog=prog, epilog=epilog, allow_abbrev=False, **others)
        self._synonyms = list(synonyms)

    def error(self, message: str) -> NoReturn:
        known = [*self._synonyms, *self._option_string_actions]
        wrong = re.search(r"unrecognized arguments: (-{1,2}[\w.\-]+)", message)
        near = difflib.get_close_matches(wrong[1], known, n=1) if wrong else []
        if wrong and "." in wrong[1]:  # the same field in another group
            near = [name for name in known if name.rpartition(".")[2] == wrong[1].rpartition(".")[2] and "." in name] or near
        hint = f" Did you mean `{near[0]}`?" if near else ""
        print(f"{self.prog}: error: {message}.{hint}\nSee {self.prog} --help.", file=sys.stderr)
        sys.exit(WRONG_USAGE)

    def add_fields(self, group: str, kind: type) -> None:
        """Options `--group.field` for the fields of a dataclass of options; see `given_fields`."""
        arguments = self.add_argument_group(f"fields of `{group}`")
        for name, annotation in fields_of(kind).items():
            text = "name of the network" if name == "arch" else describe(kind, name)
            help_text = f"{text} ({words(annotation)})".replace("%", "%%")
            arguments.add_argument(f"--{group}.{name}", default=argparse.SUPPRESS, metavar="VALUE", help=help_text)


def given_fields(arguments: argparse.Namespace, group: str, kind: type) -> dict[str, Any]:
    """Values of the fields of a group that the command line gives.

    Raises:
        RecipeError: a value of another type.
    """
    texts = {name.removeprefix(f"{group}."): text for name, text in vars(arguments).items() if name.startswith(f"{group}.")}
    return {name: read_text(name, text, fields_of(kind)[name]) for name, text in texts.items()}


def options_of(arguments: argparse.Namespace, group: str, kind: type) -> Any:
    """The dataclass of a group from the command line alone."""
    return build(kind, given_fields(arguments, group, kind), f"{group}.")


def whole(text: str) -> int:
    """Type of an option: a positive whole number."""
    value = _number(text, int)
    if not 0 < value < 2**31:
        raise argparse.ArgumentTypeError(f"must be a positive whole number. Received: {text!r}")
    return value


def positive(text: str) -> float:
    """Type of an option: a positive number."""
    value = _number(text, float)
    if not value > 0:
        raise argparse.ArgumentTypeError(f"must be a positive number. Received: {text!r}")
    return value


def _number(text: str, kind: type) -> Any:
    try:
        return read_text("value", text, kind)
    except RecipeError:
        return 0


def numbers(kind: Callable[[str], float], texts: Sequence[str] | None, name: str) -> list[Any] | None:
    """Numbers and ranges `low:high:step` (both ends belong to them) of an option.

    Raises:
        RecipeError: something else, or too many.
    """
    if texts is None:
        return None
    found: list[Any] = []
    for text in texts:
        parts = text.split(":")
        values = [read_text(name, part, kind) for part in parts]
        if len(values) not in (1, 3) or min(values) <= 0 or values[0] > values[-2 if len(values) == 3 else -1]:
            raise RecipeError(f"`{name}` must be positive numbers or ranges low:high:step. Received: {text!r}.")
        low, high, step = values if len(values) == 3 else (values[0], values[0], 1)
        if high - low > MOST_SETTINGS * step:
            raise RecipeError(f"`{name}` must be at most {MOST_SETTINGS} numbers. Received: {text!r}.")
        count = int((high - low) / step + 1e-9) + 1
        if count + len(found) > MOST_SETTINGS:
            raise RecipeError(f"`{name}` must be at most {MOST_SETTINGS} numbers. Received: {text!r}.")
        found += [round(low + i * step, 10) for i in range(count)] + ([high] if low + (count - 1) * step < high - 1e-9 else [])
    if len(set(found)) < len(found):
        raise RecipeError(f"`{name}` must be distinct. Received: {' '.join(texts)}.")
    return found


def resolutions(texts: Sequence[str] | None, name: str = "size") -> list[Resolution] | None:
    """Sides in pixels, ranges of them `low:high:step`, and pairs of height and width such as 360x480, of an option.

    Raises:
        RecipeError: something else, too many, or one of them twice.
    """
    if texts is None:
        return None
    pairs = [text for text in texts if re.fullmatch(r"[0-9]+x[0-9]+", text)]
    if not pairs:
        return numbers(int, texts, name)
    try:
        read = {text: Setting.parse(text).resolution for text in pairs}
    except ValueError as error:
        raise RecipeError(f"`{name}` must be resolutions in pixels. {error}") from error
    found = [resolution for text in texts for resolution in ([read[text]] if text in read else numbers(int, [text], name))]
    check(len({*found}) == len(found) <= MOST_SETTINGS, name, f"distinct, and at most {MOST_SETTINGS}", " ".join(texts))
    return found


def run_main(main: Callable[[Sequence[str] | None], int], argv: Sequence[str] | None = None) -> NoReturn:
    """Call a command's `main(argv)`; turn known errors into one line and an exit code.

    Wrong usage (options, recipe, files that are not what was asked for) ends with 2, failures while running with 1.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        sys.exit(main(argv))
    except UsageError as error:
        code, message = WRONG_USAGE, error
    except KeyboardInterrupt:
        code, message = INTERRUPTED, "interrupted; the same command goes on from the last checkpoint"
    except (CheckpointError, DataError, ArithmeticError, OSError, WorkerLost) as error:
        code, message = FAILURE, error
    print(f"error: {message}", file=sys.stderr)
    sys.exit(code)


def print_table(
    rows: Iterable[Mapping[str, Any]], columns: Sequence[tuple[str, str, str]], file: TextIO | None = None
) -> None:
    """Print rows as an aligned table.

    Args:
        rows: mappings.
        columns: list of `(key, heading, format)`; missing values print as a dash.
        file: default standard output.
    """
    cells = [[heading for _, heading, _ in columns]]
    for row in rows:
        cells.append([form.format(row[key]) if row.get(key) is not None else "-" for key, _, form in columns])
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
    for line in cells:
        print("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)), file=file)
