"""`python -m tfres.train`: train a network, measure every setting, print the table."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from tfres import options
from tfres.cli import Parser, run_main
from tfres.families.command_line import read_command_line


def make_parser() -> Parser:
    """The parser without the fields of recipes."""
    text = "Train one network for many settings. A run that was interrupted goes on by the same command. Options are those of "
    text += "the network --arch and the task --task: give these with --help."
    example = "--arch resnet18 --data FOLDER --kd"
    parser = Parser("train", example, options.SYNONYMS, description=text, epilog=f"{options.HELP}. ")
    parser.add_argument("--run", help="folder of the run; default runs/<name made of the options>")
    parser.add_argument("-n", "--note", default="", help="part of the default folder name")
    parser.add_argument("--logdir_id", "--logdir-id", default="", help="end of the default folder name")
    action = "for a folder that exists: k(eep) and resume, d(elete), b(ackup), n(ew), q(uit)"
    parser.add_argument("-a", "--action", choices=[*options.ACTIONS, *options.ACTIONS.values()], default="k", help=action)
    parser.add_argument("--data_format", "--data-format", choices=["NHWC"], default="NHWC", help="the one layout supported")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command."""
    started = time.time()
    argv = list(sys.argv[1:] if argv is None else argv)
    if "--eval" in argv:
        from tfres.evaluate import main as evaluate

        return evaluate(options.evaluation(argv))
    arguments, recipe = read_command_line(make_parser(), options.expand(argv))
    options.run_name(recipe, arguments)  # wrong names are told before anything is loaded

    from tfres.engines.start import start_run
    from tfres.evaluation.opened import open_run
    from tfres.evaluation.report import finish_table

    plan = start_run(recipe, options.run_name(recipe, arguments), options.ACTIONS.get(arguments.action, arguments.action))
    if plan.writes:
        finish_table(open_run(plan.run.path), {"command_seconds": round(time.time() - started)})
        print(f"\nrun         {plan.run.path}\nplot        {plan.run.plot}\ncheckpoint  {plan.run.checkpoints}")
    return 0


if __name__ == "__main__":
    run_main(main)
