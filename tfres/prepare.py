"""`python -m tfres.prepare`: folders of pictures as TFRecord shards, which are faster to read."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from tfres.cli import Parser, run_main, whole
from tfres.families.recipes import DEFAULT_TASK


def make_parser() -> Parser:
    """The command's options."""
    text = "Write shards RECORDS/train-*-of-* and RECORDS/validation-*-of-* from folders of pictures. Pictures that cannot be "
    text += "read are left out and listed. Run again, it goes on after the last shard."
    parser = Parser("prepare", "pictures/ records/", description=text)
    parser.add_argument("folder", help="pictures as training takes them: train/ and val/")
    parser.add_argument("records", help="folder of the shards")
    parser.add_argument("--task", default=DEFAULT_TASK, help="what they are for (default %(default)s)")
    parser.add_argument("--per-shard", type=whole, default=1024, help="pictures per shard")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command."""
    arguments = make_parser().parse_args(argv)
    from tfres.tasks import find_task

    counts, skipped = find_task(arguments.task).task.write_records(arguments.folder, arguments.records, arguments.per_shard)
    for path, reason in skipped:
        print(f"skipped {path}: {reason}", file=sys.stderr)
    for split, count in counts.items():
        print(f"{split} {count}")
    print(f"skipped {len(skipped)}")
    return 0


if __name__ == "__main__":
    run_main(main)
