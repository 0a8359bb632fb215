"""`python -m tfres.evaluate`: top-1 and top-5 of a run at its resolutions, or over a list of any."""

import dataclasses
import json
import sys
from typing import Literal

from tfres.cli import Parser, add_calibration_options, calibration_options, print_table, run_main
from tfres.recipe import RecipeError
from tfres.settings import INFERENCE


def make_parser():
    parser = Parser(
        prog="python -m tfres.evaluate",
        description="Accuracy of a trained run on the validation pictures.",
        epilog="Example: python -m tfres.evaluate --run runs/latest --size 24",
    )
    parser.add_argument("--run", type=str, default="runs/latest", help="folder of the run")
    parser.add_argument("--size", type=int, nargs="+", help="resolutions in pixels; default all of the run")
    parser.add_argument(
        "--sweep",
        type=int,
        nargs="*",
        help="any resolutions, or none to take those between the smallest and the largest trained one in steps of --step. "
        "Writes sweep.json and sweep.png (accuracy against resolution and ms) into the run",
    )
    parser.add_argument("--step", type=int | None, help="of --sweep without resolutions, in pixels; default 8")
    parser.add_argument(
        "--inference",
        type=Literal[INFERENCE],
        nargs="+",
        help="with --size or --sweep: how resolutions that were not trained run: proxy (norms, in SAN also kernels, of the "
        "next smaller trained one: default of --sweep), ideal (SAN: kernels of the resolution itself), data-free (also norms "
        "interpolated between trained neighbours), proxy+calibration, ideal+calibration (statistics measured anew); several "
        "are compared. What tfres.calibrate added to the run is left out",
    )
    parser.add_argument(
        "--grid",
        action="store_true",
        help="networks of several widths: calibrate and evaluate every width at every resolution (--size; default the run's), "
        "into the run's query table, with a plot; goes on where it was interrupted",
    )
    parser.add_argument("--widths", type=float, nargs="+", help="of --grid; default the network's range in steps of 0.05")
    parser.add_argument("--encodings", type=float, nargs="+", help="of SAN: with --inference, one for each --size")
    add_calibration_options(parser)
    parser.add_argument("--data", type=str | None, help="other pictures, as for training; default the run's")
    parser.add_argument("--epoch", type=int | None, help="epoch whose checkpoint is used; default the last")
    parser.add_argument("--bn-size", type=int | None, help="trained resolution whose batch norms are used at --size")
    parser.add_argument(
        "--statistics-run", type=str | None, help="with --bn-size: run trained at --size that lends its means and variances"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    return parser


def main(argv=None):
    arguments = make_parser().parse_args(argv)
    _check(arguments)

    from tfres import session
    from tfres.data.sources import open_source
    from tfres.evaluation.accuracy import evaluate
    from tfres.objectives import has_ensemble
    from tfres.run import Run

    run = Run(arguments.run)
    recipe = run.recipe()
    checkpoint = _checkpoint(run, arguments.epoch)
    model, crop = session.load_run(run, checkpoint, with_calibrated=not arguments.inference)
    sweeping = arguments.sweep is not None or arguments.inference is not None
    if not sweeping and not arguments.grid:
        points = _points(model.settings, arguments.size, arguments.bn_size)
    if arguments.statistics_run:
        other, _ = session.load_run(Run(arguments.statistics_run))
        session.borrow_statistics(model, arguments.bn_size, other, arguments.size[0])
    data = dataclasses.replace(recipe.data, source=arguments.data or recipe.data.source)
    source = open_source(data, recipe.model.classes)
    if arguments.grid:
        return _grid(run, checkpoint, model, crop, source, dataclasses.replace(recipe, data=data), arguments)
    if sweeping:
        return _sweep(run, model, crop, source, dataclasses.replace(recipe, data=data), arguments)
    everything = arguments.size is None and len(points) > 1
    results = evaluate(model, crop, source, data, points, with_ensemble=everything and has_ensemble(recipe))
    rows = [{"setting": name, **result} for name, result in results.items()]
    if arguments.json:
        print(json.dumps({"run": str(run.path), "pictures": source.validation.size, "rows": rows}))
    else:
        print_table(rows, [("setting", "setting", "{}"), ("top1", "top-1", "{:.2%}"), ("top5", "top-5", "{:.2%}")])
    return 0


def _check(arguments):
    """Raises RecipeError where options do not go together."""
    if arguments.statistics_run and (arguments.bn_size is None or not arguments.size or len(arguments.size) != 1):
        raise RecipeError("`statistics-run` needs `bn-size` and one `size`.")
    if arguments.sweep is not None and (arguments.size or arguments.bn_size):
        raise RecipeError("`sweep` takes its own resolutions. Received: size or bn-size too.")
    for name in ("sweep", "size"):
        if min(arguments[name] or [1]) <= 0:
            raise RecipeError(f"`{name}` must be positive sizes. Received: {arguments[name]}.")
    if arguments.grid and (arguments.sweep is not None or arguments.inference or arguments.bn_size):
        raise RecipeError("`grid` goes without sweep, inference and bn-size.")
    if arguments.widths and not arguments.grid:
        raise RecipeError(f"`widths` needs `grid`. Received: widths={arguments.widths}.")
    if arguments.step is not None and (arguments.step < 1 or arguments.sweep != []):
        raise RecipeError(f"`step` must be positive and needs `sweep` without sizes. Received: step={arguments.step}.")
    calibration_options(arguments, arguments.grid or any(mode.endswith("calibration") for mode in arguments.inference or []))
    if arguments.inference and (arguments.bn_size or arguments.sweep is None and not arguments.size):
        raise RecipeError("`inference` needs `size` or `sweep` and goes without `bn-size`.")
    if arguments.encodings and (not arguments.inference or len(arguments.encodings) != len(arguments.size or [])):
        raise RecipeError(f"`encodings` needs `inference` and as many `size`. Received: encodings={arguments.encodings}.")


def _points(settings, sizes, bn_size):
    """Name -> `(setting, resolution)` of what is to be evaluated.

    Args:
        settings: those with norms of their own: trained or calibrated.
        sizes, bn_size: options.

    Raises:
        RecipeError: a size that has none.
    """
    from tfres.settings import Setting

    trained = list(dict.fromkeys(setting.resolution for setting in settings))
    sizes = sizes or trained
    if bn_size is not None:
        wrong = [] if bn_size in trained else [bn_size]
    else:
        wrong = [size for size in sizes if size not in trained]
    if wrong or any(size <= 0 for size in sizes):
        raise RecipeError(
            f"`size` must be a resolution the run was trained at (or calibrated for): {', '.join(map(str, trained))}. "
            f"Received: {', '.join(map(str, wrong or sizes))}. (--inference proxy evaluates other sizes with the norms of the "
            "next smaller one, --bn-size R with those of R; tfres.calibrate gives them norms of their own.)"
        )
    if bn_size is None:
        return {str(setting): (setting, size) for size in sizes for setting in settings if setting.resolution == size}
    return {f"r{size} with r{bn_size}'s norms": (Setting(bn_size), size) for size in sizes}


def _sweep(run, model, crop, source, recipe, arguments):
    from tfres import session
    from tfres.data.faults import explained
    from tfres.evaluation.sweep import plot_sweep, sweep
    from tfres.files import write_text

    trained = [setting.resolution for setting in model.trained_settings]
    every = [*range(min(trained), max(trained), arguments.step or 8), max(trained)]
    resolutions = arguments.size or arguments.sweep or every
    pictures = session.calibration_pictures(recipe, source, *calibration_options(arguments))
    encodings = dict(zip(arguments.size, arguments.encodings, strict=True)) if arguments.encodings else None
    sweeping = arguments.sweep is not None
    with explained(source):
        try:
            modes = arguments.inference or ["proxy"]
            results = sweep(model, crop, source, recipe.data, resolutions, modes, pictures, encodings, latency=sweeping)
        except ValueError as error:
            raise RecipeError(str(error)) from error
    text = json.dumps(results, indent=1)
    if sweeping:
        write_text(run.path / "sweep.json", text + "\n")
        plot_sweep(results, run.path / "sweep.png", run.name)
    if arguments.json:
        print(text)
    else:
        columns = [("resolution", "resolution", "{}"), ("setting", "norms of", "{}"), ("inference", "inference", "{}")]
        columns += [("top1", "top-1", "{:.2%}"), ("top5", "top-5", "{:.2%}"), ("ms", "ms", "{:.2f}")]
        print_table(results["rows"], columns if sweeping else columns[:-1])
    return 0


def _grid(run, checkpoint, model, crop, source, recipe, arguments):
    import pathlib

    from tfres import session
    from tfres.data.faults import explained
    from tfres.evaluation import grid, table

    if not hasattr(model, "width_range"):
        raise RecipeError(f"`grid` is for networks of several widths; {recipe.model.arch} has one (see --sweep).")
    low, high = model.width_range
    steps = round((high - low) / 0.05)
    widths = arguments.widths or sorted({low, *(round(high - 0.05 * i, 4) for i in range(steps)), high})
    wrong = [width for width in widths if not low <= width <= high]
    if wrong:
        raise RecipeError(f"`widths` must be between {low:g} and {high:g}, the range of the training. Received: {wrong}.")
    settings = grid.grid(widths, arguments.size or recipe.model.resolutions)
    batches, cut = calibration_options(arguments)
    pictures = session.calibration_pictures(recipe, source, batches, cut)
    how = f"{batches} batches cut as in {cut}, {recipe.data.source}"
    name = pathlib.Path(checkpoint).name
    with explained(source):
        results = grid.evaluate_grid(run, name, model, crop, source, recipe.data, settings, pictures, how)
    grid.plot_grid(results, run.path / "grid.png", run.name)
    if arguments.json:
        print(json.dumps(results, indent=1))
    else:
        table.show_table(results)
    return 0


def _checkpoint(run, epoch):
    if epoch is None:
        from tfres.engines.checkpoints import find_checkpoint

        return find_checkpoint(run.checkpoints)
    from tfres.session import checkpoint_of_step

    return checkpoint_of_step(run, epoch * run.facts()["steps_per_epoch"])


if __name__ == "__main__":
    run_main(main, sys.argv[1:])
