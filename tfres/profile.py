"""`python -m tfres.profile`: what every setting costs, counted and timed on this machine."""

import json
import sys

from tfres.cli import Parser, run_main
from tfres.recipe import ModelRecipe, RecipeError


def make_parser():
    parser = Parser(
        prog="python -m tfres.profile",
        description="MACs, parameters, bytes and latency (median and 90th percentile, ms per call) of every setting. Those of "
        "a run go into its query table.",
        epilog="Example: python -m tfres.profile --run runs/latest --batch 8 --threads 1",
    )
    parser.add_argument("--run", type=str | None, help="folder of the run; default runs/latest, unless --arch is given")
    parser.add_argument("--arch", type=str | None, help="instead of a run: a network with random weights")
    parser.add_argument("--size", type=int, nargs="+", help="with --arch: resolutions in pixels; default the network's")
    parser.add_argument("--batch", type=int, default=1, help="images per call")
    parser.add_argument("--threads", type=int | None, help="threads of one operation; default all cores")
    parser.add_argument("--repeats", type=int, default=30, help="timed calls per setting")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    return parser


def main(argv=None):
    arguments = make_parser().parse_args(argv)
    for name in ("batch", "threads", "repeats"):
        if arguments[name] is not None and arguments[name] < 1:
            raise RecipeError(f"`{name}` must be positive. Received: {name}={arguments[name]}.")
    if arguments.arch and arguments.run or arguments.size and not arguments.arch:
        raise RecipeError("`arch` (with `size`) stands instead of `run`. Received both.")

    import tensorflow as tf

    if arguments.threads:
        tf.config.threading.set_intra_op_parallelism_threads(arguments.threads)
    from tfres import session
    from tfres.evaluation import table
    from tfres.run import Run

    run = None if arguments.arch else Run(arguments.run or "runs/latest")
    if run is None:
        model = session.build_architecture(ModelRecipe(arch=arguments.arch, resolutions=arguments.size))
    else:
        model, _ = session.load_run(run)
    results = table.profile(model, arguments.batch, arguments.repeats)
    if run is not None:
        table.save_table(table.merge(run.read_table(), results), run.table)
    if arguments.json:
        print(json.dumps(results))
    else:
        print(f"{results['machine']}; batch {results['batch']}, {results['threads']} threads")
        table.show_table(results)
    return 0


if __name__ == "__main__":
    run_main(main, sys.argv[1:])
