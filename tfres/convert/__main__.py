"""`python -m tfres.convert`: a checkpoint of a reference implementation as a run of ours."""

import sys

from tfres.cli import Parser, run_main
from tfres.recipe import DataRecipe, ModelRecipe, Recipe, RecipeError

NO_DATA = "none"


def make_parser():
    from tfres.convert import FAMILIES

    parser = Parser(
        prog="python -m tfres.convert",
        description="Read a TensorFlow 1 checkpoint of a reference, write a run that evaluates, fine-tunes and exports.",
        epilog="Example: python -m tfres.convert rsnet_quant resnet18 train_log/x/model-600000 --out runs/converted",
    )
    parser.add_argument("family", type=str, help=f"reference: {', '.join(FAMILIES)}")
    parser.add_argument("arch", type=str, help="network, such as resnet18")
    parser.add_argument("checkpoint", type=str, help="checkpoint prefix (without .index)")
    parser.add_argument("--out", type=str, required=True, help="folder of the new run")
    parser.add_argument("--mode", type=str | None, help="resnet, preact or preact_typeA; default: seen in the tensors")
    parser.add_argument("--qw", type=int | None, help="bits of weights; default: seen in the tensors")
    parser.add_argument("--qa", type=int | None, help="bits of activations; default: seen in the tensors")
    parser.add_argument("--sizes", type=int, nargs="+", help="resolutions; default: seen in the tensors")
    parser.add_argument("--data", type=str, default=NO_DATA, help="pictures that the run is evaluated on by default")
    return parser


def main(argv=None):
    arguments = make_parser().parse_args(argv)

    from tfres.convert import from_reference
    from tfres.engines import checkpoints
    from tfres.engines.training import variable_name
    from tfres.run import Run

    run = Run(arguments.out)
    if run.exists():
        raise RecipeError(f"`out` must not hold a run yet. Received: out={run.path}.")
    tensors = checkpoints.read_checkpoint(checkpoints.find_checkpoint(arguments.checkpoint))
    options = {name: arguments[name] for name in ("sizes", "mode", "qw", "qa")}
    try:
        model = from_reference(arguments.family, arguments.arch, tensors, **options)
    except ValueError as error:
        raise RecipeError(str(error)) from error
    run.checkpoints.mkdir(parents=True, exist_ok=True)
    saver = checkpoints.make_saver({variable_name(variable): variable for variable in model.weights}, run.checkpoints, 1)
    checkpoints.save(saver, None, run.checkpoints, 0)
    run.create(_recipe(arguments, model.get_config()), {"classes": [str(i) for i in range(model.get_config()["classes"])]})
    print(run.path)
    return 0


def _recipe(arguments, config):
    """The reference's preprocessing: normalised BGR pictures, crop of 224, smaller sizes by nearest neighbour."""
    from tfres.data.sources import IMAGENET_MEAN, IMAGENET_STD

    model = ModelRecipe(
        arch=f"resnet{arguments.arch}" if arguments.arch.isdigit() else arguments.arch,
        mode=config["mode"],
        weight_bits=config["weight_bits"] or 32,
        activation_bits=config["activation_bits"] or 32,
        resolutions=config["resolutions"],
        classes=config["classes"],
    )
    data = DataRecipe(
        source=arguments.data,
        batch_size=100,
        side=max(224, *config["resolutions"]),
        crop="area",
        lighting=0.1,
        mean=list(IMAGENET_MEAN),
        std=list(IMAGENET_STD),
        channel_order="bgr",
    )
    return Recipe(model=model, data=data)


if __name__ == "__main__":
    run_main(main, sys.argv[1:])
