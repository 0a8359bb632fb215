"""`python -m tfres.bench`: what exports take on this machine, side by side, to see which form to ship."""

from __future__ import annotations

import json
from collections.abc import Sequence

from tfres.cli import Parser, print_table, run_main, whole


def make_parser() -> Parser:
    """The parser."""
    text = (
        "Time every setting of exports in turn (median and 90th percentile, ms per call), load each in a process of its own, "
    )
    text += "print all side by side and put it into their query tables."
    parser = Parser("bench", "exported/NAME/1 exported/NAME/2.tflite --threads 1", description=text)
    parser.add_argument("exports", nargs="+", help="folders of versions and .tflite files")
    parser.add_argument("--threads", type=whole, help="threads of one operation; default all cores")
    parser.add_argument("--batch", type=whole, default=1, help="pictures per call (default %(default)s)")
    parser.add_argument("--size", type=whole, help="side of the pictures in pixels; default that of the setting")
    parser.add_argument("--rounds", type=whole, default=30, help="timed calls per setting (default %(default)s)")
    parser.add_argument("--no-table", action="store_true", help="leave the query tables of the exports as they are")
    parser.add_argument("--out", help="also write OUT.json and a plot, OUT.png")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command."""
    arguments = make_parser().parse_args(argv)

    from tfres.deploy import benching

    results = benching.bench(arguments.exports, arguments.threads, arguments.batch, arguments.size, arguments.rounds)
    if arguments.json:
        print(json.dumps(results))
    else:
        text = "pictures per call: {batch}, threads: {threads}, timed calls per setting: {rounds}"
        print(text.format(**results))
        for table in benching.tabulated(results):
            print()
            print_table(*table)
    if arguments.out:
        benching.write(results, arguments.out)
    if not arguments.no_table:
        benching.keep(results)
    return 0


if __name__ == "__main__":
    run_main(main)
