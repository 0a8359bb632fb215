"""`python -m tfres.export`: a run as a TF Serving model folder or a LiteRT file."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from tfres.cli import Parser, resolutions, run_main
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
    parser.add_argument("--form", choices=("shared", "separate", "litert"), default="shared", help=form)
    parser.add_argument("--packed", action="store_true", help="store low-bit kernels at their bits; unpacked when loaded")
    parser.add_argument("--precision", choices=("float", "float16", "int8"), help="of a LiteRT file; default float")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command."""
    arguments = make_parser().parse_args(argv)
    sizes = resolutions(arguments.size)
    if None not in (sizes, arguments.settings):
        raise RecipeError("Give --size or --settings.")
    checked_name("name", "run" if arguments.name is None else arguments.name)

    from tfres.deploy.card import about_run
    from tfres.deploy.forms import export
    from tfres.evaluation.requests import chosen_settings
    from tfres.families.networks import load_network, read_run_recipe
    from tfres.run import Run
    from tfres.tasks import find_task

    for noisy in ("tensorflow", "absl"):  # names of inner inputs, places of assets
        logging.getLogger(noisy).setLevel(logging.ERROR)
    run = Run(arguments.run)
    recipe, network, facts = read_run_recipe(run), load_network(run), run.facts()
    task = find_task(recipe.task).task(recipe.data, facts["classes"], recipe.model.classes)
    settings = arguments.settings if sizes is None else chosen_settings(network, sizes, None)
    options = {name: getattr(arguments, name) for name in ("form", "packed", "precision")} | {"settings": settings}
    options |= {"classes": facts["classes"], "table": run.read_table() if run.table.exists() else None}
    try:
        print(export(network, task, arguments.out, arguments.name or run.name, about_run(run.name, recipe, facts), **options))
    except ValueError as error:
        raise RecipeError(str(error)) from error
    return 0


if __name__ == "__main__":
    run_main(main)
