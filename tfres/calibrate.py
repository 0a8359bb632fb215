"""`python -m tfres.calibrate`: norms for resolutions that a run was not trained at."""

import json
import pathlib
import sys

from tfres.cli import Parser, add_calibration_options, calibration_options, print_table, run_main
from tfres.recipe import RecipeError


def make_parser():
    parser = Parser(
        prog="python -m tfres.calibrate",
        description="Give a trained run batch norms for further resolutions: gamma and beta of the next smaller trained one, "
        "statistics measured on training pictures. Evaluation and export then have them too.",
        epilog="Example: python -m tfres.calibrate --run runs/latest --size 208 144",
    )
    parser.add_argument("--run", type=str, default="runs/latest", help="folder of the run")
    parser.add_argument("--size", type=int, nargs="+", required=True, help="resolutions in pixels, not trained ones")
    parser.add_argument("--norms-of", type=int | None, help="trained resolution that gives gamma and beta")
    add_calibration_options(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    return parser


def main(argv=None):
    arguments = make_parser().parse_args(argv)

    from tfres import session
    from tfres.data.faults import explained
    from tfres.data.sources import open_source
    from tfres.engines import checkpoints
    from tfres.evaluation.calibration import calibrate
    from tfres.run import Run
    from tfres.settings import next_smaller

    run = Run(arguments.run)
    recipe = run.recipe()
    sizes, trained = arguments.size, recipe.model.resolutions
    _check(sizes, trained, arguments.norms_of)
    batches, cut = calibration_options(arguments)
    checkpoint = checkpoints.find_checkpoint(run.checkpoints)
    model, _ = session.load_run(run, checkpoint)
    if hasattr(model, "width_range"):
        raise RecipeError(f"{recipe.model.arch} has several widths: `python -m tfres.evaluate --grid` calibrates them all.")
    source = open_source(recipe.data, recipe.model.classes)
    donors = {size: arguments.norms_of or next_smaller(trained, size) for size in sizes}
    name = pathlib.Path(checkpoint).name
    model = model.extended({size: model.branch(donor, size) for size, donor in donors.items()})
    pictures = session.calibration_pictures(recipe, source, batches, cut)
    branches, rows = {}, []
    for size, donor in donors.items():
        with explained(source):
            seen = calibrate(model, size, pictures(size))
        branches[size] = model.branch(size, size)
        rows.append({"resolution": size, "norms_of": donor, "pictures": seen})
    run.add_calibrated(name, branches)
    if arguments.json:
        print(json.dumps({"run": str(run.path), "checkpoint": name, "rows": rows}))
    else:
        print_table(rows, [(k, k.replace("_", " "), "{}") for k in ("resolution", "norms_of", "pictures")])
    return 0


def _check(sizes, trained, norms_of):
    wrong = [size for size in sizes if size in trained or size <= 0]
    if wrong or len(set(sizes)) < len(sizes):
        known = ", ".join(map(str, trained))
        raise RecipeError(f"`size` must be distinct resolutions other than the trained {known}. Received: {sizes}.")
    if norms_of is not None and norms_of not in trained:
        raise RecipeError(f"`norms-of` must be one of {', '.join(map(str, trained))}. Received: norms-of={norms_of}.")


if __name__ == "__main__":
    run_main(main, sys.argv[1:])
