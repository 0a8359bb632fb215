"""`python -m tfres.convert`: a checkpoint of a reference implementation as a run of ours."""

import dataclasses
import sys

from tfres.cli import Parser, run_main
from tfres.recipe import RecipeError

NO_DATA = "none"


def make_parser():
    from tfres.convert import FAMILIES

    parser = Parser(
        prog="python -m tfres.convert",
        description="Read a checkpoint of a reference, write a run that evaluates, fine-tunes and exports.",
        epilog="Example: python -m tfres.convert rsnet parallel_resnet50 model_best.pth.tar --out runs/converted",
    )
    parser.add_argument("family", type=str, help=f"reference: {', '.join(FAMILIES)}")
    parser.add_argument("arch", type=str, help="network, such as parallel_resnet50 (rsnet) or resnet18 (rsnet_quant)")
    parser.add_argument("checkpoint", type=str, help="PyTorch file (rsnet), or TensorFlow checkpoint prefix without .index")
    parser.add_argument("--out", type=str, required=True, help="folder of the new run")
    parser.add_argument("--sizes", type=int, nargs="+", help="resolutions of the branches; default: seen in the checkpoint")
    parser.add_argument("--widths", type=float, nargs="+", help="mutualnet: widths of the pairs of statistics, ascending")
    parser.add_argument("--width-range", type=float, nargs=2, help="mutualnet: smallest and largest width of the training")
    parser.add_argument("--mode", type=str | None, help="rsnet_quant: resnet, preact or preact_typeA; default: seen there")
    parser.add_argument("--qw", type=int | None, help="rsnet_quant: bits of weights; default: seen in the tensors")
    parser.add_argument("--qa", type=int | None, help="rsnet_quant: bits of activations; default: seen in the tensors")
    parser.add_argument("--data", type=str, default=NO_DATA, help="pictures that the run is evaluated on by default")
    return parser


def main(argv=None):
    arguments = make_parser().parse_args(argv)

    from tfres.convert import from_reference, load_family
    from tfres.engines import checkpoints
    from tfres.engines.training import variable_name
    from tfres.run import Run
    from tfres.session import convention

    run = Run(arguments.out)
    if run.exists():
        raise RecipeError(f"`out` must not hold a run yet. Received: out={run.path}.")
    given = {
        name: arguments[name] for name in ("sizes", "widths", "width_range", "mode", "qw", "qa") if arguments[name] is not None
    }
    try:
        family = load_family(arguments.family)
        wrong = [name for name in given if name not in family.OPTIONS]
        if wrong:
            raise RecipeError(f"`{wrong[0]}` is no option of {arguments.family}. Received: {wrong[0]}={given[wrong[0]]}.")
        tensors = family.read(arguments.checkpoint, arguments.arch)
        model = from_reference(arguments.family, arguments.arch, tensors, **given)
    except checkpoints.CheckpointError:
        raise
    except ValueError as error:
        raise RecipeError(str(error)) from error
    recipe = family.recipe(arguments.arch, model.get_config())
    recipe = dataclasses.replace(recipe, data=dataclasses.replace(recipe.data, source=arguments.data))
    recipe = recipe.with_conventions(convention(arguments.family))
    run.checkpoints.mkdir(parents=True, exist_ok=True)
    saver = checkpoints.make_saver({variable_name(variable): variable for variable in model.weights}, run.checkpoints, 1)
    checkpoints.save(saver, None, run.checkpoints, 0)
    run.create(recipe, {"classes": [str(i) for i in range(recipe.model.classes)]})
    print(run.path)
    return 0


if __name__ == "__main__":
    run_main(main, sys.argv[1:])
