"""`python -m tfres.export`: a run as a TF Serving model folder or a LiteRT file."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from tfres.cli import Parser, resolutions, run_main
from tfres.deploy.forms import FORMS, PRECISIONS
from tfres.errors import RecipeError
from tfres.files import checked_name


def make_parser() -> Parser:
    """The parser."""
    text = "Write OUT/NAME/VERSION/ (or VERSION.tflite) with one signature per setting."
    parser = Parser("export", "--run runs/latest --out exported/", description=text)
    parser.add_argument("--run", default="runs/latest", help="folder of the run")
    parser.add_argument("--out", default="exported", help="folder that holds models")
    parser.add_argument("--name", help="name of the model; default the run's")
    parser.add_argument("--size", nargs="+", help="only the signatures of these resolutions")
    parser.add_argument("--settings", nargs="+", help="only the signatures of these settings, such as exit2 or r160-w0.5")
    form = "shared: one network for all settings, separate: a plain one each with fixed kernels, litert: one .tflite file"
    parser.add_argument("--form", choices=FORMS, default="shared", help=form)
    parser.add_argument("--packed", action="store_true", help="store low-bit kernels at their bits; unpacked when loaded")
    precision = "of a LiteRT file; default float. int8 of a low-bit run and int8-full need the run's data"
    parser.add_argument("--precision", choices=PRECISIONS, help=precision)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command."""
    arguments = make_parser().parse_args(argv)
    sizes = resolutions(arguments.size)
    if None not in (sizes, arguments.settings):
        raise RecipeError("Give --size or --settings.")
    checked_name("name", "run" if arguments.name is None else arguments.name)

    from tfres.deploy.of_run import export_run

    for noisy in ("tensorflow", "absl"):  # names of inner inputs, places of assets
        logging.getLogger(noisy).setLevel(logging.ERROR)
    options = {name: getattr(arguments, name) for name in ("name", "settings", "form", "precision", "packed")}
    try:
        print(export_run(arguments.run, arguments.out, sizes=sizes, **options))
    except ValueError as error:
        if type(error) is not ValueError:
            raise
        raise RecipeError(str(error)) from error
    return 0


if __name__ == "__main__":
    run_main(main)
