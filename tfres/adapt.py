"""`python -m tfres.adapt`: an export under a budget that falls and rises, to see what it chooses and how long that takes."""

from __future__ import annotations

import collections
import json
import sys

from tfres.cli import Parser, print_table, run_main
from tfres.errors import UsageError


def make_parser() -> Parser:
    """The command's options."""
    parser = Parser(
        prog="python -m tfres.adapt",
        description="Call an exported network with a time budget that moves between its fastest and slowest setting; write "
        "what it chose and how long it took as OUT.json and OUT.png.",
        epilog="Example: python -m tfres.adapt exported/NAME/1 --calls 200",
    )
    parser.add_argument("model", type=str, help="folder of the export (out/NAME/VERSION)")
    parser.add_argument("--calls", type=int, default=200, help="how many calls")
    parser.add_argument("--periods", type=float, default=2.0, help="how often the budget falls and rises")
    parser.add_argument("--batch", type=int, default=1, help="pictures per call")
    parser.add_argument("--anew", action="store_true", help="measure the settings' times again instead of taking cached ones")
    parser.add_argument("--out", type=str, default="adapt", help="name of the files, without .json and .png")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command."""
    arguments = make_parser().parse_args(argv)
    for name in ("calls", "periods", "batch"):
        if arguments[name] <= 0:
            raise UsageError(f"`{name}` must be positive. Received: {name}={arguments[name]}.")

    from tfres.deploy.runtime import AdaptiveModel, demo

    model = AdaptiveModel(arguments.model)
    results = demo.moving_budget(model, arguments.calls, arguments.periods, arguments.batch, arguments.anew)
    demo.write(results, model, arguments.out)
    if arguments.json:
        print(json.dumps({name: value for name, value in results.items() if name != "rows"}))
        return 0
    times, chosen = results["times"], collections.Counter(row["setting"] for row in results["rows"])
    summary = [{**row, "ms": times[row["setting"]], "chosen": chosen[row["setting"]]} for row in model.rows]
    summary = sorted((row for row in summary if row["chosen"]), key=lambda row: row["ms"])
    columns = [("setting", "setting", "{}"), (model.score, model.score, "{:.2%}"), ("ms", "ms (95 %)", "{:.2f}")]
    print_table(summary, [*columns, ("chosen", "chosen", "{}")])
    print(
        f"\n{results['within_budget']:.1%} of {arguments.calls} calls within budget; {arguments.out}.json, {arguments.out}.png"
    )
    return 0


if __name__ == "__main__":
    run_main(main, sys.argv[1:])
