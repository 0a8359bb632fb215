"""`python -m tfres.train`: train a network, evaluate every setting, print the table."""

import dataclasses
import pathlib
import re
import shutil
import sys
import time

from tfres import options
from tfres.cli import Parser, run_main
from tfres.recipe import DataRecipe, ModelRecipe, Recipe, RecipeError, TrainingRecipe

_ACTIONS = {"d": "delete", "b": "backup", "k": "resume", "n": "new", "q": "quit"}


def make_parser():
    parser = Parser(
        prog="python -m tfres.train",
        synonyms=options.SYNONYMS,
        description="Train one network for many resolutions. A run that was interrupted goes on by the same command.",
        epilog=f"{options.HELP}. Example: python -m tfres.train --arch resnet18 --data FOLDER --kd",
    )
    parser.add_argument("--recipe", action="config", help="YAML file with model, data and training; options win over it")
    parser.add_argument("--data_format", "--data-format", type=str, default="NHWC", help="NHWC is the one layout supported")
    parser.add_argument("--run", type=str | None, help="folder of the run; default runs/<name made of the options>")
    parser.add_argument("-n", "--note", type=str, default="", help="part of the default folder name")
    parser.add_argument("--logdir_id", type=str, default="", help="end of the default folder name")
    parser.add_argument(
        "-a",
        "--action",
        type=str,
        default="k",
        help="for a folder that exists: k(eep) and resume, d(elete), b(ackup), n(ew), q(uit)",
    )
    parser.add_argument("--eval", action="store_true", help="evaluate instead; then:")
    parser.add_argument("-ec", type=str | None, help="run folder to evaluate")
    parser.add_argument("-es", type=int | None, help="size to evaluate at; default all")
    parser.add_argument("-ep", type=int | None, help="epoch of the checkpoint; default the last")
    parser.add_argument("-eos", type=int | None, help="trained size whose batch norms are used at size -es")
    parser.add_argument(
        "--fix_mean_var", action="store_true", help="mean and variance from the run with -eos replaced by -es in -ec"
    )
    for group, kind in (("model", ModelRecipe), ("data", DataRecipe), ("training", TrainingRecipe)):
        fields = parser.add_argument_group(f"recipe, {group}")
        for field in dataclasses.fields(kind):
            default = field.default if field.default is not dataclasses.MISSING else field.default_factory()
            help_text = _help(kind, field.name)
            fields.add_argument(f"--{group}.{field.name}", type=field.type, default=default, help=help_text)
    return parser


def _help(kind, name):
    """The line of a recipe's docstring about one field."""
    text = re.search(rf"^        {name}: ((?:.|\n {{12}})*)$", kind.__doc__, re.MULTILINE)[1]
    return " ".join(text.split())


def recipe_from(arguments):
    """The `Recipe` of parsed arguments.

    Raises:
        RecipeError: values out of range or in conflict.
    """
    if arguments.data_format != "NHWC":
        raise RecipeError(f"`data_format` must be NHWC. Received: data_format={arguments.data_format}.")
    return Recipe.from_dict({group: dict(vars(arguments[group])) for group in ("model", "data", "training")})


def run_folder(recipe, arguments):
    """The run's folder after `--action`."""
    if arguments.action not in (*_ACTIONS, *_ACTIONS.values()):
        raise RecipeError(f"`action` must be one of {', '.join(_ACTIONS)}. Received: action={arguments.action}.")
    action = _ACTIONS.get(arguments.action, arguments.action)
    path = pathlib.Path(arguments.run or pathlib.Path("runs") / default_name(recipe, arguments.note, arguments.logdir_id))
    if not path.exists() or action == "resume":
        return path
    stamp = time.strftime("%Y%m%d-%H%M%S")
    if action == "delete":
        shutil.rmtree(path)
    elif action == "backup":
        path.rename(path.with_name(f"{path.name}-backup-{stamp}"))
    elif action == "new":
        path = path.with_name(f"{path.name}-{stamp}")
    else:
        raise RecipeError(f"{path} exists and --action is quit.")
    return path


def default_name(recipe, note="", logdir_id=""):
    """Name of a run, made of what the reference's log directories name."""
    model, sizes = recipe.model, recipe.model.resolutions
    parts = [f"{model.arch}-{model.arrangement}"]
    parts += [str(model.weight_bits), str(model.activation_bits)] if model.arrangement != "float" else []
    parts += [",".join(map(str, sizes))] if sizes else []
    parts += ["distill"] if recipe.training.kd else []
    parts += [] if model.basis_update == "sequential" else [model.basis_update]
    parts += [pathlib.Path(recipe.data.source).name.split("*")[0]] if recipe.data.source != "cifar10" else []
    parts += [note] if note else []
    return "-".join(parts) + logdir_id


def main(argv=None):
    started = time.time()
    arguments = make_parser().parse_args(options.expand(sys.argv[1:] if argv is None else argv))
    if arguments.eval:
        return _evaluate(arguments)
    for name in ("ec", "es", "ep", "eos", "fix_mean_var"):
        if arguments[name]:
            raise RecipeError(f"`{name}` needs `--eval`. Received: {name}={arguments[name]}.")
    recipe = recipe_from(arguments)
    run_path = run_folder(recipe, arguments)

    from tfres import session
    from tfres.engines.strategies import make_strategy
    from tfres.engines.training import epoch_steps, train
    from tfres.evaluation import accuracy, table
    from tfres.run import Run

    make_strategy(recipe.training.strategy)  # workers connect before TensorFlow does anything else
    recipe, source = session.resolve(recipe)
    run = Run(run_path)
    run.create(recipe, {"classes": source.classes, "steps_per_epoch": epoch_steps(recipe, source)[0]})
    plan = train(recipe, run, source, lambda: session.build_training_model(recipe))
    if not plan.writes:
        return 0
    model, crop = session.load_run(run)
    accuracies = accuracy.evaluate(model, crop, source, recipe.data, with_ensemble=plan.has_ensemble())
    results = {**table.make_table(model, accuracies), "command_seconds": round(time.time() - started)}
    table.save_table(results, run.table)
    table.plot_table(results, run.plot, run.name)
    table.show_table(results)
    print(f"\nrun         {run.path}\nplot        {run.plot}\ncheckpoint  {run.checkpoints}")
    return 0


def _evaluate(arguments):
    """`--eval` of the reference's script, by `tfres.evaluate`."""
    from tfres import evaluate

    if arguments.ec is None:
        raise RecipeError("`--eval` needs `-ec RUN`.")
    if arguments.fix_mean_var and arguments.eos is None:
        raise RecipeError("`--fix_mean_var` needs `-eos SIZE`.")
    options = {"--run": arguments.ec, "--size": arguments.es, "--epoch": arguments.ep, "--bn-size": arguments.eos}
    if arguments.fix_mean_var:
        options["--statistics-run"] = arguments.ec.replace(str(arguments.eos), str(arguments.es))
    return evaluate.main([text for name, value in options.items() if value is not None for text in (name, str(value))])


if __name__ == "__main__":
    run_main(main)
