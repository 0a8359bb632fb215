"""`python -m tfres.serve`: an example server of an export, over gRPC and REST."""

from __future__ import annotations

import argparse
import signal

from tfres.cli import Parser, positive, run_main, whole
from tfres.errors import RecipeError
from tfres.files import checked_name
from tfres.recipe import read_text


def _port(text: str) -> int:
    try:
        value = read_text("port", text, int)
    except RecipeError:
        value = -1
    if not 0 <= value < 2**16:
        raise argparse.ArgumentTypeError(f"must be from 0 (a free one) to 65535. Received: {text!r}")
    return value


def make_parser() -> Parser:
    """The command's options."""
    text = "Answer requests in TensorFlow Serving's protocol, for trying out (no encryption, no passwords)."
    parser = Parser("serve", "exported/NAME --port 8500", description=text)
    parser.add_argument("model", help="folder of the model (out/NAME), or of one version of it")
    parser.add_argument("--name", help="of the model in requests; default that of its folder")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at (default %(default)s)")
    parser.add_argument("--port", type=_port, default=8500, help="of gRPC, 0 for a free one (default %(default)s)")
    parser.add_argument("--rest-port", type=_port, default=8501, help="of REST, 0 for a free one (default %(default)s)")
    parser.add_argument("--pictures", type=whole, default=64, help="most per request and per batch (default %(default)s)")
    wait = "how long requests of equal signature and shape wait to be run as one batch, in ms; default each runs alone"
    parser.add_argument("--batch-ms", type=positive, help=wait)
    parser.add_argument("--megabytes", type=positive, default=16.0, help="most per request (default %(default)s)")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command until it is interrupted or terminated."""
    arguments = make_parser().parse_args(argv)
    if arguments.name is not None:
        checked_name("name", arguments.name)

    from tfres.deploy.server import Limits, Server

    limits = Limits(arguments.pictures, (arguments.batch_ms or 0) / 1e3, int(arguments.megabytes * 2**20))
    with Server(arguments.model, arguments.name, arguments.host, arguments.port, arguments.rest_port, limits) as server:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: server.stop())
        print(f"{server.name}: gRPC {server.address}, REST http://{server.rest_address}", flush=True)
        server.wait()
    return 0


if __name__ == "__main__":
    run_main(main)
