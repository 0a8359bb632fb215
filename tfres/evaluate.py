"""`python -m tfres.evaluate`: the figures of merit of a run at its settings, or at any."""

from __future__ import annotations

import json
from collections.abc import Sequence

from tfres.cli import Parser, given_fields, numbers, options_of, resolutions, run_main
from tfres.recipe import EvaluationOptions, PolicyOptions
from tfres.settings import INFERENCE


def make_parser() -> Parser:
    """The parser."""
    parser = Parser("evaluate", "--run runs/latest --size 24", description="Accuracy of a trained run on validation pictures.")
    parser.add_argument("--run", default="runs/latest", help="folder of the run")
    sizes = "resolutions in pixels, 360x480 (height x width), low:high:step; default all (--inference: every eighth between)"
    parser.add_argument("--size", nargs="+", help=sizes)
    widths = "networks of several widths: widths or ranges low:high:step, at every resolution; they are calibrated"
    parser.add_argument("--width", nargs="+", help=widths)
    ways = "how resolutions that were not trained run: proxy (norms, generated kernels too, of the next smaller trained one), "
    ways += "ideal (kernels of the resolution itself), data-free (also norms interpolated between trained neighbours), "
    ways += (
        "proxy+calibration, ideal+calibration (statistics measured anew); several are compared, in sweep.json and sweep.png"
    )
    parser.add_argument("--inference", choices=INFERENCE, nargs="+", help=ways)
    anew = (
        "measure norms' statistics of the settings on training pictures, keep them in the run with their rows of the table; "
    )
    anew += "goes on where it was interrupted"
    parser.add_argument("--calibrate", action="store_true", help=anew)
    parser.add_argument("--data", help="other pictures, as for training; default the run's")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_fields("evaluation", EvaluationOptions)
    parser.add_fields("policies", PolicyOptions)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command."""
    arguments = make_parser().parse_args(argv)
    sizes, widths = resolutions(arguments.size), numbers(float, arguments.width, "width")
    options = options_of(arguments, "evaluation", EvaluationOptions)

    from tfres.evaluation.report import show_table
    from tfres.evaluation.requests import evaluate_run

    policies = options_of(arguments, "policies", PolicyOptions) if given_fields(arguments, "policies", PolicyOptions) else None
    wanted = (sizes, widths, arguments.inference, arguments.calibrate)
    table = evaluate_run(arguments.run, *wanted, options, arguments.data, policies)
    if arguments.json:
        print(json.dumps(table))
    else:
        show_table(table, ["inference"] if arguments.inference else [])
    return 0


if __name__ == "__main__":
    run_main(main)
