"""`python -m tfres.prepare`: class folders as TFRecord shards, which are faster to read."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from tfres.cli import Parser, run_main
from tfres.errors import RecipeError


def make_parser() -> Parser:
    """The command's options."""
    parser = Parser(
        prog="python -m tfres.prepare",
        description="Write shards RECORDS/train-*-of-* and RECORDS/validation-*-of-* from folders of pictures. Pictures that "
        "cannot be read are left out and listed. Run again, it goes on after the last shard.",
        epilog="Example: python -m tfres.prepare pictures/ records/",
    )
    parser.add_argument("folder", type=str, help="holds train/ and val/ with one folder per class")
    parser.add_argument("records", type=str, help="folder of the shards")
    parser.add_argument("--per-shard", type=int, default=1024, help="pictures per shard")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code."""
    arguments = make_parser().parse_args(argv)
    if arguments.per_shard < 1:
        raise RecipeError(f"`per-shard` must be positive. Received: per-shard={arguments.per_shard}.")
    from tfres.tasks.classification.prepare import prepare

    counts, skipped = prepare(arguments.folder, arguments.records, arguments.per_shard)
    for path, reason in skipped:
        print(f"skipped {path}: {reason}", file=sys.stderr)
    for split, count in counts.items():
        print(f"{split} {count}")
    print(f"skipped {len(skipped)}")
    return 0


if __name__ == "__main__":
    run_main(main, sys.argv[1:])
