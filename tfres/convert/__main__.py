"""`python -m tfres.convert`: a checkpoint of a reference implementation as a run of ours."""

from __future__ import annotations

import argparse

from tfres.cli import Parser, run_main, whole

_OPTIONS = ("sizes", "widths", "width_range", "mode", "qw", "qa")


def make_parser() -> Parser:
    from tfres.convert import FAMILIES

    text = "Read a checkpoint of a reference, write a run that evaluates, fine-tunes and exports."
    parser = Parser("convert", "rsnet parallel_resnet50 model_best.pth.tar --out runs/converted", description=text)
    parser.add_argument("family", help=f"reference: {', '.join(FAMILIES)}")
    parser.add_argument("arch", help="network, such as parallel_resnet50 (rsnet) or resnet18 (rsnet_quant)")
    parser.add_argument("checkpoint", help="PyTorch file (rsnet), or TensorFlow checkpoint prefix without .index")
    parser.add_argument("--out", required=True, help="folder of the new run")
    parser.add_argument("--sizes", type=whole, nargs="+", help="resolutions of the branches; default: seen in the checkpoint")
    parser.add_argument("--widths", type=float, nargs="+", help="mutualnet: widths of the pairs of statistics, ascending")
    parser.add_argument("--width-range", type=float, nargs=2, help="mutualnet: smallest and largest width of the training")
    parser.add_argument("--mode", help="rsnet_quant: resnet, preact or preact_typeA; default: seen there")
    parser.add_argument("--qw", type=whole, help="rsnet_quant: bits of weights; default: seen in the tensors")
    parser.add_argument("--qa", type=whole, help="rsnet_quant: bits of activations; default: seen in the tensors")
    text = "ranet: an argument of the network or of its authors' program; default: seen in the tensors"
    parser.add_argument("--option", type=_pair, action="append", default=[], metavar="NAME=VALUE", help=text)
    parser.add_argument("--data", default="none", help="pictures that the run is evaluated on by default")
    return parser


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals and value) or name in ("family", "arch", "checkpoint", "out", "data"):
        raise argparse.ArgumentTypeError(f"must be NAME=VALUE, such as scale_list=1-2-3. Received: {text!r}")
    return name, value


def main(argv: list[str] | None = None) -> int:
    arguments = make_parser().parse_args(argv)

    from tfres.convert.to_run import convert_to_run

    given = {name: getattr(arguments, name) for name in _OPTIONS if getattr(arguments, name) is not None}
    given |= dict(arguments.option)
    run = convert_to_run(arguments.family, arguments.arch, arguments.checkpoint, arguments.out, data=arguments.data, **given)
    print(run.path)
    return 0


if __name__ == "__main__":
    run_main(main)
