"""What the command lines share: parsing with helpful errors, exit codes, tables."""

import difflib
import logging
import re
import sys
from typing import Literal

import jsonargparse

from tfres.recipe import RecipeError

WRONG_USAGE, FAILURE = 2, 1


class Parser(jsonargparse.ArgumentParser):
    """jsonargparse parser whose errors name the nearest option or recipe key; errors end with exit code 2.

    Args:
        synonyms: further option names that `tfres.options.expand` knows.
    """

    def __init__(self, *args, synonyms=(), **kwargs):
        super().__init__(*args, allow_abbrev=False, **kwargs)
        self.synonyms = synonyms

    def error(self, message, *args, **kwargs):
        message = str(message)
        known = [*self.synonyms, *(o for action in self._actions for o in (*action.option_strings, action.dest))]
        wrong = re.search(r"""(?:unrecognized arguments:|key|option)\s+['"]?(-{0,2}[\w.\-]+)""", message, re.IGNORECASE)
        near = difflib.get_close_matches(wrong[1], known, n=1) if wrong and wrong[1] not in known else []
        if near:
            message += f" Did you mean `{near[0]}`?"
        print(f"{self.prog}: error: {message}\nSee {self.prog} --help.", file=sys.stderr)
        sys.exit(WRONG_USAGE)


def run_main(main, argv=None):
    """Call a command's `main(argv)`; turn known errors into one line and an exit code.

    Wrong usage (options, recipe, checkpoint or data that do not fit) ends with 2, failures while running with 1.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        sys.exit(main(argv))
    except RecipeError as error:
        code, message = WRONG_USAGE, error
    except KeyboardInterrupt:
        code, message = 130, "interrupted; the same command goes on from the last checkpoint"
    except Exception as error:
        from tfres.data.errors import DataError, SourceError
        from tfres.engines.checkpoints import CheckpointError
        from tfres.engines.strategies import WorkerLost
        from tfres.engines.training import NonFiniteLoss

        if not isinstance(error, (DataError, CheckpointError, NonFiniteLoss, WorkerLost, OSError)):
            raise
        code, message = WRONG_USAGE if isinstance(error, SourceError) else FAILURE, error
    print(f"error: {message}", file=sys.stderr)
    sys.exit(code)


def add_calibration_options(parser):
    """Options `--batches` and `--cut` of the pictures that statistics are measured on."""
    parser.add_argument("--batches", type=int | None, help="of calibration: training batches per resolution, default 16")
    parser.add_argument(
        "--cut",
        type=Literal["training", "evaluation"] | None,
        help="of calibration: pictures cut as in training (random crops, flips; the default) or as in evaluation",
    )


def calibration_options(arguments, used=True):
    """Number of batches and the cut of a command's arguments.

    Raises:
        RecipeError: not positive, or given where nothing is calibrated.
    """
    for name in ("batches", "cut"):
        if not used and arguments[name] is not None:
            raise RecipeError(f"`{name}` needs something to calibrate. Received: {name}={arguments[name]}.")
    batches = 16 if arguments.batches is None else arguments.batches
    if batches < 1:
        raise RecipeError(f"`batches` must be positive. Received: batches={batches}.")
    return batches, arguments.cut or "training"


def print_table(rows, columns, file=None):
    """Print rows (mappings) as an aligned table.

    Args:
        rows: list of mappings.
        columns: list of `(key, heading, format)`; missing values print as a dash.
        file: default standard output.
    """
    cells = [[heading for _, heading, _ in columns]]
    for row in rows:
        cells.append([form.format(row[key]) if row.get(key) is not None else "-" for key, _, form in columns])
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
    for line in cells:
        print("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)), file=file)
