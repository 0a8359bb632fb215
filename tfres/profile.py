"""`python -m tfres.profile`: what every setting costs, counted and timed on this machine."""

from __future__ import annotations

import json
from collections.abc import Sequence

from tfres.cli import Parser, resolutions, run_main, whole
from tfres.errors import RecipeError
from tfres.families.recipes import DEFAULT_TASK


def make_parser() -> Parser:
    """The parser."""
    text = (
        "MACs, parameters, bytes and latency (median and 90th percentile, ms per call of the served form) of every setting. "
    )
    text += "Those of a run go into its query table."
    parser = Parser("profile", "--run runs/latest --batch 8 --threads 1", description=text)
    parser.add_argument("--run", help="folder of the run; default runs/latest, unless --arch is given")
    parser.add_argument("--arch", help="instead of a run: a network with random weights")
    parser.add_argument("--task", help=f"with --arch: what it is for (default {DEFAULT_TASK})")
    parser.add_argument("--size", nargs="+", help="with --arch: resolutions in pixels; default the network's")
    parser.add_argument("--batch", type=whole, default=1, help="images per call; with 1 the run's table takes the figures")
    parser.add_argument("--threads", type=whole, help="threads of one operation; default all cores")
    parser.add_argument("--repeats", type=whole, default=30, help="timed calls per setting")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command."""
    arguments = make_parser().parse_args(argv)
    if (arguments.arch and arguments.run) or ((arguments.size or arguments.task) and not arguments.arch):
        raise RecipeError("`arch` (with `size` and `task`) stands instead of `run`. Received both.")
    sizes = resolutions(arguments.size)

    from tfres.evaluation.profiling import profile_architecture, profile_run, set_threads
    from tfres.evaluation.report import show_table

    set_threads(arguments.threads)
    if arguments.arch:
        table = profile_architecture(arguments.arch, sizes, arguments.batch, arguments.repeats, arguments.task)
    else:
        table = profile_run(arguments.run or "runs/latest", arguments.batch, arguments.repeats)
    if arguments.json:
        print(json.dumps(table))
    else:
        print(f"{table['machine']}; batch {table['batch']}, {table['threads']} threads")
        show_table(table)
    return 0


if __name__ == "__main__":
    run_main(main)
