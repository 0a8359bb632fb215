"""`python -m tfres.adapt`: an export under a budget that falls and rises, to see what it chooses and how long that takes."""

from __future__ import annotations

import collections
import json

from tfres.cli import Parser, positive, print_table, run_main, whole


def make_parser() -> Parser:
    """The command's options."""
    text = (
        "Call an exported network with a time budget that moves between its fastest and slowest setting; write what it chose "
    )
    text += "and how long it took as OUT.json and OUT.png."
    parser = Parser("adapt", "exported/NAME/1 --calls 200", description=text)
    parser.add_argument("model", help="folder of the export (out/NAME/VERSION)")
    parser.add_argument("--calls", type=whole, default=200, help="how many calls")
    parser.add_argument("--periods", type=positive, default=2.0, help="how often the budget falls and rises")
    parser.add_argument("--batch", type=whole, default=1, help="pictures per call")
    parser.add_argument("--anew", action="store_true", help="measure the settings' times again instead of taking cached ones")
    parser.add_argument("--out", default="adapt", help="name of the files, without .json and .png")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command."""
    arguments = make_parser().parse_args(argv)

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
    run_main(main)
