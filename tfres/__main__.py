"""`tfres VERB ...` and `python -m tfres VERB ...`: the commands under one name."""

import importlib
import sys

VERBS = {
    "train": "train a network and evaluate it",
    "evaluate": "accuracy of a run at its resolutions",
    "profile": "MACs, parameters and latency of every setting",
    "calibrate": "norms for resolutions a run was not trained at",
    "export": "a run as a TF Serving model or a LiteRT file",
    "bench": "what exports take on this machine, side by side",
    "adapt": "an export under a budget that moves",
    "serve": "an example server of an export, gRPC and REST",
    "convert": "a reference checkpoint as a run",
    "prepare": "class folders as TFRecord shards",
}
_MODULES = {"convert": "tfres.convert.__main__"}


def main() -> None:
    """Runs the verb that the command line names."""
    verb = sys.argv[1] if len(sys.argv) > 1 else None
    if verb not in VERBS:
        listing = "\n".join(f"  {name:10} {text}" for name, text in VERBS.items())
        stream = sys.stdout if verb in ("-h", "--help") else sys.stderr
        print(f"usage: tfres VERB [options]\n\n{listing}\n\nEach verb has --help.", file=stream)
        sys.exit(0 if verb in ("-h", "--help") else 2)

    from tfres.cli import run_main

    run_main(importlib.import_module(_MODULES.get(verb, f"tfres.{verb}")).main, sys.argv[2:])


if __name__ == "__main__":
    main()
