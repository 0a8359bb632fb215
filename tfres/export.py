"""`python -m tfres.export`: a run as a TF Serving model folder."""

import json
import logging
import sys
from typing import Literal

from tfres.cli import Parser, run_main
from tfres.recipe import RecipeError


def make_parser():
    parser = Parser(
        prog="python -m tfres.export",
        description="Write OUT/NAME/VERSION/ with one signature per resolution.",
        epilog="Example: python -m tfres.export --run runs/latest --out exported/",
    )
    parser.add_argument("--run", type=str, default="runs/latest", help="folder of the run")
    parser.add_argument("--out", type=str, default="exported", help="folder that holds models")
    parser.add_argument("--name", type=str | None, help="name of the model; default the run's")
    parser.add_argument("--size", type=int, nargs="+", help="only the signatures of these resolutions")
    parser.add_argument(
        "--form",
        type=Literal["shared", "separate"],
        default="shared",
        help="shared: one network serves all resolutions, also untrained ones (serve_any); a SAN generates its kernels per "
        "call. separate: a plain network per resolution with fixed kernels",
    )
    return parser


def main(argv=None):
    arguments = make_parser().parse_args(argv)

    from tfres import session
    from tfres.deploy import export_savedmodel
    from tfres.run import Run

    for noisy in ("tensorflow", "absl"):  # names of inner inputs and where the assets are
        logging.getLogger(noisy).setLevel(logging.ERROR)
    run = Run(arguments.run)
    model, crop = session.load_run(run)
    table = json.loads(run.table.read_text()) if run.table.exists() else None
    name, rules = arguments.name or run.name, run.recipe().data.rules
    try:
        path = export_savedmodel(
            model, crop, arguments.out, name, run.facts()["classes"], table, rules, arguments.size, arguments.form
        )
    except ValueError as error:
        raise RecipeError(str(error)) from error
    print(path)
    return 0


if __name__ == "__main__":
    run_main(main, sys.argv[1:])
