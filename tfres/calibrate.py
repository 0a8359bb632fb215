"""`python -m tfres.calibrate`: norms for settings that a run was not trained at."""

from __future__ import annotations

import json
from collections.abc import Sequence

from tfres.cli import Parser, numbers, options_of, resolutions, run_main
from tfres.errors import RecipeError
from tfres.recipe import EvaluationOptions


def make_parser() -> Parser:
    """The parser."""
    text = (
        "Give a trained run batch norms for further resolutions: gamma and beta of the next smaller trained one, statistics "
    )
    text += "measured on training pictures. Evaluation and export then have them too."
    parser = Parser("calibrate", "--run runs/latest --size 208 144", description=text)
    parser.add_argument("--run", default="runs/latest", help="folder of the run")
    parser.add_argument("--size", nargs="+", required=True, help="resolutions in pixels, or ranges low:high:step")
    parser.add_argument("--width", nargs="+", help="networks of several widths: at every resolution")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_fields("evaluation", EvaluationOptions)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command."""
    arguments = make_parser().parse_args(argv)
    sizes, widths = resolutions(arguments.size), numbers(float, arguments.width, "width")
    options = options_of(arguments, "evaluation", EvaluationOptions)

    from tfres.evaluation.report import show_table
    from tfres.evaluation.requests import evaluate_run
    from tfres.families.networks import read_run_recipe
    from tfres.run import Run

    trained = [] if widths else [size for size in sizes if size in read_run_recipe(Run(arguments.run)).model.resolutions]
    if trained:
        raise RecipeError(f"`size` must be resolutions that were not trained. Received: {' '.join(map(str, trained))}.")
    table = evaluate_run(arguments.run, sizes, widths, None, True, options)
    if arguments.json:
        print(json.dumps(table))
    else:
        show_table(table, ["pictures"])
    return 0


if __name__ == "__main__":
    run_main(main)
